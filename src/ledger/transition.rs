//! The state machine of a run, as a pure function: both stores apply it, so that they cannot disagree.
//!
//! A store reads the run together with its own clock, calls [`Run::apply`], and writes the result only if the run
//! has not changed in between (a transaction in SQLite, a compare-and-set on the revision in MongoDB).

mod ending;
mod event;
mod loss;
mod refusal;
mod resume;
mod stop;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Checksum;
use crate::place::{Actor, Place};
use crate::time::{Timestamp, short_duration};

use super::failure::Failure;
use super::progress::Progress;
use super::recovery::Resumer;
use super::run::{Interruption, Lease, Run, RunState, Standing, Worker};
use super::tuning::{SpeedChange, Tuning};
use super::wish::{Wish, WishKind};
use super::{Beat, BeatReply, NewRun};

pub use event::{Event, EventKind};
pub use refusal::Refusal;
pub use stop::Heard;

/// Something that changes where a run stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The worker of an attempt takes it up.
    Claim {
        /// The attempt the worker was started for.
        attempt: u32,
        /// The worker's process.
        worker: Worker,
        /// How long its right holds without renewal.
        lease: Duration,
    },
    /// The worker of an attempt reports its end.
    Finish {
        /// The attempt that ended.
        attempt: u32,
        /// How.
        outcome: Outcome,
    },
    /// An operator asks for a stop that can be resumed, or for a final one.
    Stop {
        /// Which.
        kind: WishKind,
        /// Who asks.
        by: Actor,
    },
    /// An operator asks that a run which was asked to stop, and has not within its grace, stops whatever its program does.
    Force {
        /// What is to become of it.
        kind: WishKind,
        /// Who asks.
        by: Actor,
        /// How long a program has to stop by itself.
        grace: Duration,
    },
    /// The worker of an attempt says that it has heard what operators asked.
    Acknowledge {
        /// The attempt.
        attempt: u32,
        /// What it heard.
        heard: Heard,
    },
    /// An operator, or a pod by itself, asks for the next attempt of a run that stands still or is lost.
    Resume {
        /// Who asks.
        by: Resumer,
        /// How long the new worker has to claim it.
        lease: Duration,
        /// What it executes from now on, where that is not what was launched.
        content: Option<NewContent>,
        /// The pid of the lost worker, when it is of this pod and something of it is still there to be killed.
        leftover: Option<i32>,
    },
    /// A pod says why it does not resume a run by itself.
    Decline {
        /// The pod.
        by: Arc<Place>,
        /// Why, and what would help.
        reason: String,
    },
    /// An operator sets the speed of a run's native work.
    Tune {
        /// Who.
        by: Actor,
        /// To what.
        speed: SpeedChange,
    },
    /// A pod takes it upon itself to tell people that an attempt is lost, or says who was told.
    TellLoss {
        /// The attempt.
        attempt: u32,
        /// The pod.
        by: Arc<Place>,
        /// Receivers that are done with, by name; none where it only takes it upon itself.
        told: BTreeSet<String>,
        /// Whether these are all.
        is_delivered: bool,
    },
}

impl Action {
    /// An operator's resume of what was launched.
    #[must_use]
    pub fn resume(by: Actor, lease: Duration) -> Self {
        Self::Resume { by: Resumer::Operator(by), lease, content: None, leftover: None }
    }
}

/// What a resumed run executes when its migration has changed since the launch, and the operator accepted that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewContent {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The content it is part of.
    pub checksum: Checksum,
}

/// How an attempt ended, as its worker saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is done.
    Succeeded,
    /// It ended in an error.
    Failed(Failure),
    /// It stopped because of the operator's wish that the ledger holds: what becomes of the run is for that wish to say, since
    /// a pause may have turned into a cancel while the program was stopping.
    Stopped,
    /// It stopped for another reason than a wish.
    Interrupted(Interruption),
}

