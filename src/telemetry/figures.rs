//! What the worker of an attempt counts.
//!
//! It is told in passing, by the engine and by the heart, and notes it under a lock that is held for a few assignments, so that a snapshot is
//! always of one moment: no sum without its count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::catalog::MigrationId;
use crate::engine::apply::Counts;
use crate::engine::observer::{Batch, BatchResult, Observer, StepBegun, StepEnd};
use crate::engine::throttle::{HoldKind, Verdict};
use crate::ledger::{Progress, Run};
use crate::logs::mirror::LeftOut;

use super::Signal;
use super::distribution::{Distribution, micros};
use super::health::Health;
use super::meters::Durations;

/// What grows: the counts of an attempt, or of all runs of a migration in a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Documents that committed batches selected, once more in a pass that proves that nothing is left; of a program, by how much its own count rose.
    pub processed: u64,
    /// Batches that were tried.
    pub batches: ByOutcome,
    /// Of these, those that were tried because one before had failed.
    pub retries: u64,
    /// Microseconds in which no batch could begin, by [`HoldKind::word`].
    pub held: BTreeMap<String, u64>,
    /// Microseconds in which it went slower than the operator allows.
    pub slowed: u64,
    /// Renewals of the lease that were tried.
    pub renewals: ByOutcome,
    /// Lines that are missing in the mirror.
    pub mirror_dropped: u64,
    /// What was left out of telemetry that is sent.
    pub dropped: Dropped,
}

/// How long something took, told apart by what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ByOutcome {
    /// It did what it should.
    pub ok: Distribution,
    /// It did not.
    pub failed: Distribution,
}

/// See [`Totals::dropped`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Dropped {
    /// Spans.
    pub traces: u64,
    /// Reports of figures.
    pub metrics: u64,
    /// Records.
    pub logs: u64,
}

impl ByOutcome {
    /// Both, with the words for them in metrics.
    #[must_use]
    pub fn each(&self) -> [(&'static str, &Distribution); 2] {
        [(Self::word(true), &self.ok), (Self::word(false), &self.failed)]
    }

    /// The word for an outcome in metrics.
    #[must_use]
    pub fn word(is_ok: bool) -> &'static str {
        if is_ok { "ok" } else { "failed" }
    }

    fn add(&mut self, took: Duration, is_ok: bool) {
        if is_ok { &mut self.ok } else { &mut self.failed }.add(took);
    }

    fn combined(&self, other: &Self, with: fn(u64, u64) -> u64) -> Self {
        Self { ok: self.ok.combined(&other.ok, with), failed: self.failed.combined(&other.failed, with) }
    }
}

impl Dropped {
    /// All, with the words for them in metrics.
    #[must_use]
    pub fn each(self) -> [(&'static str, u64); 3] {
        [(Signal::Traces.word(), self.traces), (Signal::Metrics.word(), self.metrics), (Signal::Logs.word(), self.logs)]
    }

    fn of(&mut self, signal: Signal) -> &mut u64 {
        match signal {
            Signal::Traces => &mut self.traces,
            Signal::Metrics => &mut self.metrics,
            Signal::Logs => &mut self.logs,
        }
    }
}

impl Totals {
    /// Both together: what an attempt adds to what was before it.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.combined(other, u64::saturating_add)
    }

    /// What was counted since they were `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.combined(earlier, u64::saturating_sub)
    }

    fn combined(&self, other: &Self, with: fn(u64, u64) -> u64) -> Self {
        let kinds: BTreeSet<&String> = self.held.keys().chain(other.held.keys()).collect();
        let time = |of: &Self, kind| of.held.get(kind).copied().unwrap_or_default();
        Self {
            processed: with(self.processed, other.processed),
            batches: self.batches.combined(&other.batches, with),
            retries: with(self.retries, other.retries),
            held: kinds.into_iter().map(|kind| (kind.clone(), with(time(self, kind), time(other, kind)))).collect(),
            slowed: with(self.slowed, other.slowed),
            renewals: self.renewals.combined(&other.renewals, with),
            mirror_dropped: with(self.mirror_dropped, other.mirror_dropped),
            dropped: Dropped {
                traces: with(self.dropped.traces, other.dropped.traces),
                metrics: with(self.dropped.metrics, other.dropped.metrics),
                logs: with(self.dropped.logs, other.dropped.logs),
            },
        }
    }

    /// Whether there were native steps, of which a program has none.
    #[must_use]
    pub fn is_of_steps(&self) -> bool {
        self.batches != ByOutcome::default() || !self.held.is_empty()
    }

    /// Microseconds in which a hold of this kind was on.
    #[must_use]
    pub fn held_by(&self, kind: HoldKind) -> u64 {
        self.held.get(kind.word()).copied().unwrap_or_default()
    }
}

fn grow(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

/// Where a run is just now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Course {
    /// Items done, of the current step where there are steps.
    pub done: Option<i64>,
    /// Items there are, of the current step where there are steps.
    pub total: Option<i64>,
    /// Items per second, over the last half minute.
    pub rate: Option<f64>,
    /// The count of what is left.
    pub remaining: Option<i64>,
    /// Documents that the current step leaves out; nothing for a program.
    pub quarantined: Option<i64>,
}

impl Course {
    /// By what a run tells of itself.
    #[must_use]
    pub fn of(progress: &Progress) -> Self {
        Self {
            done: progress.done,
            total: progress.total,
            rate: progress.rate.map(|rate| rate.recent),
            remaining: progress.remaining.as_ref().map(|remaining| remaining.count),
            quarantined: progress.engine.as_ref().map(|engine| engine.quarantined),
        }
    }
}

