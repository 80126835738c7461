//! The task that keeps asking the ledger, and is the only one to say whether it answers.
//!
//! Everything once after each connect, then only what changed. The channel is bounded and the task waits for room in it,
//! so that a console that is slow to draw makes it ask less often.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::message::{Feed, Message};
use crate::diagnostics::CONSOLE;
use crate::ledger::{self, LedgerAddress, LedgerError, LedgerReader};
use crate::time::Timestamp;

/// Between two questions, when nothing is at work.
const CALM: Duration = Duration::from_secs(1);
/// The same while something is, or was just asked for.
const LIVELY: Duration = Duration::from_millis(300);
/// A question that takes longer is not answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Questions overlap: a write that was not yet visible at the last answer may carry an earlier time.
const OVERLAP: Duration = Duration::from_secs(5);
/// Between two questions for everything: changes do not tell what was removed, and a console may be open for days.
const EVERYTHING_EVERY: Duration = Duration::from_mins(10);
/// Between two looks at the passport.
const PASSPORT_EVERY: Duration = Duration::from_secs(30);
/// Between two tries to reach a ledger that is away, at most.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// How often to ask; a change is heeded at once, which makes it also a way to say "look now".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Whether something is at work.
    pub lively: bool,
    /// Raised to ask at once.
    pub nudges: u64,
}

/// Asks until the receiver is gone. Every reader that is opened is published, for those who read more.
pub async fn follow(
    address: LedgerAddress,
    mut pace: watch::Receiver<Pace>,
    readers: watch::Sender<Option<Arc<dyn LedgerReader>>>,
    messages: mpsc::Sender<Message>,
) {
    let mut backoff = LIVELY;
    let mut away: Option<Instant> = None;
    loop {
        let reason = match within(ledger::open_reader(&address)).await {
            Ok(reader) => {
                readers.send_replace(Some(Arc::clone(&reader)));
                let mut answered = false;
                let error = ask(reader.as_ref(), &mut pace, &messages, &mut answered, &mut away).await;
                if answered {
                    backoff = LIVELY;
                }
                match error {
                    Some(reason) => reason,
                    None => return,
                }
            }
            Err(reason) => reason,
        };
        if away.is_none() {
            away = Some(Instant::now());
            tracing::warn!(target: CONSOLE, "the ledger is away: {reason}");
        }
        if messages.send(Message::Feed(Feed::Away { reason })).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            () = messages.closed() => return,
        }
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

/// Asks one reader until it fails, and says why; `None` when nobody listens any more.
async fn ask(
    reader: &dyn LedgerReader,
    pace: &mut watch::Receiver<Pace>,
    messages: &mpsc::Sender<Message>,
    answered: &mut bool,
    away: &mut Option<Instant>,
) -> Option<String> {
    let mut seen_until: Option<Timestamp> = None;
    let mut passport_at: Option<Instant> = None;
    let mut everything_at: Option<Instant> = None;
    loop {
        if passport_at.is_none_or(|at| at.elapsed() >= PASSPORT_EVERY) {
            let both = async { Ok((reader.passport().await?, reader.cluster().await?)) };
            match within(both).await {
                Ok((passport, cluster)) => {
                    messages.send(Message::Feed(Feed::Passport { passport, cluster })).await.ok()?;
                }
                Err(reason) => return Some(reason),
            }
            passport_at = Some(Instant::now());
        }
        let asked = Instant::now();
        if everything_at.is_none_or(|at| at.elapsed() >= EVERYTHING_EVERY) {
            (seen_until, everything_at) = (None, Some(asked));
        }
        let (now, news) = match seen_until {
            None => match within(reader.histories()).await {
                Ok(seen) => (seen.now, Feed::Everything { seen, latency: asked.elapsed() }),
                Err(reason) => return Some(reason),
            },
            Some(until) => match within(reader.changes(until.minus(OVERLAP))).await {
                Ok(seen) => (seen.now, Feed::Changes { seen, latency: asked.elapsed() }),
                Err(reason) => return Some(reason),
            },
        };
        seen_until = Some(now);
        *answered = true;
        if let Some(since) = away.take() {
            tracing::info!(target: CONSOLE, "the ledger answers again, after {:?}", since.elapsed());
        }
        messages.send(Message::Feed(news)).await.ok()?;
        let Pace { lively, nudges } = *pace.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep(if lively { LIVELY } else { CALM }) => {}
            changed = pace.changed() => {
                changed.ok()?;
                if pace.borrow().nudges != nudges {
                    // An action may have stamped the ledger.
                    passport_at = None;
                }
            }
        }
    }
}

async fn within<T>(question: impl Future<Output = Result<T, LedgerError>>) -> Result<T, String> {
    match tokio::time::timeout(ANSWER_WITHIN, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the ledger did not answer within {} s", ANSWER_WITHIN.as_secs())),
    }
}