/// What an action did.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// The run as it is now and the event to record with it, in one write.
    Changed(Box<Run>, Event),
    /// The run as it is now; what was noted is no part of its history.
    Noted(Box<Run>),
    /// Nothing: what was asked for holds already. Says so, with who did it and when.
    Already(String),
}

impl Run {
    /// A new run, recorded at `now`, a time of the ledger's clock, and the event to record with it. It is later than `previous`, when
    /// the migration's latest run was created, even if the clock was set back: the order of runs is that of their times.
    #[must_use]
    pub fn launched(new: NewRun, previous: Option<Timestamp>, now: Timestamp) -> (Self, Event) {
        let now = previous.map_or(now, |previous| now.max(previous.plus(Duration::from_millis(1))));
        let NewRun { id, migration, launch, lease } = new;
        let by = launch.by.clone();
        let run = Self {
            id,
            migration,
            created_at: now,
            launch,
            attempt: 1,
            started_at: None,
            worker: None,
            state: RunState::Queued { since: now, lease: Lease::granted(now, lease) },
            tuning: None,
            resumed: None,
            recoveries: Vec::new(),
            loss: None,
            beat: 0,
            progress: Progress::default(),
            checkpoint: None,
            updated_at: now,
        };
        let text = format!("{} launched it from pod {}", by.operator, by.place.pod);
        (run, Event { at: now, attempt: 1, kind: EventKind::Launched, by: Some(by), text })
    }

    /// Takes in a heartbeat of `attempt` at `now`, a time of the ledger's clock. One that comes after a later one, or once more, changes nothing.
    ///
    /// # Errors
    /// [`Refusal::Fenced`] when the attempt no longer holds the run.
    pub fn beat(&self, attempt: u32, beat: Beat, now: Timestamp) -> Result<Self, Refusal> {
        let RunState::Running { since, wish, .. } = &self.state else {
            return Err(self.fenced(attempt, now));
        };
        if !self.is_held_by(attempt) {
            return Err(self.fenced(attempt, now));
        }
        let mut next = self.clone();
        if self.has_heard(attempt, beat.number) {
            return Ok(next);
        }
        next.beat = beat.number;
        next.state = RunState::Running { since: *since, lease: self.renewed(beat.lease, now), wish: wish.clone() };
        next.progress = beat.progress;
        if let Some(checkpoint) = beat.checkpoint {
            next.checkpoint = Some(checkpoint);
        }
        next.updated_at = self.next_update(now);
        Ok(next)
    }

    /// Whether this heartbeat, or a later one, of the attempt that holds the run was taken in already.
    pub(super) fn has_heard(&self, attempt: u32, number: u64) -> bool {
        self.is_held_by(attempt) && self.beat >= number
    }

    /// What the worker is told after a heartbeat.
    pub(super) fn beat_reply(&self, now: Timestamp) -> BeatReply {
        let wish = match &self.state {
            RunState::Running { wish, .. } => wish.as_ref().map(|wish| wish.kind),
            _ => None,
        };
        BeatReply {
            wish,
            is_forced: self.is_forced(),
            speed: self.speed(),
            expires_at: self.lease().map_or(now, |lease| lease.expires_at),
        }
    }

    /// The time of a change at `now`: strictly after the change before it, so that [`Run::updated_at`] orders the states of a run
    /// even within a millisecond and when the ledger's clock is set back.
    fn next_update(&self, now: Timestamp) -> Timestamp {
        now.max(self.updated_at.plus(Duration::from_millis(1)))
    }

