//! What a step that is not cut into batches is given besides its description.

use tokio_util::sync::CancellationToken;

use super::site::Site;

/// The surroundings of a step.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// Where it works.
    pub site: &'a Site,
    /// Cancelled when it is to stop: paused, cancelled, or the worker shuts down.
    pub stop: &'a CancellationToken,
    /// Takes sentences for the run's log.
    pub note: &'a (dyn Fn(String) + Send + Sync),
    /// Takes how much is done, of how much, and what is going on.
    pub report: &'a (dyn Fn(i64, Option<i64>, Option<String>) + Send + Sync),
}

impl Tools<'_> {
    /// Adds a sentence to the run's log.
    pub(super) fn note(&self, sentence: impl Into<String>) {
        (self.note)(sentence.into());
    }
}
