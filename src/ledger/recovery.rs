//! What happened to a run without an operator: pods that resumed it by themselves, or said why not.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::place::{Actor, Place};
use crate::time::Timestamp;

/// Who asks for the next attempt of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumer {
    /// A person or a script.
    Operator(Actor),
    /// A pod that found it, of a migration with `resume: auto`.
    Recovery(Arc<Place>),
}

impl Resumer {
    /// How the record names it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Operator(actor) => actor.clone(),
            Self::Recovery(place) => Actor { operator: Self::RECOVERY.to_owned(), place: place.clone() },
        }
    }

    /// Stands for the operator where a pod acted by itself.
    pub const RECOVERY: &str = "recovery";
}

/// Who asked for the current attempt, when it is not the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Who, from where.
    pub by: Actor,
    /// When, by the ledger's clock.
    pub at: Timestamp,
}

/// What a pod did about a run that it found interrupted or lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// When, by the ledger's clock.
    pub at: Timestamp,
    /// The pod.
    pub pod: String,
    /// What it did.
    pub outcome: RecoveryOutcome,
}

/// See [`Recovery`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum RecoveryOutcome {
    /// It resumed the run.
    Resumed {
        /// As this attempt.
        attempt: u32,
    },
    /// It could not, or may not.
    Declined {
        /// Why, and what would help.
        reason: String,
    },
}

impl Recovery {
    /// Most attempts that pods begin by themselves before an operator must look.
    pub const MOST_RESUMED: usize = 3;
    /// Most entries that a run keeps; those that resumed it are never among what is forgotten.
    pub(super) const KEPT: usize = 20;
    /// Most characters of a reason.
    pub(super) const LONGEST_REASON: usize = 1_000;

    /// Whether it began an attempt.
    #[must_use]
    pub fn has_resumed(&self) -> bool {
        matches!(self.outcome, RecoveryOutcome::Resumed { .. })
    }

    /// The fact in a few words, e.g. `pod stopover-7d9f resumed it as attempt 2`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.outcome {
            RecoveryOutcome::Resumed { attempt } => format!("pod {} resumed it as attempt {attempt}", self.pod),
            RecoveryOutcome::Declined { reason } => format!("pod {} did not resume it: {reason}", self.pod),
        }
    }
}
