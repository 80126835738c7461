//! The part that this pod's workers have counted, over all runs of a migration here.

use std::fmt::Display;

use crate::catalog::MigrationId;
use crate::engine::throttle::HoldKind;
use crate::telemetry::distribution::{Distribution, seconds};
use crate::telemetry::figures::{ByOutcome, Totals};

use super::families;
use super::text::{Family, Writer};

/// What was counted of each migration.
pub fn counts(page: &mut Writer, counted: &[(MigrationId, Totals)]) {
    let of_steps = Totals::is_of_steps;
    each(page, &families::PROCESSED, counted, |totals| Some(totals.processed));
    durations(page, &families::BATCH_DURATION, counted, |totals| of_steps(totals).then_some(&totals.batches));
    each(page, &families::RETRIES, counted, |totals| of_steps(totals).then_some(totals.retries));
    page.family(&families::HOLD_TIME, |series| {
        for (migration, totals) in counted.iter().filter(|(_, totals)| of_steps(totals)) {
            for kind in HoldKind::ALL {
                let labels = [("migration", migration.as_str()), ("reason", kind.word())];
                series.add(&labels, seconds(totals.held_by(kind)));
            }
        }
    });
    each(page, &families::SLOWED_TIME, counted, |totals| of_steps(totals).then(|| seconds(totals.slowed)));
    page.family(&families::RENEWALS, |series| {
        for (migration, totals) in counted {
            for (outcome, times) in totals.renewals.each() {
                series.add(&[("migration", migration.as_str()), ("outcome", outcome)], times.count());
            }
        }
    });
    durations(page, &families::RENEWAL_DURATION, counted, |totals| Some(&totals.renewals));
    each(page, &families::MIRROR_DROPPED, counted, |totals| Some(totals.mirror_dropped));
    page.family(&families::TELEMETRY_DROPPED, |series| {
        for (migration, totals) in counted {
            for (signal, count) in totals.dropped.each() {
                series.add(&[("migration", migration.as_str()), ("signal", signal)], count);
            }
        }
    });
}

fn each<V: Display>(
    page: &mut Writer,
    family: &Family,
    counted: &[(MigrationId, Totals)],
    value: impl Fn(&Totals) -> Option<V>,
) {
    page.by_migration(family, counted.iter().map(|(migration, totals)| (migration, value(totals))));
}

/// Histograms of what was tried, without those of an outcome that there never was.
fn durations(
    page: &mut Writer,
    family: &Family,
    counted: &[(MigrationId, Totals)],
    value: impl Fn(&Totals) -> Option<&ByOutcome>,
) {
    page.family(family, |series| {
        for (migration, totals) in counted {
            for (outcome, times) in value(totals).map(ByOutcome::each).into_iter().flatten() {
                if *times != Distribution::default() {
                    series.distribution(&[("migration", migration.as_str()), ("outcome", outcome)], times);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::engine::observer::{BatchResult, Observer};
    use crate::telemetry::figures::tests::{batch, done, figures};

    use super::*;

    #[test]
    fn what_workers_have_counted_is_told_by_migration() {
        let of_steps = figures();
        of_steps.batch(&batch(20, 0, BatchResult::Failed("write conflict")));
        of_steps.batch(&batch(700, 1, done(10)));
        let of_program = figures();
        of_program.renewed(std::time::Duration::from_millis(2), true);
        let mut totals = of_steps.totals();
        totals.held.insert("flow_control".to_owned(), 1_500_000);
        totals.held.insert("unheard_of".to_owned(), 1);
        let name = |name| MigrationId::new(name).unwrap();
        let mut page = Writer::default();
        counts(&mut page, &[(name("2026_steps"), totals), (name("2026_program"), of_program.totals())]);
        insta::assert_snapshot!(page.finish());
    }
}
