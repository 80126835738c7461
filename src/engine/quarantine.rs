//! Documents that are left out because the server or the transform refuses them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bson::Bson;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::catalog::Target;
use crate::ledger::{LedgerError, LedgerWriter, NewQuarantined, QuarantinePosition, Quarantined, RunId};

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
    /// The ids of those that are, in the ledger's form; read when the first is added.
    known: Mutex<Option<BTreeSet<String>>>,
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
            known: Mutex::new(None),
        }
    }

    /// Records a document, and says whether it is new. The record comes before the checkpoint that leaves the document out: a crash in between
    /// records it again, which changes nothing.
    ///
    /// # Errors
    /// [`Fault::Fatal`] when no more may be left out; it names the document and why it is refused.
    pub async fn add(&self, id: &Bson, reason: &str, stop: &CancellationToken) -> Result<bool, Fault> {
        let (database, collection) = &self.place;
        let document = id.clone().into_canonical_extjson().to_string();
        let mut known = self.known.lock().await;
        let known = match &mut *known {
            Some(known) => known,
            unread => {
                unread.insert(patiently(stop, async || self.texts_of(self.run).await).await?.into_iter().collect())
            }
        };
        if known.contains(&document) {
            return Ok(false);
        }
        if u64::try_from(known.len()).unwrap_or(u64::MAX) >= self.most {
            let shown = id.clone().into_relaxed_extjson();
            let others = match self.most {
                0 => "mend the document and resume, or let some be left out with `maxQuarantined`".to_owned(),
                most => format!("`maxQuarantined` allows no more than {most}, and as many are left out already"),
            };
            return Err(Fault::Fatal(format!(
                "the document with _id {shown} of {database}.{collection} is refused: {reason}; {others}"
            )));
        }
        let entry = NewQuarantined {
            run: self.run,
            step: self.step,
            database: database.clone(),
            collection: collection.clone(),
            document: document.clone(),
            error: reason.to_owned(),
            attempt: self.attempt,
        };
        patiently(stop, async || self.ledger.quarantine(entry.clone()).await.map_err(|error| fault(&error))).await?;
        known.insert(document);
        Ok(true)
    }

    /// The ids that a run left out at this step, in a fixed order.
    ///
    /// # Errors
    /// When the ledger cannot be read, or an id in it.
    pub async fn of(&self, run: RunId) -> Result<Vec<Bson>, Fault> {
        self.texts_of(run).await?.iter().map(|text| parse(text)).collect()
    }

    async fn texts_of(&self, run: RunId) -> Result<Vec<String>, Fault> {
        const PAGE: u32 = 1000;
        let mut texts = Vec::new();
        let mut after: Option<QuarantinePosition> = None;
        loop {
            let page = self.ledger.quarantined(run, after.take(), PAGE).await.map_err(|error| fault(&error))?;
            let more = page.len() == PAGE as usize;
            after = page.last().map(Quarantined::position).filter(|_| more);
            texts.extend(page.into_iter().filter(|entry| entry.step == self.step).map(|entry| entry.document));
            if after.is_none() {
                return Ok(texts);
            }
        }
    }
}

/// Asks the ledger until it answers.
async fn patiently<T>(stop: &CancellationToken, mut call: impl AsyncFnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let mut patience = Patience::default();
    loop {
        match call().await {
            Err(Fault::Passing(reason)) => patience.wait(&reason, stop).await?,
            other => return other,
        }
    }
}

fn fault(error: &LedgerError) -> Fault {
    if error.is_transient() { Fault::Passing(error.to_string()) } else { Fault::Fatal(error.to_string()) }
}

fn parse(text: &str) -> Result<Bson, Fault> {
    let unreadable = |reason: String| Fault::Fatal(format!("the quarantined _id {text} cannot be read: {reason}"));
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    Bson::try_from(json).map_err(|error| unreadable(error.to_string()))
}
