//! How far the run is: everything the heartbeat tells, put together.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::ledger::{Progress, Rate, RemainingCount};

use super::pump::Said;
use super::warnings::Warnings;

/// Over how long the recent rate is taken.
const RECENT: Duration = Duration::from_secs(30);

/// The sources of an attempt's progress.
pub struct Board {
    /// What earlier attempts had come to, until the program says more.
    before: Progress,
    said: watch::Receiver<Said>,
    remaining: watch::Receiver<Option<RemainingCount>>,
    warnings: Warnings,
    pace: Option<Pace>,
    /// The native step that is counted.
    step: Option<u32>,
    started: Instant,
}

impl Board {
    /// A board for an attempt that starts now; `before` is what the ledger knows of the run.
    #[must_use]
    pub fn new(
        before: &Progress,
        said: watch::Receiver<Said>,
        remaining: watch::Receiver<Option<RemainingCount>>,
        warnings: Warnings,
    ) -> Self {
        let before = Progress { message: None, rate: None, warnings: Vec::new(), ..before.clone() };
        Self { before, said, remaining, warnings, pace: None, step: None, started: Instant::now() }
    }

    /// What the program says, to be waited on.
    pub fn said(&mut self) -> &mut watch::Receiver<Said> {
        &mut self.said
    }

    /// The progress as it is now.
    pub fn progress(&mut self) -> Progress {
        let said = self.said.borrow_and_update().clone();
        let now = Instant::now();
        let step = said.engine.as_ref().map(|engine| engine.step);
        if step != self.step {
            // Each step counts from nothing.
            self.step = step;
            (self.pace, self.started) = (None, now);
        }
        let rate = said.done.map(|done| {
            let before = self.before.done;
            self.pace.get_or_insert_with(|| Pace::new(self.started, before.unwrap_or(0).min(done))).at(now, done)
        });
        Progress {
            done: said.done.or(self.before.done),
            total: said.total.or(self.before.total),
            message: said.message,
            rate,
            remaining: self.remaining.borrow_and_update().clone().or_else(|| self.before.remaining.clone()),
            warnings: self.warnings.list(),
            engine: said.engine.or_else(|| self.before.engine.clone()),
        }
    }
}

/// How fast items get done.
struct Pace {
    started: Instant,
    /// Items that were done when the attempt started.
    base: i64,
    /// Times and counts of the last half minute, oldest first; the oldest is just outside of it.
    recent: VecDeque<(Instant, i64)>,
}

impl Pace {
    fn new(started: Instant, base: i64) -> Self {
        Self { started, base, recent: VecDeque::from([(started, base)]) }
    }

    fn at(&mut self, now: Instant, done: i64) -> Rate {
        self.recent.push_back((now, done));
        while self.recent.len() > 2 && now.duration_since(self.recent[1].0) >= RECENT {
            self.recent.pop_front();
        }
        let (since, then) = self.recent[0];
        Rate {
            recent: per_second(done - then, now.duration_since(since)),
            overall: per_second(done - self.base, now.duration_since(self.started)),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate on a screen needs no more than 52 bits")]
fn per_second(items: i64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { items.max(0) as f64 / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the figures are exact in binary")]
    fn the_recent_rate_forgets_and_the_overall_one_does_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(start, 100);
        assert_eq!(pace.at(at(10), 200), Rate { recent: 10.0, overall: 10.0 });
        for second in 11..=40 {
            pace.at(at(second), 200);
        }
        assert_eq!(pace.at(at(50), 200), Rate { recent: 0.0, overall: 2.0 });
        assert_eq!(pace.at(at(50), 150).recent, 0.0, "a count that falls back is no negative rate");
        assert!(pace.recent.len() <= 34);
    }

    #[test]
    fn what_an_earlier_attempt_said_holds_until_the_program_speaks() {
        let before =
            Progress { done: Some(70), total: Some(100), message: Some("old".to_owned()), ..Progress::default() };
        let (say, said) = watch::channel(Said::default());
        let (_count, remaining) = watch::channel(None);
        let mut board = Board::new(&before, said, remaining, Warnings::default());
        let progress = board.progress();
        assert_eq!((progress.done, progress.total, progress.message), (Some(70), Some(100), None));
        say.send_modify(|said| said.done = Some(80));
        assert_eq!(board.progress().done, Some(80));
    }
}
