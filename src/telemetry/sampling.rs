//! Which batches become spans: enough to see what a run is like, and everything out of the ordinary.
//!
//! A run may have a million batches. Kept are, in each step:
//!
//! - every batch that failed, and every one that succeeded after failures;
//! - every slow one: at least [`SLOW`], and at least [`TIMES`] times the moving average;
//! - the first [`FIRST`];
//! - after these, one in [`EVERY`], over all workers together.
//!
//! Each that is kept says why, and for how many it stands.

use std::time::{Duration, Instant};

use crate::engine::observer::{Batch, BatchResult};

/// Ordinary batches kept at the beginning of a step.
pub const FIRST: u32 = 20;
/// Between two ordinary batches that are kept after these.
pub const EVERY: Duration = Duration::from_secs(10);
/// What is faster is not slow.
pub const SLOW: Duration = Duration::from_millis(250);
/// How many times as long as usual is slow.
pub const TIMES: u32 = 3;
/// How much the newest batch counts in the moving average.
const WEIGHT: f64 = 0.05;

/// Why a batch is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is one of the first of its step.
    First,
    /// Its time has come.
    Interval,
    /// It took longer than others.
    Slow,
    /// It failed.
    Failed,
    /// It succeeded after failures.
    Retried,
}

impl Reason {
    /// The word for it in attributes.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Interval => "interval",
            Self::Slow => "slow",
            Self::Failed => "failed",
            Self::Retried => "retried",
        }
    }
}

/// A batch that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Why.
    pub reason: Reason,
    /// Batches since the last that was kept, this one included.
    pub stands_for: u64,
}

/// Decides for the batches of one step.
#[derive(Debug)]
pub struct Sampler {
    first: u32,
    next: Option<Instant>,
    average: Option<f64>,
    passed_over: u64,
}

impl Sampler {
    /// For a step that begins.
    #[must_use]
    pub fn of_step() -> Self {
        Self { first: FIRST, next: None, average: None, passed_over: 0 }
    }

    /// Whether a batch that was over at `now` is kept.
    pub fn look(&mut self, batch: &Batch<'_>, now: Instant) -> Option<Kept> {
        self.passed_over += 1;
        let reason = self.reason(batch, now)?;
        self.next = Some(now + EVERY);
        Some(Kept { reason, stands_for: std::mem::take(&mut self.passed_over) })
    }

    fn reason(&mut self, batch: &Batch<'_>, now: Instant) -> Option<Reason> {
        if matches!(batch.result, BatchResult::Failed(_)) {
            return Some(Reason::Failed);
        }
        let took = batch.took.as_secs_f64();
        let before = *self.average.get_or_insert(took);
        self.average = Some(before + WEIGHT * (took - before));
        if batch.failures > 0 || batch.result == BatchResult::DoneBefore {
            return Some(Reason::Retried);
        }
        if batch.took >= SLOW && took >= f64::from(TIMES) * before {
            return Some(Reason::Slow);
        }
        if self.first > 0 {
            self.first -= 1;
            return Some(Reason::First);
        }
        self.next.is_none_or(|next| now >= next).then_some(Reason::Interval)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::apply::Counts;

    fn batch(millis: u64, failures: u32, result: BatchResult<'static>) -> Batch<'static> {
        Batch { range: "0", documents: 10, took: Duration::from_millis(millis), failures, result }
    }

    fn done(millis: u64) -> Batch<'static> {
        batch(millis, 0, BatchResult::Done(Counts::default()))
    }

    #[test]
    fn the_first_are_kept_and_then_one_in_a_while_that_stands_for_the_others() {
        let start = Instant::now();
        let mut sampler = Sampler::of_step();
        let kept: Vec<_> =
            (0..2_000_u64).filter_map(|n| sampler.look(&done(20), start + Duration::from_millis(20 * n))).collect();
        assert_eq!(kept.len(), FIRST as usize + 3, "in 40 s of batches");
        assert_eq!(kept[0], Kept { reason: Reason::First, stands_for: 1 });
        assert_eq!(kept.last().unwrap(), &Kept { reason: Reason::Interval, stands_for: 500 });
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_always_kept() {
        let start = Instant::now();
        let mut sampler = Sampler::of_step();
        for _ in 0..100 {
            sampler.look(&done(100), start);
        }
        let mut reason = |batch: Batch<'_>| sampler.look(&batch, start).map(|kept| kept.reason);
        assert_eq!(reason(done(100)), None);
        assert_eq!(reason(done(900)), Some(Reason::Slow));
        assert_eq!(reason(done(240)), None, "a quarter of a second is never slow");
        assert_eq!(reason(batch(5, 0, BatchResult::Failed("x"))), Some(Reason::Failed));
        assert_eq!(reason(batch(5, 1, BatchResult::Done(Counts::default()))), Some(Reason::Retried));
        assert_eq!(reason(batch(5, 0, BatchResult::DoneBefore)), Some(Reason::Retried));
    }

    #[test]
    fn a_server_that_has_become_slow_for_good_is_soon_the_usual_one() {
        let start = Instant::now();
        let mut sampler = Sampler::of_step();
        for _ in 0..100 {
            sampler.look(&done(100), start);
        }
        let slow = (0..200).filter(|_| sampler.look(&done(1_000), start).is_some()).count();
        assert!((5..40).contains(&slow), "{slow}");
    }

    proptest! {
        #[test]
        fn all_kept_together_stand_for_all(took in prop::collection::vec((0..3_000_u64, 0..2_u32), 1..500)) {
            let start = Instant::now();
            let mut sampler = Sampler::of_step();
            let mut at = start;
            let mut stood_for = 0;
            for (millis, failures) in &took {
                at += Duration::from_millis(*millis);
                let batch = batch(*millis, *failures, BatchResult::Done(Counts::default()));
                stood_for += sampler.look(&batch, at).map_or(0, |kept| kept.stands_for);
            }
            prop_assert_eq!(stood_for + sampler.passed_over, took.len() as u64);
        }
    }
}
