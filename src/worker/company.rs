//! What goes on beside the work of an attempt, whatever kind of work it is: the heart beats, the archive ships, the guard is kept on its
//! post, operators are answered, and what remains is counted, until all of it is settled.

use std::cell::Cell;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::lease::LeaseTerms;
use crate::ledger::{LedgerWriter, RunId};
use crate::logs::archive::Archive;

use super::answering::{Manners, answer};
use super::guard::Guard;
use super::guarding::keep_guarded;
use super::heart::{Heart, Pulse};
use super::pump::Pump;
use super::remaining::Countdown;

/// See the module.
pub struct Company {
    pub heart: Heart,
    pub archive: Archive,
    pub ledger: Arc<dyn LedgerWriter>,
    pub run: RunId,
    pub attempt: u32,
    pub lease: LeaseTerms,
    pub pulse: watch::Receiver<Pulse>,
}

/// What one piece of work brings along.
pub struct Needs<'w> {
    pub guard: &'w mut Guard,
    pub pump: &'w Pump,
    pub manners: Manners,
    /// Counts what remains, if that can be counted.
    pub countdown: Option<Countdown>,
    /// Cancelled when the guard is gone and cannot be replaced.
    pub unguarded: &'w CancellationToken,
}

impl Company {
    /// Stays until `work` is over and everything about it is settled. `work` answers how it ended, and whether that is a success.
    pub async fn keep<T>(&mut self, needs: Needs<'_>, work: impl Future<Output = (T, bool)>) -> T {
        let Needs { guard, pump, manners, mut countdown, unguarded } = needs;
        // The work is over; nothing more is to be said of it.
        let (over, settled) = (CancellationToken::new(), CancellationToken::new());
        let succeeded = Cell::new(false);
        // Boxed: an attempt's whole future would be too large for the stack's good.
        let work = Box::pin(work);
        let working = async {
            let (end, is_success) = work.await;
            succeeded.set(is_success);
            over.cancel();
            end
        };
        let counting = async {
            if let Some(countdown) = &mut countdown {
                countdown.follow(&over).await;
                if succeeded.get() {
                    countdown.settle().await;
                }
            }
        };
        // The last count may take its time, and the lease must not end meanwhile: the heart beats until all is settled.
        let settling = async {
            let (end, ()) = tokio::join!(working, counting);
            settled.cancel();
            end
        };
        let beating = self.heart.keep_beating(&settled);
        let archiving = self.archive.follow(&settled);
        let guarding = keep_guarded(guard, self.pulse.clone(), self.lease, pump, &over, unguarded);
        let answering = answer(&*self.ledger, (self.run, self.attempt), self.pulse.clone(), manners, &settled);
        let (end, (), (), (), ()) = tokio::join!(settling, beating, archiving, guarding, answering);
        end
    }
}
