//! What is left to do once the ledger has the end of an attempt, while the run may go on elsewhere: others are told, and the log's archive is
//! completed. The ledger may be away by then, or have other things to do.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::config::StateDir;
use crate::ledger::{LedgerError, Outcome, Run, Seen};
use crate::pod::Shutdown;
use crate::time::Timestamp;

use super::Attempt;

/// How long the ledger may take for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long it is asked again and again for what is to be told.
const ASKED_FOR: Duration = Duration::from_secs(10);
/// Between two questions, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long the archive is tried again once the end is reported.
const ARCHIVE_AFTER: Duration = Duration::from_secs(15);
/// How often it is looked meanwhile whether the run goes on.
const ARCHIVE_LOOK: Duration = Duration::from_secs(2);

impl Attempt<'_> {
    /// Tells of the end, which the ledger has: `run` is what that has made of it, where its answer has come.
    pub(super) async fn tell(&mut self, outcome: &Outcome, run: Option<Box<Run>>) {
        let mut asking = Asking::new(&self.config.state_dir);
        let progress = self.company.heart.progress();
        let run = if let Some(run) = run {
            Some(*run)
        } else {
            let seen = asking.ask(async || self.ledger.run(self.run.id).await).await.and_then(|seen| seen.value);
            // A later attempt says nothing of this one.
            let seen = seen.filter(|run| run.attempt == self.run.attempt);
            let claimed = Run { progress: progress.clone(), ..self.run.clone() };
            seen.or_else(|| claimed.presumed(outcome, Timestamp::of_this_machine()))
        };
        self.audience.herald.ended(run.as_ref());
        let mut events = Vec::new();
        if self.audience.wants_history() {
            let answer = asking.ask(async || self.ledger.events(self.run.id).await).await;
            if answer.is_none() && self.run.attempt > 1 {
                self.pump.warn("telemetry: the run as a whole is not told of, for its history could not be read");
            }
            events = answer.unwrap_or_default();
        }
        let (outcome, wish) = match (outcome, run.as_ref().and_then(Run::ending)) {
            (Outcome::Stopped, Some(ending)) => ending,
            _ => (outcome.clone(), self.company.heart.pulse().wish),
        };
        self.audience.ended(&outcome, wish, &progress, &events);
    }

    /// Stays until everybody was told, and the log that belongs to a `recorded` end is in the ledger, for a bounded time.
    pub(super) async fn linger(&mut self, recorded: bool) {
        let state = &self.config.state_dir;
        let company = &mut self.company;
        let archiving = async {
            // Ships what was settled before the report, for as long as the run has no later attempt: who reads the log in the ledger has gone on to
            // that by then.
            let mut deadline = Instant::now() + ARCHIVE_AFTER;
            while recorded && !company.archive.finish(deadline.min(Instant::now() + ARCHIVE_LOOK)).await {
                if let Some(shutdown) = Shutdown::under_way(state) {
                    deadline = deadline.min(Instant::now() + shutdown.left() / 2);
                }
                let looked = timeout(ANSWER_WITHIN, self.ledger.run(self.run.id)).await;
                let goes_on = matches!(looked, Ok(Ok(Seen { value: Some(run), .. })) if run.attempt > self.run.attempt);
                if goes_on || Instant::now() >= deadline {
                    break;
                }
            }
        };
        tokio::join!(archiving, self.audience.settle(&self.pump, state));
    }
}

/// Asks until there is an answer, for a while. In a pod that is being shut down nothing is asked twice.
struct Asking<'a> {
    state: &'a StateDir,
    deadline: Instant,
}

impl<'a> Asking<'a> {
    fn new(state: &'a StateDir) -> Self {
        Self { state, deadline: Instant::now() + ASKED_FOR }
    }

    async fn ask<T>(&mut self, question: impl AsyncFn() -> Result<T, LedgerError>) -> Option<T> {
        let mut pause = Duration::from_millis(100);
        loop {
            if let Ok(Ok(answer)) = timeout(ANSWER_WITHIN, question()).await {
                return Some(answer);
            }
            if Instant::now() + pause >= self.deadline || Shutdown::under_way(self.state).is_some() {
                return None;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
