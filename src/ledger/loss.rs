//! That people were told of a lost attempt: pods agree on which of them does it.

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
    /// Whether it has said that every receiver has the message. A pod may die before it can.
    #[serde(default)]
    pub delivered: bool,
}

impl LossNotice {
    /// How long others leave it to the pod that has taken it on.
    pub const WITHIN: Duration = Duration::from_mins(2);
}
