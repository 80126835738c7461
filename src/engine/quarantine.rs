//! Documents that are left out because the server or the transform refuses them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bson::Bson;
use tokio::sync::Mutex;
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
    /// What is left out already, by earlier attempts and passes too; `None` before it was asked for.
    recorded: Mutex<Option<BTreeSet<String>>>,
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
            recorded: Mutex::default(),
        }
    }

    /// Records a document, and says whether it is one more: a later pass meets those again that an earlier one has left out. The record comes before
    /// the checkpoint that leaves the document out: a crash in between records it again, which changes nothing.
    ///
    /// # Errors
    /// [`Fault::Fatal`] when no more may be left out; it names the document and why it is refused.
    pub async fn add(&self, id: &Bson, reason: &str, stop: &CancellationToken) -> Result<bool, Fault> {
        let (database, collection) = &self.place;
        let document = id.clone().into_canonical_extjson().to_string();
        let mut recorded = self.recorded.lock().await;
        let recorded = match &mut *recorded {
            Some(recorded) => recorded,
            nothing => nothing.insert(self.documents(self.run).await?.into_iter().collect()),
        };
        if recorded.contains(&document) {
            return Ok(false);
        }
        if recorded.len() as u64 >= self.most {
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
                document: document.clone(),
                error: reason.to_owned(),
                attempt: self.attempt,
            };
            match self.ledger.quarantine(entry).await {
                Ok(()) => {
                    recorded.insert(document);
                    return Ok(true);
                }
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
        self.documents(run).await?.iter().map(|document| parse(document)).collect()
    }

    /// As [`Quarantine::of`], as they are recorded.
    async fn documents(&self, run: RunId) -> Result<Vec<String>, Fault> {
        const PAGE: u32 = 1000;
        let mut documents = Vec::new();
        let mut after: Option<QuarantinePosition> = None;
        loop {
            let page = self.ledger.quarantined(run, after.take(), PAGE).await.map_err(|error| {
                if error.is_transient() { Fault::Passing(error.to_string()) } else { Fault::Fatal(error.to_string()) }
            })?;
            let of_step = page.iter().filter(|entry| entry.step == self.step);
            documents.extend(of_step.map(|entry| entry.document.clone()));
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = Some(last.position()),
                _ => return Ok(documents),
            }
        }
    }
}

fn parse(text: &str) -> Result<Bson, Fault> {
    let unreadable = |reason: String| Fault::Fatal(format!("the quarantined _id {text} cannot be read: {reason}"));
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    Bson::try_from(json).map_err(|error| unreadable(error.to_string()))
}
