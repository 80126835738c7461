//! The heartbeat: tells the ledger how far the run is, renews the lease, and hears what an operator wishes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::lease::LeaseTerms;
use crate::ledger::{
    Beat, Checkpoint, LedgerError, LedgerWriter, Progress, Refusal, Run, RunId, SpeedChange, WishKind,
};

use crate::telemetry::figures::Figures;
use crate::time::short_duration;

use super::board::Board;

/// How soon a failed beat is tried again at first; it doubles up to the time between two renewals.
const AGAIN: Duration = Duration::from_millis(200);

/// What the worker knows of its right and of the operator's wish.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// When the last successful renewal was asked for, by the monotonic clock: the lease holds at least its length from then on,
    /// whatever any wall clock says.
    pub renewed: Instant,
    /// What an operator wants.
    pub wish: Option<WishKind>,
    /// Whether that is forced: the program is to be ended at once, and renewals no longer count.
    pub is_forced: bool,
    /// The speed that operators gave the run, over the manifest's.
    pub speed: Option<SpeedChange>,
    /// Another attempt holds the run, or it was ended: says which.
    pub fenced: Option<String>,
    /// Why the latest beat failed, if it did.
    pub trouble: Option<String>,
}

/// Beats for one attempt.
pub struct Heart {
    ledger: Arc<dyn LedgerWriter>,
    run: RunId,
    attempt: u32,
    lease: LeaseTerms,
    board: Board,
    figures: Arc<Figures>,
    /// How many beats were sent.
    sent: u64,
    /// The checkpoint that the ledger has confirmed.
    stored: Option<Checkpoint>,
    pulse: watch::Sender<Pulse>,
}

impl Heart {
    /// For the current attempt of `run`, which was claimed by a request sent at `claimed`.
    pub fn new(
        ledger: Arc<dyn LedgerWriter>,
        run: &Run,
        lease: LeaseTerms,
        board: Board,
        figures: Arc<Figures>,
        claimed: Instant,
    ) -> (Self, watch::Receiver<Pulse>) {
        let first =
            Pulse { renewed: claimed, wish: None, is_forced: false, speed: run.speed(), fenced: None, trouble: None };
        let (pulse, seen) = watch::channel(first);
        (Self { ledger, run: run.id, attempt: run.attempt, lease, board, figures, sent: 0, stored: None, pulse }, seen)
    }

    /// Beats until told to stop; a beat that is on its way is waited for, so that none can arrive after the end was reported.
    pub async fn keep_beating(&mut self, stop: &CancellationToken) {
        let every = self.lease.renewal();
        let mut next = Instant::now();
        let mut again = AGAIN.min(every);
        let mut silent = true;
        while self.pulse.borrow().fenced.is_none() {
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(next) => {}
                // The first thing that a program says is shown at once; from then on the pace is enough.
                Ok(()) = self.board.said().changed(), if silent => silent = false,
            }
            let begun = Instant::now();
            if self.beat().await.is_ok() {
                again = AGAIN.min(every);
                next = begun + every;
            } else {
                next = Instant::now() + again;
                again = (again * 2).min(every);
            }
        }
    }

    /// One beat.
    ///
    /// # Errors
    /// As [`LedgerWriter::beat`]; it is told in the [`Pulse`], too.
    pub async fn beat(&mut self) -> Result<(), LedgerError> {
        let said = self.board.said().borrow().checkpoint.clone();
        let news = said.filter(|checkpoint| self.stored.as_ref() != Some(checkpoint));
        let progress = self.board.progress();
        self.figures.progress(&progress);
        self.sent += 1;
        let beat = Beat { number: self.sent, progress, checkpoint: news.clone(), lease: self.lease.length() };
        let sent = Instant::now();
        let answer = self.in_time(self.ledger.beat(self.run, self.attempt, beat)).await;
        self.figures.renewed(sent.elapsed(), answer.is_ok());
        match answer {
            Ok(reply) => {
                if news.is_some() {
                    self.stored = news;
                }
                self.pulse.send_modify(|pulse| {
                    *pulse = Pulse {
                        renewed: if reply.is_forced { pulse.renewed } else { sent },
                        wish: reply.wish,
                        is_forced: reply.is_forced,
                        speed: reply.speed,
                        fenced: None,
                        trouble: None,
                    };
                });
                Ok(())
            }
            Err(error) => {
                self.pulse.send_modify(|pulse| match &error {
                    LedgerError::Refused(refusal @ Refusal::Fenced { .. }) => pulse.fenced = Some(refusal.to_string()),
                    _ => pulse.trouble = Some(error.to_string()),
                });
                Err(error)
            }
        }
    }

    /// The ledger this beats against, and how long its answers are waited for: a connection that has gone dead must not use up the lease.
    pub async fn in_time<T>(&self, answer: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
        let patience = self.lease.patience();
        timeout(patience, answer).await.unwrap_or_else(|_| {
            Err(LedgerError::Unreachable {
                ledger: self.ledger.label(),
                reason: format!("no answer within {}", short_duration(patience)),
            })
        })
    }

    /// How far the attempt is.
    pub fn progress(&mut self) -> Progress {
        self.board.progress()
    }

    /// What the latest beat learned.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.borrow().clone()
    }
}
