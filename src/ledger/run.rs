//! One launch of one migration, as the ledger keeps it.
//!
//! The fields of a state live inside its variant, so that a run cannot be, say, running and have an end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalog::{Checksum, MigrationId, ResumePolicy, Work};
use crate::place::{Actor, Place};
use crate::process::ProcessIdentity;
use crate::time::Timestamp;

use super::checkpoint::Checkpoint;
use super::failure::Failure;
use super::loss::LossNotice;
use super::progress::Progress;
use super::recovery::{Recovery, RecoveryOutcome, Resumed};
use super::run_id::RunId;
use super::tuning::{SpeedChange, Tuning};
use super::wish::{Wish, WishKind};

/// A run: what was launched by whom, how far it is, and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its name.
    #[serde(rename = "_id")]
    pub id: RunId,
    /// What it runs.
    pub migration: MigrationId,
    /// When it was launched, by the ledger's clock.
    pub created_at: Timestamp,
    /// What was decided at launch.
    pub launch: Launch,
    /// The number of the current attempt, from 1. It is also the lease's epoch (the fencing token): every new holder
    /// raises it, and every write of a worker names it.
    pub attempt: u32,
    /// When the first attempt started, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The process of the latest attempt, if one started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Worker>,
    /// Where it stands.
    pub state: RunState,
    /// The speed that operators gave it, where that is not the manifest's; for native work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
    /// Who asked for the current attempt, when it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
    /// What pods did about it by themselves since an operator last launched or resumed it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<Recovery>,
    /// Which pod tells people that an attempt is lost, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossNotice>,
    /// The number of the latest heartbeat of this attempt, see [`Beat::number`](super::Beat::number); 0 before the first.
    #[serde(default)]
    pub beat: u64,
    /// What that heartbeat said.
    #[serde(default)]
    pub progress: Progress,
    /// Where the next attempt resumes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// The last change, heartbeats included, by the ledger's clock. Strictly later than the change before it, so that it orders the
    /// states of a run and serves as its revision.
    pub updated_at: Timestamp,
}

/// What was decided when a run was launched; it holds for all its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// Who launched it, from where.
    pub by: Actor,
    /// Whether the operator asked to run an applied migration again, from the start.
    pub rerun: bool,
    /// Whether the operator overrode requirements that were not met.
    #[serde(default)]
    pub forced: bool,
    /// The program and its arguments as they will be run. Secrets never enter a command.
    pub command: Vec<String>,
    /// Params by name, in the manifest's order; a secret one is stored as its mask.
    #[serde(default)]
    pub params: Vec<LaunchParam>,
    /// The content that was launched.
    pub checksum: Checksum,
    /// Who continues it, as the image that launched it says. One that has the migration says for itself.
    #[serde(default)]
    pub resume: ResumePolicy,
    /// The run of the same migration whose quarantined documents are all that this one works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine_of: Option<RunId>,
}

/// A param as the ledger remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchParam {
    /// The manifest's name for it.
    pub name: String,
    /// Its text; the mask when it is secret.
    pub value: String,
    /// A secret's value is not stored: a resume must be given it again.
    #[serde(default)]
    pub secret: bool,
}

/// The time-bound exclusive right to execute a run, granted and judged by the ledger's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// When the holder was last heard of.
    pub renewed_at: Timestamp,
    /// From here on the run counts as lost and may be taken over.
    pub expires_at: Timestamp,
}

impl Lease {
    /// A lease granted at `now` for `length`.
    #[must_use]
    pub fn granted(now: Timestamp, length: Duration) -> Self {
        Self { renewed_at: now, expires_at: now.plus(length) }
    }

    /// Whether the holder has lost its right at `now`.
    #[must_use]
    pub fn is_expired(self, now: Timestamp) -> bool {
        now >= self.expires_at
    }
}

/// The process that executes an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Pod and image it runs in.
    #[serde(with = "crate::place::shared")]
    pub place: Arc<Place>,
    /// The process, as its own pod sees it.
    pub process: ProcessIdentity,
}

/// Where a run stands, with the time and the cause of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum RunState {
    /// Recorded; its worker has not yet claimed it.
    Queued {
        /// When this attempt was asked for.
        since: Timestamp,
        /// How long the worker has to claim it before the run counts as lost.
        lease: Lease,
    },
    /// A worker executes it.
    Running {
        /// When this attempt was claimed.
        since: Timestamp,
        /// The worker's right to execute.
        lease: Lease,
        /// What an operator asked of it and the worker has not yet done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wish: Option<Wish>,
    },
    /// Stopped at a checkpoint by an operator; holds no process.
    Paused {
        /// When it held.
        at: Timestamp,
        /// Who asked.
        by: Actor,
    },
    /// Stopped before its end without an operator's wish; can be resumed.
    Interrupted {
        /// When it stopped.
        at: Timestamp,
        /// Why.
        cause: Interruption,
    },
    /// Done.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// Ended in an error; can be resumed from its checkpoint.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        failure: Failure,
    },
    /// Ended by an operator; final.
    Cancelled {
        /// When it held.
        at: Timestamp,
        /// Who asked.
        by: Actor,
    },
}

/// Why a run stopped before its end without anyone asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Interruption {
    /// The pod was shut down.
    Shutdown,
    /// The program stopped at its checkpoint and asks to be resumed (exit status 75).
    AskedToResume,
    /// The worker could not renew its lease in time and stopped its program.
    LeaseLost,
}

impl Interruption {
    /// The cause in words.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Shutdown => "its pod was shut down",
            Self::AskedToResume => "it stopped at its checkpoint and asks to be resumed",
            Self::LeaseLost => "its worker could not reach the ledger in time",
        }
    }
}

