//! What is recorded of every change of a run.

use serde::{Deserialize, Serialize};

use crate::place::Actor;
use crate::time::Timestamp;

/// An entry of a run's history: what happened, when, by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// By the ledger's clock.
    pub at: Timestamp,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// What happened.
    pub kind: EventKind,
    /// The operator, for what a person did; `recovery`, for what a pod did by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// One sentence for people.
    pub text: String,
}

/// The stable word for what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the words are those of the state machine")]
pub enum EventKind {
    Launched,
    Claimed,
    PauseRequested,
    CancelRequested,
    Resumed,
    TakenOver,
    Paused,
    Interrupted,
    Succeeded,
    Failed,
    Cancelled,
    Tuned,
    ForceRequested,
    Acknowledged,
    Declined,
}

impl EventKind {
    /// The word as scripts see it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Launched => "launched",
            Self::Claimed => "claimed",
            Self::PauseRequested => "pauseRequested",
            Self::CancelRequested => "cancelRequested",
            Self::Resumed => "resumed",
            Self::TakenOver => "takenOver",
            Self::Paused => "paused",
            Self::Interrupted => "interrupted",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Tuned => "tuned",
            Self::ForceRequested => "forceRequested",
            Self::Acknowledged => "acknowledged",
            Self::Declined => "declined",
        }
    }
}
