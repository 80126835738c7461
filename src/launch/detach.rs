//! How a worker is detached from everything that could take it down.

use crate::config::Config;
use crate::ledger::RunId;
use crate::secret::Secret;

/// What a worker is started for.
#[derive(Clone, Debug)]
pub struct WorkerTask {
    /// The run.
    pub run: RunId,
    /// The attempt it is to claim.
    pub attempt: u32,
    /// Secret params by name: they reach the worker through its environment only.
    pub secrets: Vec<(String, Secret)>,
}

/// Why no worker was started.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// The system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Starts the worker. Blocks for the few milliseconds that the helper role needs.
///
/// # Errors
/// See [`DetachError`].
pub fn detach(_config: &Config, _task: WorkerTask) -> Result<(), DetachError> {
    todo!()
}
