//! The task that reads more about the selected migration: its runs, and the events of one of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::effect::Subject;
use super::message::{Inspected, Message};
use crate::ledger::{LedgerError, LedgerReader, RunQuery};

/// The cursor may run over many rows: only where it stays is read.
const SETTLE: Duration = Duration::from_millis(80);
/// Runs that are listed.
const MOST_RUNS: u32 = 50;

/// Answers the latest wish, each time there is a new one.
pub async fn follow(
    mut subjects: watch::Receiver<Option<Subject>>,
    readers: watch::Receiver<Option<Arc<dyn LedgerReader>>>,
    messages: mpsc::Sender<Message>,
) {
    while subjects.changed().await.is_ok() {
        tokio::time::sleep(SETTLE).await;
        let Some(subject) = subjects.borrow_and_update().clone() else { continue };
        let Some(reader) = readers.borrow().clone() else { continue };
        let inspected = match read(reader.as_ref(), &subject).await {
            Ok(inspected) => inspected,
            Err(error) => Inspected {
                migration: subject.migration,
                runs: Err(error.to_string()),
                run: subject.run,
                events: Vec::new(),
            },
        };
        if messages.send(Message::Inspected(Box::new(inspected))).await.is_err() {
            return;
        }
    }
}

async fn read(reader: &dyn LedgerReader, subject: &Subject) -> Result<Inspected, LedgerError> {
    let query = RunQuery { migration: Some(subject.migration.clone()), limit: Some(MOST_RUNS) };
    let runs = reader.runs(query).await?.value;
    let run = subject.run.or_else(|| runs.first().map(|run| run.id));
    let events = match run {
        Some(run) => reader.events(run).await?,
        None => Vec::new(),
    };
    Ok(Inspected { migration: subject.migration.clone(), runs: Ok(runs), run, events })
}
