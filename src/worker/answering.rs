//! Telling operators that they were heard, in the run's record.
//!
//! It never holds anything up: what the worker does about a wish it does at once, and this says so beside it, for as long as the attempt
//! runs and the ledger can be reached.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::catalog::Speed;
use crate::ledger::{Action, Heard, LedgerWriter, RunId, SpeedChange, WishKind};

use super::heart::Pulse;

/// Between tries while the ledger is away.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the end of the attempt waits for an answer that is on its way.
const LAST_WITHIN: Duration = Duration::from_secs(1);

/// What an attempt answers with.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// How long its program has to stop.
    pub grace: Duration,
    /// The manifest's speed, for native work.
    pub speed: Option<Speed>,
}

/// What was answered last.
struct Answered {
    wish: Option<WishKind>,
    is_forced: bool,
    speed: Option<SpeedChange>,
}

impl Answered {
    /// What is heard in `pulse` and not answered yet.
    fn next(&self, pulse: &Pulse, manners: Manners) -> Option<Heard> {
        if pulse.is_forced && !self.is_forced {
            return Some(Heard::Force);
        }
        if let Some(kind) = pulse.wish.filter(|_| pulse.wish != self.wish && !pulse.is_forced) {
            return Some(Heard::Stop { kind, time: manners.grace });
        }
        let set = pulse.speed.filter(|_| pulse.speed != self.speed)?;
        Some(Heard::Speed { set, now: set.over(manners.speed?).into() })
    }

    fn note(&mut self, heard: &Heard) {
        match heard {
            Heard::Stop { kind, .. } => self.wish = Some(*kind),
            Heard::Force => self.is_forced = true,
            Heard::Speed { set, .. } => self.speed = Some(*set),
        }
    }
}

/// Answers everything that operators ask of an attempt, until it has `settled`.
pub async fn answer(
    ledger: &dyn LedgerWriter,
    (run, attempt): (RunId, u32),
    mut pulse: watch::Receiver<Pulse>,
    manners: Manners,
    settled: &CancellationToken,
) {
    // The speed that the attempt begins with is no news.
    let mut answered = Answered { wish: None, is_forced: false, speed: pulse.borrow().speed };
    let last_moment = async {
        settled.cancelled().await;
        sleep(LAST_WITHIN).await;
    };
    tokio::pin!(last_moment);
    loop {
        let heard = answered.next(&pulse.borrow_and_update(), manners);
        let Some(heard) = heard else {
            tokio::select! {
                () = settled.cancelled() => return,
                changed = pulse.changed() => if changed.is_err() { return },
            }
            continue;
        };
        let result = tokio::select! {
            result = ledger.act(run, Action::Acknowledge { attempt, heard: heard.clone() }) => result,
            () = &mut last_moment => return,
        };
        match result {
            Err(error) if error.is_transient() => tokio::select! {
                () = settled.cancelled() => return,
                () = sleep(AGAIN) => {}
            },
            // Recorded, or refused because the run has gone on: either way there is nothing more to say.
            _ => answered.note(&heard),
        }
    }
}
