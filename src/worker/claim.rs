//! The first thing a worker does: it reaches the ledger and claims its attempt, in the time that the launch gave it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::ledger::{self, Acted, Action, LedgerError, LedgerWriter, Run, RunId, Worker};
use crate::process::ProcessIdentity;

use super::CLAIM_WITHIN;

/// Between two tries to reach the ledger.
const AGAIN: Duration = Duration::from_millis(500);

/// The launch gave this worker a time to claim its run; until then a ledger that is away is waited for.
pub async fn open_ledger(config: &Config) -> Result<Arc<dyn LedgerWriter>, LedgerError> {
    let deadline = Instant::now() + CLAIM_WITHIN;
    loop {
        match ledger::open_writer(&config.ledger).await {
            Err(error) if error.is_transient() && Instant::now() < deadline => sleep(AGAIN).await,
            result => return result,
        }
    }
}

/// Makes the run this worker's, for as long as its lease lasts.
pub async fn claim(ledger: &dyn LedgerWriter, config: &Config, id: RunId, attempt: u32) -> Result<Run, LedgerError> {
    let worker = Worker { place: config.actor.place.clone(), process: ProcessIdentity::current() };
    let deadline = Instant::now() + CLAIM_WITHIN;
    loop {
        let action = Action::Claim { attempt, worker: worker.clone(), lease: config.lease.length() };
        match ledger.act(id, action).await {
            Ok(Acted::Changed(run)) => return Ok(*run),
            // An earlier claim arrived, only its answer did not.
            Ok(Acted::Already(_)) => return ledger.run(id).await?.value.ok_or(LedgerError::NoSuchRun(id)),
            Err(error) if error.is_transient() && Instant::now() < deadline => sleep(AGAIN).await,
            Err(error) => return Err(error),
        }
    }
}
