//! Documents that a native run leaves out, because the server or the transform refuses them.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

use super::RunId;

/// A document to record as left out. A run and a step leave out a document once, however often they come upon it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewQuarantined {
    /// Who left it out.
    pub run: RunId,
    /// At which step, from 0.
    pub step: u32,
    /// Its database.
    pub database: String,
    /// Its collection.
    pub collection: String,
    /// Its `_id`, as canonical Extended JSON.
    pub document: String,
    /// Why, in the words of the server or the transform.
    pub error: String,
    /// The attempt that came upon it.
    pub attempt: u32,
}

/// A document that a run left out, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Who left it out.
    pub run: RunId,
    /// At which step, from 0.
    pub step: u32,
    /// Its database.
    pub database: String,
    /// Its collection.
    pub collection: String,
    /// Its `_id`, as canonical Extended JSON.
    pub document: String,
    /// Why, in the words of the server or the transform.
    pub error: String,
    /// The attempt that came upon it first.
    pub attempt: u32,
    /// When, by the ledger's clock.
    pub at: Timestamp,
}

impl Quarantined {
    /// Where it is among those of its run.
    #[must_use]
    pub fn position(&self) -> QuarantinePosition {
        QuarantinePosition { step: self.step, document: self.document.clone() }
    }
}

/// The place of a document among those that a run left out: they come by step, and within one by the text of their `_id`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QuarantinePosition {
    /// See [`Quarantined::step`].
    pub step: u32,
    /// See [`Quarantined::document`].
    pub document: String,
}
