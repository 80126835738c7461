//! Reporting the end of attempts whose workers cannot do so any more.

use crate::ledger::{Acted, Action, Interruption, LedgerError, LedgerWriter, Outcome, Refusal, Run, RunState};

use super::children::Attempt;

/// What the ledger says of an attempt that was reported to have ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The report was needed: this is the run now.
    Now(Box<Run>),
    /// It had ended before, as the run says. Whether its worker lived to tell anybody is not known.
    Before(Box<Run>),
    /// The run is not that attempt's any more.
    Elsewhere,
}

/// Records that a shutdown of this pod ended `attempt`, whose worker must be dead. What an operator had asked it for holds then, too: a
/// run that was to be cancelled must not be resumed.
///
/// # Errors
/// [`LedgerError`].
pub async fn interrupt(ledger: &dyn LedgerWriter, attempt: Attempt) -> Result<Ended, LedgerError> {
    let Attempt { run: id, number } = attempt;
    let current = async || ledger.run(id).await?.value.ok_or(LedgerError::NoSuchRun(id));
    let outcome = match current().await?.state {
        RunState::Running { wish: Some(_), .. } => Outcome::Stopped,
        _ => Outcome::Interrupted(Interruption::Shutdown),
    };
    match ledger.act(id, Action::Finish { attempt: number, outcome }).await {
        Ok(Acted::Changed(run)) => Ok(Ended::Now(run)),
        Ok(Acted::Already(_)) | Err(LedgerError::Refused(Refusal::Fenced { .. })) => {
            let run = current().await?;
            let is_its_end = run.attempt == number && run.ended_at().is_some();
            Ok(if is_its_end { Ended::Before(Box::new(run)) } else { Ended::Elsewhere })
        }
        Err(error) => Err(error),
    }
}
