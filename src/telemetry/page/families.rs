//! Every metric of the page.

use super::text::{Family, Kind};

macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Family = Family { name: $name, kind: Kind::$kind, help: $help };
        )*
        /// All of them.
        pub const ALL: &[Family] = &[$($constant),*];
    };
}

families! {
    BUILD_INFO: Gauge "stopover_build_info", "Always 1; version and revision of the binary that answers.";
    LEDGER_UP: Gauge "stopover_ledger_up", "Whether the ledger answered: 1, or 0 when what it knows is missing here.";
    LEFT_OUT: Gauge "stopover_migrations_left_out", "Migrations without series of their own here, because there are too many.";
    RUNS: Gauge "stopover_runs", "Migrations by the state of their latest run.";
    MIGRATIONS: Gauge "stopover_migrations", "Migrations of the catalog and the ledger by their state.";
    UNFINISHED: Gauge "stopover_run_unfinished", "Always 1, for each migration whose latest run is neither done nor cancelled; its state.";
    ATTEMPT: Gauge "stopover_run_attempt", "The attempt that an unfinished run is at, from 1.";
    AGE: Gauge "stopover_run_age_seconds", "How long ago an unfinished run was started for the first time.";
    HEARTBEAT_AGE: Gauge "stopover_run_heartbeat_age_seconds", "How long ago the worker of a run that is at work or lost was heard of.";
    HELD: Gauge "stopover_run_held", "Whether a run of steps that is at work holds just now: 1 or 0.";
    DONE: Gauge "stopover_documents_done", "Items that an unfinished run has done, of its current step.";
    EXPECTED: Gauge "stopover_documents_expected", "Items that an unfinished run has to do, of its current step.";
    RATE: Gauge "stopover_documents_rate", "Items per second of a run that is at work, over the last half minute.";
    REMAINING: Gauge "stopover_remaining", "What the own count of a migration says is left, as an unfinished run counted it last.";
    QUARANTINED: Gauge "stopover_documents_quarantined", "Documents that an unfinished run leaves out, of its current step.";
    PROCESSED: Counter "stopover_documents_processed_total", "Documents that runs in this pod have gone through.";
    BATCH_DURATION: Histogram "stopover_batch_duration_seconds", "How long batches took, from the first call to the last answer.";
    RETRIES: Counter "stopover_batch_retries_total", "Batches tried because one before had failed.";
    HOLD_TIME: Counter "stopover_hold_seconds_total", "How long no batch could begin, by reason.";
    SLOWED_TIME: Counter "stopover_slowed_seconds_total", "How long it went slower than the operator allows.";
    RENEWALS: Counter "stopover_lease_renewals_total", "Renewals of leases that were tried.";
    RENEWAL_DURATION: Histogram "stopover_lease_renewal_duration_seconds", "How long renewals of leases took.";
    MIRROR_DROPPED: Counter "stopover_mirror_lines_dropped_total", "Lines that are missing in the mirror, because nobody read it in time.";
    TELEMETRY_DROPPED: Counter "stopover_telemetry_dropped_total", "Spans, reports of figures and log records that did not arrive.";
    KEEPER_CPU: Counter "process_cpu_seconds_total", "Processor time of the keeper.";
    KEEPER_MEMORY: Gauge "process_resident_memory_bytes", "Resident memory of the keeper.";
    KEEPER_START: Gauge "process_start_time_seconds", "When the keeper started, in seconds since 1970.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_metric_is_named_once_in_the_usual_way() {
        let names: BTreeSet<_> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        for Family { name, kind, help } in ALL {
            assert!(name.starts_with("stopover_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(help.ends_with('.'), "{name}");
        }
    }
}
