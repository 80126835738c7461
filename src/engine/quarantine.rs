//! Documents that are left out because the server or the transform refuses them.

use std::sync::Arc;

use bson::Bson;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use crate::catalog::Target;
use crate::ledger::{LedgerWriter, NewQuarantined, QuarantinePosition, RunId};

use super::context::Context;
use super::fault::Fault;
use super::patience::Patience;

/// What a step may leave out, and where that is recorded.
pub struct Quarantine {
    /// Where.
    ledger: Arc<dyn LedgerWriter>,
    /// Whose.
    run: RunId,
    /// The attempt.
    attempt: u32,
    /// Of which step, from 0.
    step: u32,
    /// The database and the collection.
    place: (String, String),
    /// How many may be left out.
    most: u64,
    /// One document at a time, so that several workers together keep to the most that may be.
    turn: Mutex<()>,
}

impl Quarantine {
    /// Of a step that reads `target` and may leave out `most` documents.
    #[must_use]
    pub fn new(context: &Context, step: u32, target: &Target, most: u64) -> Self {
        let database = context.site.database_name(target.database.as_deref()).to_owned();
        Self {
            ledger: context.ledger.clone(),
            run: context.run,
            attempt: context.attempt,
            step,
            place: (database, target.collection.clone()),
            most,
            turn: Mutex::default(),
        }
    }

    /// Waits until no other worker leaves a document out; what is returned is to be kept until the document is counted.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Records a document. The record comes before the checkpoint that leaves the document out: a crash in between records it again, which
    /// changes nothing.
    ///
    /// # Errors
    /// [`Fault::Fatal`] when no more may be left out; it names the document and why it is refused.
    pub async fn add(&self, id: &Bson, reason: &str, already: i64, stop: &CancellationToken) -> Result<(), Fault> {
        let (database, collection) = &self.place;
        if u64::try_from(already).unwrap_or(0) >= self.most {
            let shown = id.clone().into_relaxed_extjson();
            let others = match self.most {
                0 => "mend the document and resume, or let some be left out with `maxQuarantined`".to_owned(),
                most => format!("{most} documents are left out already, which is all that `maxQuarantined` allows"),
            };
            return Err(Fault::Fatal(format!(
                "the document with _id {shown} of {database}.{collection} is refused: {reason}; {others}"
            )));
        }
        let mut patience = Patience::default();
        loop {
            let entry = NewQuarantined {
                run: self.run,
                step: self.step,
                database: database.clone(),
                collection: collection.clone(),
                document: id.clone().into_canonical_extjson().to_string(),
                error: reason.to_owned(),
                attempt: self.attempt,
            };
            match self.ledger.quarantine(entry).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_transient() => patience.wait(&error.to_string(), stop).await?,
                Err(error) => return Err(Fault::Fatal(error.to_string())),
            }
        }
    }

    /// The ids that a run left out at this step, in a fixed order.
    ///
    /// # Errors
    /// When the ledger cannot be read, or an id in it.
    pub async fn of(&self, run: RunId) -> Result<Vec<Bson>, Fault> {
        const PAGE: u32 = 1000;
        let mut ids = Vec::new();
        let mut after: Option<QuarantinePosition> = None;
        loop {
            let page = self.ledger.quarantined(run, after.take(), PAGE).await.map_err(|error| {
                if error.is_transient() { Fault::Passing(error.to_string()) } else { Fault::Fatal(error.to_string()) }
            })?;
            for entry in page.iter().filter(|entry| entry.step == self.step) {
                ids.push(parse(&entry.document)?);
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = Some(last.position()),
                _ => return Ok(ids),
            }
        }
    }
}

fn parse(text: &str) -> Result<Bson, Fault> {
    let unreadable = |reason: String| Fault::Fatal(format!("the quarantined _id {text} cannot be read: {reason}"));
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    Bson::try_from(json).map_err(|error| unreadable(error.to_string()))
}