    /// Applies `action` at `now`, a time of the ledger's clock.
    ///
    /// # Errors
    /// A [`Refusal`] when the run's state does not allow it.
    pub fn apply(&self, action: Action, now: Timestamp) -> Result<Applied, Refusal> {
        match action {
            Action::Claim { attempt, worker, lease } => self.claim(attempt, worker, lease, now),
            Action::Finish { attempt, outcome } => self.finish(attempt, outcome, now),
            Action::Stop { kind, by } => self.stop(kind, by, now),
            Action::Force { kind, by, grace } => self.force(kind, by, grace, now),
            Action::Acknowledge { attempt, heard } => self.acknowledge(attempt, heard, now),
            Action::Resume { by, lease, content, leftover } => self.resume(&by, lease, content, leftover, now),
            Action::Decline { by, reason } => self.decline(&by, &reason, now),
            Action::Tune { by, speed } => self.tune(by, speed, now),
            Action::TellLoss { attempt, by, told, is_delivered } => {
                Ok(self.tell_loss(attempt, &by, told, is_delivered, now))
            }
        }
    }

    fn claim(&self, attempt: u32, worker: Worker, lease: Duration, now: Timestamp) -> Result<Applied, Refusal> {
        // The same worker asks again when the answer to its first claim was lost on the way.
        if self.is_held_by(attempt) && self.worker.as_ref() == Some(&worker) {
            return Ok(Applied::Already(format!("attempt {attempt} of run {} is claimed already", self.id.short())));
        }
        // A worker that comes after its time may not start: somebody may have decided that it never will.
        if attempt != self.attempt || self.standing(now) != Standing::Queued {
            return Err(self.fenced(attempt, now));
        }
        let text = format!("attempt {attempt} started in pod {}, pid {}", worker.place.pod, worker.process.pid);
        let mut next = self.clone();
        next.worker = Some(worker);
        next.beat = 0;
        next.started_at.get_or_insert(now);
        next.state = RunState::Running { since: now, lease: Lease::granted(now, lease), wish: None };
        Ok(self.changed(next, now, EventKind::Claimed, None, text))
    }

    /// Whether `attempt` is the running one, whose worker alone may write. An expired lease that nobody has taken over
    /// still is: nothing else can have run since.
    #[must_use]
    pub fn is_held_by(&self, attempt: u32) -> bool {
        attempt == self.attempt && matches!(self.state, RunState::Running { .. })
    }

    fn finish(&self, attempt: u32, outcome: Outcome, now: Timestamp) -> Result<Applied, Refusal> {
        if self.has_recorded(attempt, &outcome) {
            return Ok(Applied::Already(format!(
                "the end of attempt {attempt} of run {} is recorded already",
                self.id.short()
            )));
        }
        let wish = match (&self.state, &outcome) {
            (RunState::Running { wish, .. }, _) if self.is_held_by(attempt) => wish.clone(),
            // Its worker was ended before it could claim the run, and whoever ended it says so.
            (RunState::Queued { .. }, Outcome::Interrupted(_)) if attempt == self.attempt => None,
            _ => return Err(self.fenced(attempt, now)),
        };
        let mut next = self.clone();
        let (kind, by, text) = match outcome {
            Outcome::Succeeded => {
                next.state = RunState::Succeeded { at: now };
                (EventKind::Succeeded, None, "succeeded".to_owned())
            }
            Outcome::Failed(failure) => {
                let text = format!("failed: {}", failure.cause);
                next.state = RunState::Failed { at: now, failure };
                (EventKind::Failed, None, text)
            }
            Outcome::Stopped => match wish {
                Some(Wish { kind: WishKind::Pause, by, .. }) => {
                    next.state = RunState::Paused { at: now, by: by.clone() };
                    (EventKind::Paused, Some(by), "paused".to_owned())
                }
                Some(Wish { kind: WishKind::Cancel, by, .. }) => {
                    next.state = RunState::Cancelled { at: now, by: by.clone() };
                    (EventKind::Cancelled, Some(by), "cancelled".to_owned())
                }
                // Wishes are never withdrawn, so this is a worker that errs; what it left can be resumed.
                None => {
                    next.state = RunState::Interrupted { at: now, cause: Interruption::AskedToResume };
                    (EventKind::Interrupted, None, "interrupted: it stopped although nobody asked for it".to_owned())
                }
            },
            Outcome::Interrupted(cause) => {
                next.state = RunState::Interrupted { at: now, cause };
                let text =
                    next.reason().map_or_else(|| "interrupted".to_owned(), |reason| format!("interrupted: {reason}"));
                (EventKind::Interrupted, None, text)
            }
        };
        Ok(self.changed(next, now, kind, by, text))
    }

