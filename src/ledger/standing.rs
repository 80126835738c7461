//! The state of a migration: a pure fold over its runs and its entry in the catalog.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Checksum, Entry, MigrationId};
use crate::time::Timestamp;

use super::run::{Run, RunState, Standing};
use super::run_id::RunId;

/// What matters of all runs of one migration. [`History::absorb`] may be called in any order and more than once with the same run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The run that was launched last.
    pub latest: Option<Box<Run>>,
    /// The last success, whatever came after it.
    pub applied: Option<Success>,
    /// Of the runs that were taken in, the last one that may have begun to change something.
    pub begun: Option<RunId>,
}

/// The last time a migration succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    /// By which run.
    pub run: RunId,
    /// When it succeeded.
    pub at: Timestamp,
    /// With which content.
    pub checksum: Checksum,
}

impl History {
    /// Takes in a success, of whichever run.
    pub fn succeeded(&mut self, success: Success) {
        if self.applied.as_ref().is_none_or(|known| (known.at, known.run) < (success.at, success.run)) {
            self.applied = Some(success);
        }
    }

    /// Takes in that a run has begun to change something, if it has.
    pub fn begins(&mut self, run: &Run) {
        // One that was killed had no time to tell of a checkpoint; one that failed has told of everything that it did.
        let told_all = matches!(run.state, RunState::Failed { .. });
        if run.checkpoint.is_some() || run.started_at.is_some() && !told_all {
            self.begun = self.begun.max(Some(run.id));
        }
    }

    /// Takes in a run, or a newer state of a run that was taken in before.
    pub fn absorb(&mut self, run: Run) {
        if let Some(at) = run.succeeded_at() {
            self.succeeded(Success { run: run.id, at, checksum: run.launch.checksum.clone() });
        }
        self.begins(&run);
        let newer = self.latest.as_ref().is_none_or(|known| {
            if known.id == run.id {
                // Every change of a run has a later time than the one before: an earlier state that arrives late stays out.
                known.updated_at <= run.updated_at
            } else {
                (known.created_at, known.id) < (run.created_at, run.id)
            }
        });
        if newer {
            self.latest = Some(Box::new(run));
        }
    }
}

/// All migrations that the ledger knows, with their histories.
pub type Histories = BTreeMap<MigrationId, History>;

/// Where a migration stands, in the words that screens and scripts use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MigrationState {
    /// Never run.
    Pending,
    /// At work (or just launched).
    Running,
    /// At work, asked to pause.
    Pausing,
    /// Stopped by an operator, to be resumed.
    Paused,
    /// At work, asked to cancel.
    Cancelling,
    /// Stopped by circumstances, to be resumed.
    Interrupted,
    /// Its worker has not been heard of within its lease.
    Lost,
    /// Its latest run ended in an error.
    Failed,
    /// Its latest run was ended by an operator.
    Cancelled,
    /// Done.
    Applied,
    /// Done, but its content has changed since.
    Changed,
    /// In the ledger, not in this image.
    Missing,
    /// In the image, but cannot be understood.
    Broken,
}

impl MigrationState {
    /// All of them, in the order of the definition.
    pub const ALL: [Self; 13] = [
        Self::Pending,
        Self::Running,
        Self::Pausing,
        Self::Paused,
        Self::Cancelling,
        Self::Interrupted,
        Self::Lost,
        Self::Failed,
        Self::Cancelled,
        Self::Applied,
        Self::Changed,
        Self::Missing,
        Self::Broken,
    ];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Interrupted => "interrupted",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Applied => "applied",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Broken => "broken",
        }
    }

    /// The fold: where a migration stands at `now`, a time of the ledger's clock, given its entry in this image's catalog.
    ///
    /// What is at work or waits for an operator comes first, even when this image cannot read the file: another image runs it.
    #[must_use]
    pub fn of(entry: Option<&Entry>, history: Option<&History>, now: Timestamp) -> Self {
        let latest = history.and_then(|history| history.latest.as_deref());
        let at_work = latest.and_then(|run| match run.standing(now) {
            Standing::Queued | Standing::Running => Some(Self::Running),
            Standing::Pausing => Some(Self::Pausing),
            Standing::Cancelling => Some(Self::Cancelling),
            Standing::Lost => Some(Self::Lost),
            Standing::Paused => Some(Self::Paused),
            Standing::Interrupted => Some(Self::Interrupted),
            Standing::Failed | Standing::Cancelled | Standing::Succeeded => None,
        });
        if let Some(state) = at_work {
            return state;
        }
        let migration = match entry {
            None => return Self::Missing,
            Some(Entry::Broken(_)) => return Self::Broken,
            Some(Entry::Ready(migration)) => migration,
        };
        match latest.map(|run| (run, run.standing(now))) {
            None => Self::Pending,
            Some((_, Standing::Failed)) => Self::Failed,
            Some((_, Standing::Cancelled)) => Self::Cancelled,
            Some((run, _)) if run.launch.checksum == migration.checksum => Self::Applied,
            Some(_) => Self::Changed,
        }
    }

    /// Whether a migration that requires this one may run.
    #[must_use]
    pub fn is_applied(self) -> bool {
        matches!(self, Self::Applied | Self::Changed)
    }
}

impl std::fmt::Display for MigrationState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests;
