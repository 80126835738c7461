//! How far a run is, as its latest heartbeat told the ledger.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalog::Speed;
use crate::time::Timestamp;

/// How far a run is. Everything is optional: a program need not say anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Items done so far, over all attempts, as the program counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<i64>,
    /// Items there are to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// The program's status line, sanitised and cut to [`Progress::MAX_MESSAGE`] characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Items per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The count of what is left, from the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<RemainingCount>,
    /// What the operator should know and the run goes on in spite of, e.g. that the mirror cannot be opened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the native engine tells of itself; nothing for a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Box<EngineProgress>>,
}

/// What the native engine tells beyond how much is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EngineProgress {
    /// The step it is at, from 0.
    pub step: u32,
    /// How many there are.
    pub steps: u32,
    /// What the step does, e.g. `backfill transactions`.
    pub title: String,
    /// Whether the total is an estimate, because counting would have taken too long.
    pub estimated: bool,
    /// Documents that the filter selected, over all attempts of this step.
    pub matched: i64,
    /// Of these, documents that were changed or written.
    pub modified: i64,
    /// Of these, documents that a transform left alone.
    pub skipped: i64,
    /// Documents that are left out because the server or the transform refuses them.
    pub quarantined: i64,
    /// Batches of this attempt that were tried again after an error that passes.
    pub retried: i64,
    /// Why it holds or goes slower just now, e.g. `replication lag 4.2 s > 2 s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Documents in the latest batch.
    pub batch: i64,
    /// How fast it may go just now.
    pub speed: Speed,
}

/// Items per second, over the last half minute and over the whole attempt: the two ends of an honest forecast.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Over the last 30 seconds.
    pub recent: f64,
    /// Since the attempt started.
    pub overall: f64,
}

/// The latest counts of what is left to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemainingCount {
    /// Items left at the latest count.
    pub count: i64,
    /// When it was counted, by the worker's clock: for display only.
    pub at: Timestamp,
    /// Earlier counts, oldest first, thinned out to at most [`Progress::MAX_HISTORY`], the latest included.
    pub history: Vec<i64>,
    /// Since when it has not fallen although the run goes on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stalled_since: Option<Timestamp>,
}

impl EngineProgress {
    /// What [`EngineProgress::hold`] begins with while no batch may begin.
    pub const HOLDING: &str = "holding: ";

    /// Whether no batch may begin just now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.starts_with(Self::HOLDING))
    }
}

impl Progress {
    /// Longest status line kept, in characters.
    pub const MAX_MESSAGE: usize = 200;
    /// Most counts of `remaining` kept.
    pub const MAX_HISTORY: usize = 64;

    /// The part that is done, 0 to 1, when it can be known.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a fraction on a screen needs no more than 52 bits")]
    pub fn fraction(&self) -> Option<f64> {
        match (self.done, self.total) {
            (Some(done), Some(total)) if total > 0 => Some((done as f64 / total as f64).clamp(0.0, 1.0)),
            _ => None,
        }
    }

    /// The shortest and the longest time it may still take, from the two rates; `None` while nothing can be said.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a forecast needs no more than 52 bits")]
    pub fn eta(&self) -> Option<(Duration, Duration)> {
        let left = (self.total? - self.done?).max(0) as f64;
        let rate = self.rate?;
        let (slow, fast) =
            if rate.recent < rate.overall { (rate.recent, rate.overall) } else { (rate.overall, rate.recent) };
        let time = |speed: f64| Duration::try_from_secs_f64(left / speed).ok();
        Some((time(fast)?, time(slow)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: i64, total: i64, recent: f64, overall: f64) -> Progress {
        Progress { done: Some(done), total: Some(total), rate: Some(Rate { recent, overall }), ..Progress::default() }
    }

    #[test]
    fn the_forecast_is_a_range_between_the_two_rates() {
        let (soonest, latest) = progress(400, 1_000, 20.0, 10.0).eta().unwrap();
        assert_eq!((soonest.as_secs(), latest.as_secs()), (30, 60));
    }

    #[test]
    fn a_run_that_stands_still_has_no_forecast() {
        assert_eq!(progress(400, 1_000, 0.0, 10.0).eta(), None);
        assert_eq!(Progress::default().eta(), None);
    }

    #[test]
    fn the_fraction_stays_within_its_bounds() {
        assert_eq!(progress(1_200, 1_000, 1.0, 1.0).fraction(), Some(1.0));
        assert_eq!(progress(0, 0, 1.0, 1.0).fraction(), None);
    }
}
