//! The figures as instruments of OpenTelemetry: whoever has a meter has them sent.
//!
//! What is sent is of one process: a counter begins with it. Only the migration tells one worker's from another's, never the run, so that there are
//! as many series as the catalog has migrations.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Histogram, Meter};

use crate::engine::throttle::HoldKind;

use super::census::Census;
use super::distribution::{Distribution, seconds};
use super::figures::{ByOutcome, Course, Figures, Totals};

const MIGRATION: &str = "stopover.migration";
const OUTCOME: &str = "stopover.outcome";

/// Durations, passed on as they come: only so can whoever receives them add up those of many workers.
pub(super) struct Durations {
    batch: Histogram<f64>,
    renewal: Histogram<f64>,
    migration: KeyValue,
}

impl Durations {
    pub fn batch(&self, took: Duration, is_ok: bool) {
        self.batch.record(took.as_secs_f64(), &self.attributes(is_ok));
    }

    pub fn renewal(&self, took: Duration, is_ok: bool) {
        self.renewal.record(took.as_secs_f64(), &self.attributes(is_ok));
    }

    fn attributes(&self, is_ok: bool) -> [KeyValue; 2] {
        [self.migration.clone(), KeyValue::new(OUTCOME, ByOutcome::word(is_ok))]
    }
}

/// Registers what is counted of an attempt. A callback holds a lock for the time of a copy, and waits for nothing else.
pub fn observe(meter: &Meter, figures: &Arc<Figures>) {
    let migration = KeyValue::new(MIGRATION, figures.migration().to_string());
    let histogram = |name, description| {
        let builder = meter.f64_histogram(name).with_unit("s").with_description(description);
        builder.with_boundaries(Distribution::bounds().to_vec()).build()
    };
    figures.pass_on(Durations {
        batch: histogram("stopover.batch.duration", "How long batches took, from the first call to the last answer"),
        renewal: histogram("stopover.lease.renewal.duration", "How long renewals of the lease took"),
        migration: migration.clone(),
    });
    let to = Register { meter, figures, migration: &migration };
    to.gauge("stopover.documents.done", "Items done, of the current step", |course| course.done);
    to.gauge("stopover.documents.expected", "Items there are, of the current step", |course| course.total);
    to.gauge("stopover.remaining", "What the migration's own count says is left", |course| course.remaining);
    to.gauge("stopover.documents.quarantined", "Documents that the current step leaves out", |course| {
        course.quarantined
    });
    let (rated, attributes) = (figures.clone(), [migration.clone()]);
    let _ = meter
        .f64_observable_gauge("stopover.documents.rate")
        .with_unit("{document}/s")
        .with_description("Items per second, over the last half minute")
        .with_callback(move |told| tell(told, rated.course().rate, &attributes))
        .build();
    to.counter("stopover.documents.processed", "{document}", "Documents that were gone through", |all| {
        Some(all.processed)
    });
    to.counter("stopover.batch.retries", "{batch}", "Batches tried because one before had failed", |all| {
        all.is_of_steps().then_some(all.retries)
    });
    to.counter("stopover.mirror.lines_dropped", "{line}", "Lines that are missing in the mirror", |all| {
        Some(all.mirror_dropped)
    });
    observe_by_attribute(meter, figures, &migration);
}

/// What is told of a migration, by nothing but its name.
struct Register<'a> {
    meter: &'a Meter,
    figures: &'a Arc<Figures>,
    migration: &'a KeyValue,
}

impl Register<'_> {
    fn gauge(&self, name: &'static str, description: &'static str, value: fn(&Course) -> Option<i64>) {
        let (figures, attributes) = (self.figures.clone(), [self.migration.clone()]);
        let builder = self.meter.i64_observable_gauge(name).with_unit("{document}").with_description(description);
        let _ = builder.with_callback(move |told| tell(told, value(&figures.course()), &attributes)).build();
    }

    fn counter(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        value: fn(&Totals) -> Option<u64>,
    ) {
        let (figures, attributes) = (self.figures.clone(), [self.migration.clone()]);
        let builder = self.meter.u64_observable_counter(name).with_unit(unit).with_description(description);
        let _ = builder.with_callback(move |told| tell(told, value(&figures.totals()), &attributes)).build();
    }
}

/// What has one more attribute than the migration.
fn observe_by_attribute(meter: &Meter, figures: &Arc<Figures>, migration: &KeyValue) {
    let with = |migration: &KeyValue, name, value| [migration.clone(), KeyValue::new(name, value)];
    let (held, of) = (figures.clone(), migration.clone());
    let _ = meter
        .f64_observable_counter("stopover.hold.time")
        .with_unit("s")
        .with_description("How long no batch could begin")
        .with_callback(move |told| {
            let totals = held.totals();
            for kind in HoldKind::ALL.into_iter().filter(|_| totals.is_of_steps()) {
                told.observe(seconds(totals.held_by(kind)), &with(&of, "stopover.hold.reason", kind.word()));
            }
        })
        .build();
    let (slowed, of) = (figures.clone(), [migration.clone()]);
    let _ = meter
        .f64_observable_counter("stopover.slowed.time")
        .with_unit("s")
        .with_description("How long it went slower than the operator allows")
        .with_callback(move |told| {
            let totals = slowed.totals();
            tell(told, totals.is_of_steps().then(|| seconds(totals.slowed)), &of);
        })
        .build();
    let (renewed, of) = (figures.clone(), migration.clone());
    let _ = meter
        .u64_observable_counter("stopover.lease.renewals")
        .with_unit("{renewal}")
        .with_description("Renewals of the lease that were tried")
        .with_callback(move |told| {
            for (outcome, times) in renewed.totals().renewals.each() {
                told.observe(times.count(), &with(&of, OUTCOME, outcome));
            }
        })
        .build();
    let (sent, of) = (figures.clone(), migration.clone());
    let _ = meter
        .u64_observable_counter("stopover.telemetry.dropped")
        .with_unit("{item}")
        .with_description("Spans, reports of figures and log records that did not arrive")
        .with_callback(move |told| {
            for (signal, count) in sent.totals().dropped.each() {
                told.observe(count, &with(&of, "stopover.telemetry.signal", signal));
            }
        })
        .build();
}

/// Registers how many runs are in which state.
pub fn observe_runs(meter: &Meter, census: &Arc<Census>) {
    let census = census.clone();
    let _ = meter
        .u64_observable_gauge("stopover.runs")
        .with_unit("{run}")
        .with_description("Migrations by the state of their latest run")
        .with_callback(move |told| {
            for (standing, count) in census.latest().into_iter().flat_map(super::census::Count::each) {
                told.observe(count, &[KeyValue::new("stopover.run.state", standing.word())]);
            }
        })
        .build();
}

/// What is not known is not told, instead of a zero that would be one.
fn tell<T>(told: &dyn AsyncInstrument<T>, value: Option<T>, attributes: &[KeyValue]) {
    if let Some(value) = value {
        told.observe(value, attributes);
    }
}

#[cfg(test)]
mod tests;