/// The counts of one attempt. Shared by those who tell and those who look.
pub struct Figures {
    migration: MigrationId,
    mirror: LeftOut,
    state: Mutex<State>,
    durations: OnceLock<Durations>,
    /// How the delivery of what is sent goes.
    delivery: OnceLock<Vec<(Signal, Arc<Health>)>>,
}

struct State {
    totals: Totals,
    course: Course,
    /// What a program said last.
    done: i64,
    /// What stands in the way, and since when that is not yet in the totals.
    why: Option<Why>,
    since: Instant,
    /// No step is under way before the first and after the last: nothing is held up then.
    in_step: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Why {
    Held(HoldKind),
    Slowed,
}

impl State {
    /// Puts the time up to now into the totals.
    fn settle(&mut self, now: Instant) {
        let time = micros(now.saturating_duration_since(self.since));
        self.since = now;
        match self.why.filter(|_| self.in_step) {
            Some(Why::Held(kind)) => grow(self.totals.held.entry(kind.word().to_owned()).or_default(), time),
            Some(Why::Slowed) => grow(&mut self.totals.slowed, time),
            None => {}
        }
    }
}

impl Figures {
    /// Nothing is counted yet of the attempt of this run that begins.
    #[must_use]
    pub fn new(run: &Run, mirror: LeftOut) -> Self {
        let state = State {
            totals: Totals::default(),
            course: Course::default(),
            done: run.progress.done.unwrap_or(0),
            why: None,
            since: Instant::now(),
            in_step: false,
        };
        Self {
            migration: run.migration.clone(),
            mirror,
            state: Mutex::new(state),
            durations: OnceLock::new(),
            delivery: OnceLock::new(),
        }
    }

    /// Of which migration.
    #[must_use]
    pub fn migration(&self) -> &MigrationId {
        &self.migration
    }

    /// The counts as they are now, with the hold that is going on.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut state = self.state();
        state.settle(Instant::now());
        let mut totals = Totals { mirror_dropped: self.mirror.lines(), ..state.totals.clone() };
        for (signal, health) in self.delivery.get().into_iter().flatten() {
            // At the end all that is missing is known; until then what has failed.
            let count = totals.dropped.of(*signal);
            *count = health.failed().max(*count);
        }
        totals
    }

    /// Where the run is, as the latest beat told.
    #[must_use]
    pub fn course(&self) -> Course {
        self.state().course
    }

    /// A renewal of the lease took so long, and came to this.
    pub fn renewed(&self, took: Duration, is_ok: bool) {
        self.state().totals.renewals.add(took, is_ok);
        if let Some(durations) = self.durations.get() {
            durations.renewal(took, is_ok);
        }
    }

    /// What is told to the ledger.
    pub fn progress(&self, progress: &Progress) {
        let mut state = self.state();
        state.course = Course::of(progress);
        if let (Some(done), None) = (progress.done, &progress.engine) {
            // A program that counts from nothing again has not undone anything.
            let rise = u64::try_from(done.saturating_sub(state.done)).unwrap_or(0);
            grow(&mut state.totals.processed, rise);
            state.done = done;
        }
    }

    /// Nothing is worked on any more, whatever the engine may have left open: nothing is held up either.
    pub fn work_is_over(&self) {
        let mut state = self.state();
        state.settle(Instant::now());
        state.in_step = false;
    }

    /// So much of what should be sent has not arrived in the end.
    pub fn dropped(&self, signal: Signal, count: u64) {
        grow(self.state().totals.dropped.of(signal), count);
    }

    /// From now on what fails to be delivered counts at once.
    pub(super) fn watch(&self, delivery: Vec<(Signal, Arc<Health>)>) {
        // Only the first counts: there is one delivery.
        let _ = self.delivery.set(delivery);
    }

    /// From now on each duration is passed on, too.
    pub(super) fn pass_on(&self, durations: Durations) {
        // Only the first counts: there is one who asks.
        let _ = self.durations.set(durations);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panicked has left numbers.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Figures {
    fn step_begins(&self, _: &StepBegun<'_>) {
        let mut state = self.state();
        state.settle(Instant::now());
        state.in_step = true;
    }

    fn step_ends(&self, _: &StepEnd<'_>) {
        self.work_is_over();
    }

    fn batch(&self, batch: &Batch<'_>) {
        let is_ok = !matches!(batch.result, BatchResult::Failed(_));
        {
            let totals = &mut self.state().totals;
            totals.batches.add(batch.took, is_ok);
            grow(&mut totals.retries, u64::from(batch.failures > 0));
            if let BatchResult::Done(counts) = batch.result {
                grow(&mut totals.processed, u64::try_from(counts.matched).unwrap_or(0));
            }
        }
        if let Some(durations) = self.durations.get() {
            durations.batch(batch.took, is_ok);
        }
    }

    fn confirmed(&self, counts: Counts) {
        grow(&mut self.state().totals.processed, u64::try_from(counts.matched).unwrap_or(0));
    }

    fn throttled(&self, verdict: &Verdict) {
        let mut state = self.state();
        state.settle(Instant::now());
        state.why = match (&verdict.hold, &verdict.slow) {
            (Some(hold), _) => Some(Why::Held(hold.kind)),
            (None, Some(_)) => Some(Why::Slowed),
            (None, None) => None,
        };
    }
}

#[cfg(test)]
pub(super) mod tests;
