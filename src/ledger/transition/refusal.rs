//! Why an action is refused.

use std::time::Duration;

use crate::time::{Timestamp, short_duration};

/// Why an action is refused; nothing was changed. Every text names the run and the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The run has ended for good.
    #[error("run {run} ended at {at} ({word}); there is nothing left to {verb}{hint}")]
    Ended {
        /// Short id.
        run: String,
        /// Its state.
        word: &'static str,
        /// When.
        at: Timestamp,
        /// What was asked.
        verb: &'static str,
        /// What to do instead.
        hint: String,
    },
    /// A resume of a run that is at work.
    #[error("run {run} is {word} in pod {pod} (last heard of {ago} ago); it needs no resume{first}")]
    Live {
        /// Short id.
        run: String,
        /// Its state.
        word: &'static str,
        /// Where.
        pod: String,
        /// Since the last heartbeat.
        ago: String,
        /// Who resumed it before, if somebody did.
        first: String,
    },
    /// A pause of a run whose worker cannot answer.
    #[error(
        "run {run} is lost: its worker in pod {pod} has not been heard of for {ago}; `stopover resume {run}` takes it over, `stopover cancel {run}` ends it"
    )]
    Lost {
        /// Short id.
        run: String,
        /// Where it was.
        pod: String,
        /// Since the last heartbeat.
        ago: String,
    },
    /// A worker's write with an epoch that is no longer the current one: another attempt exists, or the run was ended.
    #[error("attempt {attempt} of run {run} no longer holds the lease: the run is {word}, attempt {current}")]
    Fenced {
        /// Short id.
        run: String,
        /// The writer's attempt.
        attempt: u32,
        /// The attempt that holds now.
        current: u32,
        /// Its state.
        word: &'static str,
    },
    /// A stop by force of a run that nobody asked to stop.
    #[error(
        "run {run} was not asked to stop yet, and may do so by itself: `stopover {verb} {run}` asks it; force comes after"
    )]
    NotAsked {
        /// Short id.
        run: String,
        /// `pause` or `cancel`.
        verb: &'static str,
    },
    /// A stop by force of a run whose program still has time to stop.
    #[error("run {run} is {word}: {first}, and its program has {} left to stop at a checkpoint; try again then", short_duration(*.left))]
    TooEarly {
        /// Short id.
        run: String,
        /// `pausing` or `cancelling`.
        word: &'static str,
        /// Who asked, when, and from where.
        first: String,
        /// Until force is due.
        left: Duration,
    },
    /// A pod would resume by itself what only an operator may.
    #[error("run {run} is {word}: only an operator continues it, with `stopover resume {run}`")]
    OperatorsOnly {
        /// Short id.
        run: String,
        /// Its state.
        word: &'static str,
    },
    /// A pod would look after a run a second time.
    #[error("pod {pod} has looked after run {run} {ago} ago, and does so once; `stopover resume {run}` continues it")]
    LookedAfter {
        /// Short id.
        run: String,
        /// The pod.
        pod: String,
        /// Since then.
        ago: String,
    },
    /// Pods have resumed it by themselves often enough.
    #[error(
        "run {run} was resumed {times} times without an operator and did not come to its end; find out why, then `stopover resume {run}` continues it"
    )]
    ResumedTooOften {
        /// Short id.
        run: String,
        /// How often.
        times: usize,
    },
}
