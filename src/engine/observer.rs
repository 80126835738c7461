//! What the engine tells whoever measures it: the course of steps and batches, and what holds them up.
//!
//! It is told in passing, from the engine's own task: an observer notes what it is told and returns at once.

use std::sync::Arc;
use std::time::Duration;

use super::apply::Counts;
use super::checkpoint::Totals;
use super::throttle::Verdict;

/// Somebody who measures. Nothing is asked of it, and nothing depends on it.
pub trait Observer: Send + Sync {
    /// A step begins, or goes on where an earlier attempt has left it.
    fn step_begins(&self, step: &StepBegun<'_>);
    /// The step that began last is over in this attempt.
    fn step_ends(&self, end: &StepEnd<'_>);
    /// A batch was tried.
    fn batch(&self, batch: &Batch<'_>);
    /// Batches that nobody knew to be committed turn out to be: this is what they have done.
    fn confirmed(&self, counts: Counts);
    /// The verdict on the state of the server has changed.
    fn throttled(&self, verdict: &Verdict);
}

/// Several measure.
impl Observer for Vec<Arc<dyn Observer>> {
    fn step_begins(&self, step: &StepBegun<'_>) {
        for observer in self {
            observer.step_begins(step);
        }
    }

    fn step_ends(&self, end: &StepEnd<'_>) {
        for observer in self {
            observer.step_ends(end);
        }
    }

    fn batch(&self, batch: &Batch<'_>) {
        for observer in self {
            observer.batch(batch);
        }
    }

    fn confirmed(&self, counts: Counts) {
        for observer in self {
            observer.confirmed(counts);
        }
    }

    fn throttled(&self, verdict: &Verdict) {
        for observer in self {
            observer.throttled(verdict);
        }
    }
}

/// A step that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepBegun<'a> {
    /// Which, from 0.
    pub index: u32,
    /// What it does, e.g. `backfill transactions`.
    pub title: &'a str,
    /// Its kind, as its manifest says it, e.g. `backfill`.
    pub kind: &'static str,
    /// The database that it works on.
    pub database: &'a str,
    /// The collection that it works on, if it is one.
    pub collection: Option<&'a str>,
}

/// How a step ended in this attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepEnd<'a> {
    /// What it has come to, over all attempts.
    pub totals: Totals,
    /// How.
    pub how: How<'a>,
}

/// See [`StepEnd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How<'a> {
    /// Nothing of it is left.
    Done,
    /// It stopped at a checkpoint, for it was asked to, or because a later attempt holds the run.
    Stopped,
    /// It cannot go on; says why.
    Failed(&'a str),
}

/// A batch that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The range of the collection that it belongs to.
    pub range: &'a str,
    /// Documents that it looked at.
    pub documents: u32,
    /// From its first call to its last answer, without what was read ahead meanwhile.
    pub took: Duration,
    /// How often the lane has tried in vain since its last success.
    pub failures: u32,
    /// What came of it.
    pub result: BatchResult<'a>,
}

/// See [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchResult<'a> {
    /// It is committed.
    Done(Counts),
    /// An earlier try had been committed already, of which only the answer was lost: see [`Observer::confirmed`].
    DoneBefore,
    /// Nothing of it counts; says why.
    Failed(&'a str),
}
