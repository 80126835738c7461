//! What a batch does to its part of a collection. Everything around it (cutting, transactions, checkpoints, retries, throttling) is
//! the same for every kind of step.

use async_trait::async_trait;
use mongodb::ClientSession;

use super::fault::Fault;
use super::slice::Slice;

/// What a batch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Documents that the filter selected.
    pub matched: i64,
    /// Documents that were changed or written.
    pub modified: i64,
    /// Documents that were left alone on purpose.
    pub skipped: i64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.modified += other.modified;
        self.skipped += other.skipped;
    }
}

/// A kind of change, ready to be applied to one slice after another.
#[async_trait]
pub trait Apply: Send + Sync {
    /// Changes the documents of `slice` that the step's filter selects. With a session, within the transaction that is open in it, so that
    /// nothing of it counts before the engine commits; without one, the server has no transactions.
    ///
    /// # Errors
    /// See [`Fault`]. [`Fault::Poison`] when a document is refused: the engine then cuts smaller slices until it knows which.
    async fn apply(&self, session: Option<&mut ClientSession>, slice: &Slice) -> Result<Counts, Fault>;
}