/// What a run looks like at a moment of the ledger's clock: its state, in which an expired lease reads as lost and a wish as what it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Waits for its worker.
    Queued,
    /// Runs.
    Running,
    /// Runs, asked to pause.
    Pausing,
    /// Runs, asked to cancel.
    Cancelling,
    /// The lease has expired: nobody knows whether a process is left; it can write nothing more.
    Lost,
    /// Stopped by an operator, resumable.
    Paused,
    /// Stopped by circumstances, resumable.
    Interrupted,
    /// Ended in an error, resumable.
    Failed,
    /// Ended by an operator.
    Cancelled,
    /// Done.
    Succeeded,
}

impl Standing {
    /// All of them, in the order of the definition.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Running,
        Self::Pausing,
        Self::Cancelling,
        Self::Lost,
        Self::Paused,
        Self::Interrupted,
        Self::Failed,
        Self::Cancelled,
        Self::Succeeded,
    ];

    /// The word for it, in screens and scripts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Pausing => "pausing",
            Self::Cancelling => "cancelling",
            Self::Lost => "lost",
            Self::Paused => "paused",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Succeeded => "succeeded",
        }
    }

    /// Whether a process may be at work on it.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Pausing | Self::Cancelling)
    }

    /// Whether a resume is possible.
    #[must_use]
    pub fn is_resumable(self) -> bool {
        matches!(self, Self::Lost | Self::Paused | Self::Interrupted | Self::Failed)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Run {
    /// How it looks at `now`, a time of the ledger's clock.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        match &self.state {
            RunState::Queued { lease, .. } | RunState::Running { lease, .. } if lease.is_expired(now) => Standing::Lost,
            RunState::Queued { .. } => Standing::Queued,
            RunState::Running { wish, .. } => match wish.as_ref().map(|wish| wish.kind) {
                None => Standing::Running,
                Some(WishKind::Pause) => Standing::Pausing,
                Some(WishKind::Cancel) => Standing::Cancelling,
            },
            RunState::Paused { .. } => Standing::Paused,
            RunState::Interrupted { .. } => Standing::Interrupted,
            RunState::Succeeded { .. } => Standing::Succeeded,
            RunState::Failed { .. } => Standing::Failed,
            RunState::Cancelled { .. } => Standing::Cancelled,
        }
    }

    /// Whether it occupies its migration: no other run of it may be launched or resumed. The stores enforce that at most one
    /// run of a migration is open by a unique index over exactly this.
    ///
    /// Paused and interrupted runs are open, too: a second run beside one that may be resumed would do work twice.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(
            self.state,
            RunState::Queued { .. } | RunState::Running { .. } | RunState::Paused { .. } | RunState::Interrupted { .. }
        )
    }

    /// When it came to stand still, if it did.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self.state {
            RunState::Queued { .. } | RunState::Running { .. } => None,
            RunState::Paused { at, .. }
            | RunState::Interrupted { at, .. }
            | RunState::Succeeded { at }
            | RunState::Failed { at, .. }
            | RunState::Cancelled { at, .. } => Some(at),
        }
    }

    /// When it succeeded, if it did.
    #[must_use]
    pub fn succeeded_at(&self) -> Option<Timestamp> {
        match self.state {
            RunState::Succeeded { at } => Some(at),
            _ => None,
        }
    }

    /// The right of the current attempt, while it has one.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        match self.state {
            RunState::Queued { lease, .. } | RunState::Running { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// Whether Stopover executes it itself, step by step, and no program does.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.launch.command.first().is_some_and(|word| word == Work::STEPS)
    }

    /// The speed that operators gave it, over the manifest's; `None` where it is the manifest's.
    #[must_use]
    pub fn speed(&self) -> Option<SpeedChange> {
        self.tuning.as_ref().map(|tuning| tuning.speed)
    }

    /// One line on why it stands still, when that needs a reason.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match &self.state {
            RunState::Failed { failure, .. } => Some(failure.cause.to_string()),
            RunState::Interrupted { cause, .. } => Some(cause.reason().to_owned()),
            RunState::Paused { by, .. } => Some(format!("paused by {}", by.operator)),
            RunState::Cancelled { by, .. } => Some(format!("cancelled by {}", by.operator)),
            _ => None,
        }
    }

    /// What an operator asked of its worker, while that is at work.
    #[must_use]
    pub fn wish(&self) -> Option<&Wish> {
        match &self.state {
            RunState::Running { wish, .. } => wish.as_ref(),
            _ => None,
        }
    }

    /// Whether it is stopped by force.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.wish().is_some_and(|wish| wish.force.is_some())
    }

    /// What a pod did about it by itself, if it did. An attempt that it has recorded, but whose worker never came to claim it, does not count:
    /// the pod may have died in between.
    #[must_use]
    pub fn recovery_of(&self, pod: &str) -> Option<&Recovery> {
        let is_unclaimed = |recovery: &Recovery| {
            matches!(recovery.outcome, RecoveryOutcome::Resumed { attempt } if attempt == self.attempt)
                && matches!(self.state, RunState::Queued { .. })
        };
        self.recoveries.iter().rfind(|recovery| recovery.pod == pod).filter(|latest| !is_unclaimed(latest))
    }

    /// Where it was last at work: the worker's pod, or the launching one's while there is no worker.
    #[must_use]
    pub fn place(&self) -> &Place {
        self.worker.as_ref().map_or(&self.launch.by.place, |worker| &worker.place)
    }
}
