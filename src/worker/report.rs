//! Telling the ledger how an attempt ended, however long that takes.
//!
//! From the moment at which the outcome is sent the run may go on in another worker, also where the answer is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::ledger::{Acted, Action, LedgerError, LedgerWriter, Outcome, Refusal, Run, RunId, WishKind};

use super::heart::Heart;

/// Between attempts, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How the report went.
#[derive(Clone, Debug, PartialEq)]
pub enum Reported {
    /// The ledger has it.
    Yes {
        /// How it ended.
        outcome: Outcome,
        /// The run as it is now; not where it was a report before whose answer was lost.
        run: Option<Box<Run>>,
    },
    /// The ledger refuses: the attempt no longer holds the run. Says what it is now.
    Fenced(String),
    /// The ledger could not be told in time; the run will read as lost. Says why.
    GaveUp(String),
}

/// Reports the end of an attempt: first everything that the program said (no checkpoint may be lost), then the outcome, which is
/// decided by the wish that the ledger then holds. `trouble` is told of the first failure; `seal` is awaited before the outcome is sent, once.
pub async fn report(
    ledger: &Arc<dyn LedgerWriter>,
    heart: &mut Heart,
    (run, attempt): (RunId, u32),
    outcome: impl Fn(Option<WishKind>) -> Outcome,
    within: Duration,
    trouble: impl Fn(&LedgerError),
    seal: impl AsyncFnOnce(),
) -> Reported {
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(100);
    let mut told = false;
    let mut seal = Some(seal);
    let mut beaten = false;
    loop {
        let mut result = Ok(None);
        if !beaten {
            result = heart.beat().await.map(|()| None);
            beaten = result.is_ok();
        }
        let ended = outcome(heart.pulse().wish);
        if beaten {
            if let Some(seal) = seal.take() {
                seal().await;
            }
            let finish = ledger.act(run, Action::Finish { attempt, outcome: ended.clone() });
            result = heart.in_time(finish).await.map(|acted| match acted {
                Acted::Changed(run) => Some(run),
                Acted::Already(_) => None,
            });
        }
        match result {
            Ok(run) => return Reported::Yes { outcome: ended, run },
            Err(LedgerError::Refused(refusal @ Refusal::Fenced { .. })) => {
                return Reported::Fenced(refusal.to_string());
            }
            Err(error) if Instant::now() >= deadline => return Reported::GaveUp(error.to_string()),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    trouble(&error);
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