    /// Whether `attempt` has ended in `outcome` already: its worker reports again when the answer to its first report was lost on the way.
    fn has_recorded(&self, attempt: u32, outcome: &Outcome) -> bool {
        attempt == self.attempt
            && match (outcome, &self.state) {
                (Outcome::Succeeded, RunState::Succeeded { .. })
                | (Outcome::Stopped, RunState::Paused { .. } | RunState::Cancelled { .. }) => true,
                (Outcome::Failed(reported), RunState::Failed { failure, .. }) => reported == failure,
                (Outcome::Interrupted(reported), RunState::Interrupted { cause, .. }) => reported == cause,
                _ => false,
            }
    }

    /// Sets the speed for this attempt and all later ones: a worker learns of it with its next heartbeat, or as it starts.
    fn tune(&self, by: Actor, change: SpeedChange, now: Timestamp) -> Result<Applied, Refusal> {
        if !self.is_open() {
            return Err(self.ended("tune", now));
        }
        let speed = match &self.tuning {
            Some(tuning) if tuning.speed.then(change) == tuning.speed => {
                return Ok(Applied::Already(format!(
                    "run {} is set to {} already: {}",
                    self.id.short(),
                    tuning.speed,
                    told(&tuning.by, tuning.at, now)
                )));
            }
            Some(tuning) => tuning.speed.then(change),
            None => change,
        };
        let text = format!("{} set it to {change}", by.operator);
        let mut next = self.clone();
        next.tuning = Some(Tuning { speed, by: by.clone(), at: now, heard_at: None });
        Ok(self.changed(next, now, EventKind::Tuned, Some(by), text))
    }

    fn is_lost(&self, now: Timestamp) -> bool {
        self.standing(now) == Standing::Lost
    }

    fn silence(&self, now: Timestamp) -> String {
        short_duration(self.lease().map_or(Duration::ZERO, |lease| now.since(lease.renewed_at)))
    }

    fn lost(&self, now: Timestamp) -> Refusal {
        Refusal::Lost { run: self.id.short(), pod: self.place().pod.clone(), ago: self.silence(now) }
    }

    /// The refusal for a worker whose attempt no longer holds this run.
    #[must_use]
    pub fn fenced(&self, attempt: u32, now: Timestamp) -> Refusal {
        Refusal::Fenced { run: self.id.short(), attempt, current: self.attempt, word: self.standing(now).word() }
    }

    fn changed(&self, mut next: Self, now: Timestamp, kind: EventKind, by: Option<Actor>, text: String) -> Applied {
        next.updated_at = self.next_update(now);
        let event = Event { at: now, attempt: next.attempt, kind, by, text };
        Applied::Changed(Box::new(next), event)
    }

    fn ended(&self, verb: &'static str, now: Timestamp) -> Refusal {
        let standing = self.standing(now);
        let hint = match (standing, verb) {
            (Standing::Failed, _) => format!("; `stopover resume {}` continues it", self.id.short()),
            (Standing::Succeeded | Standing::Cancelled, "resume") => {
                format!("; `stopover run {} --rerun` starts a new run", self.migration)
            }
            _ => String::new(),
        };
        Refusal::Ended { run: self.id.short(), word: standing.word(), at: self.ended_at().unwrap_or(now), verb, hint }
    }
}

/// Who did something first, when and from where: what the second to ask is told.
fn told(by: &Actor, at: Timestamp, now: Timestamp) -> String {
    format!("{} did it {} ago, from pod {}", by.operator, short_duration(now.since(at)), by.place.pod)
}

#[cfg(test)]
mod tests;
