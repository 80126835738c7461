//! How far the steps are, put together from all lanes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalog::Speed;
use crate::ledger::EngineProgress;

use super::checkpoint::Totals;

/// What the engine tells of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Items of the current step that are done.
    pub done: Option<i64>,
    /// Items of the current step.
    pub total: Option<i64>,
    /// What it does just now.
    pub message: Option<String>,
    /// Where the step stands, for people: the true checkpoint is in the database that it changes.
    pub checkpoint: Option<String>,
    /// All else.
    pub progress: EngineProgress,
}

/// Collects and publishes.
#[derive(Clone)]
pub struct Tally {
    state: Arc<Mutex<State>>,
    publish: Arc<dyn Fn(Report) + Send + Sync>,
}

#[derive(Default)]
struct State {
    report: Report,
    /// Of passes that are over.
    base: Totals,
    /// Of each range of the current pass.
    ranges: BTreeMap<String, Totals>,
    /// Documents of a pass that only verifies are not done a second time.
    verifying: bool,
    /// `done` and `total` are told by the step itself.
    told: bool,
}

impl Tally {
    /// Tells `publish` of every change.
    #[must_use]
    pub fn new(steps: usize, publish: Arc<dyn Fn(Report) + Send + Sync>) -> Self {
        let tally = Self { state: Arc::default(), publish };
        tally.change(|state| state.report.progress.steps = u32::try_from(steps).unwrap_or(u32::MAX));
        tally
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let report = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut state);
            let totals = state.totals();
            let State { report, verifying, told, base, .. } = &mut *state;
            let progress = &mut report.progress;
            progress.matched = if *verifying { base.matched } else { totals.matched };
            progress.modified = totals.modified;
            progress.skipped = if *verifying { base.skipped } else { totals.skipped };
            progress.quarantined = totals.quarantined;
            if !*told {
                report.done = Some(progress.matched + progress.quarantined);
                // More may have come since they were counted.
                report.total = report.total.map(|total| total.max(report.done.unwrap_or(0)));
            }
            report.clone()
        };
        (self.publish)(report);
    }

    /// A step begins.
    pub fn begin(&self, index: u32, title: &str) {
        self.change(|state| {
            let EngineProgress { steps, retried, speed, .. } = state.report.progress;
            *state = State::default();
            state.report.progress = EngineProgress {
                step: index,
                steps,
                title: title.to_owned(),
                retried,
                speed,
                ..EngineProgress::default()
            };
        });
    }

    /// What the step knows of its size.
    pub fn expect(&self, total: Option<i64>, estimated: bool) {
        self.change(|state| {
            state.report.total = total;
            state.report.progress.estimated = estimated;
        });
    }

    /// What the passes before the current one have come to.
    pub fn base(&self, totals: Totals, verifying: bool) {
        self.change(|state| {
            state.base = totals;
            state.verifying = verifying;
            state.ranges.clear();
        });
    }

    /// How a range stands.
    pub fn range(&self, id: &str, totals: Totals, batch: Option<u32>) {
        self.change(|state| {
            state.ranges.insert(id.to_owned(), totals);
            if let Some(batch) = batch {
                state.report.progress.batch = i64::from(batch);
            }
        });
    }

    /// Where the step stands, for people.
    pub fn at(&self, text: String) {
        self.change(|state| state.report.checkpoint = Some(text));
    }

    /// What a step that walks nothing says of itself.
    pub fn tell(&self, done: i64, total: Option<i64>, message: Option<String>) {
        self.change(|state| {
            state.told = true;
            state.report.done = Some(done);
            state.report.total = total;
            state.report.message = message;
        });
    }

    /// What is going on.
    pub fn say(&self, message: Option<String>) {
        self.change(|state| state.report.message = message);
    }

    /// A batch is tried again.
    pub fn retried(&self) {
        self.change(|state| state.report.progress.retried += 1);
    }

    /// Why it holds, if it does, and how fast it may go.
    pub fn throttled(&self, hold: Option<String>, speed: Speed) {
        self.change(|state| {
            state.report.progress.hold = hold;
            state.report.progress.speed = speed;
        });
    }

    /// What the step has come to so far, over all its passes.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).totals()
    }
}

impl State {
    fn totals(&self) -> Totals {
        self.ranges.values().fold(self.base, |sum, totals| sum.plus(*totals))
    }
}
