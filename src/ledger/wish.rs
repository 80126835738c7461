//! What an operator asks of a running worker.

use serde::{Deserialize, Serialize};

use crate::place::Actor;
use crate::time::Timestamp;

/// What an operator asked of a running worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// What should happen.
    pub kind: WishKind,
    /// Who asked.
    pub by: Actor,
    /// When, by the ledger's clock.
    pub at: Timestamp,
    /// When the worker recorded that it has heard it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Timestamp>,
    /// That the stop was not left to the program any longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<Force>,
}

/// A stop by force: from its time on no renewal extends the lease, so that the run stands still at the lease's end whatever its worker does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Force {
    /// Who asked.
    pub by: Actor,
    /// When, by the ledger's clock.
    pub at: Timestamp,
    /// When the worker recorded that it has heard it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Timestamp>,
}

/// See [`Wish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WishKind {
    /// Stop at a checkpoint; to be resumed.
    Pause,
    /// Stop for good.
    Cancel,
}

impl WishKind {
    /// The verb of it.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Cancel => "cancel",
        }
    }
}
