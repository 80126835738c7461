//! That people were told of a lost attempt: pods agree on which of them does it, and who is left to be told.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A pod has taken it upon itself to tell people that an attempt is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LossNotice {
    /// Which attempt: of a later one nobody was told.
    pub attempt: u32,
    /// The pod.
    pub pod: String,
    /// When it did, by the ledger's clock.
    pub at: Timestamp,
    /// Receivers that need not be told any more, by name: they have the message, or will never take it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub told: BTreeSet<String>,
    /// Whether that holds for every receiver. A pod may die before it can say so.
    #[serde(default)]
    pub delivered: bool,
}

impl LossNotice {
    /// How long others leave it to the pod that has taken it on.
    pub const WITHIN: Duration = Duration::from_mins(2);
}
