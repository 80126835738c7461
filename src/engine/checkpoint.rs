//! Where a step stands, kept in the database that the step changes.
//!
//! On a replica set a batch and its checkpoint commit in one transaction, so that neither can be there without the other, whatever the
//! ledger is. Each record carries the *epoch* (the number of the attempt that holds the run) and a sequence number; every write of a
//! batch asks for both. A new attempt raises the epoch first: from then on an older worker, killed, frozen or cut off, can commit nothing.
//!
//! A step is one record, `RUN/STEP`, and one for each range of its current pass, `RUN/STEP/PASS/RANGE`, so that ranges do not
//! wait for each other.

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::ReturnDocument;
use mongodb::{ClientSession, Collection};
use serde::{Deserialize, Serialize};

use crate::ledger::RunId;

use super::apply::Counts;
use super::fault::{Fault, server_error};
use super::site::Site;
use super::slice::Edge;

/// The collection of checkpoints.
pub const COLLECTION: &str = "stopover_checkpoints";

/// What a step's passes have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// See [`Counts::matched`].
    pub matched: i64,
    /// See [`Counts::modified`].
    pub modified: i64,
    /// See [`Counts::skipped`].
    pub skipped: i64,
    /// Documents that were left out because they are refused.
    pub quarantined: i64,
}

impl Totals {
    /// These and those of a batch.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            matched: self.matched + other.matched,
            modified: self.modified + other.modified,
            skipped: self.skipped + other.skipped,
            quarantined: self.quarantined + other.quarantined,
        }
    }
}

impl Totals {
    /// What has come to these since they were `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Counts {
        Counts {
            matched: self.matched - before.matched,
            modified: self.modified - before.modified,
            skipped: self.skipped - before.skipped,
        }
    }
}

impl From<Counts> for Totals {
    fn from(counts: Counts) -> Self {
        let Counts { matched, modified, skipped } = counts;
        Self { matched, modified, skipped, quarantined: 0 }
    }
}

/// The record of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    /// The attempt that holds it.
    pub epoch: u32,
    /// The pass that is under way, from 1; 0 before the first is planned.
    pub pass: u32,
    /// Nothing is left to do.
    pub complete: bool,
    /// What the passes before this one have come to.
    #[serde(flatten)]
    pub totals: Totals,
    /// What was found out before the first pass.
    #[serde(default)]
    pub plan: Plan,
    /// What the step does: a step of another manifest must not go on from here.
    #[serde(default)]
    pub title: String,
}

/// What was found out about a step before its first write; it holds for all attempts.
#[expect(clippy::struct_excessive_bools, reason = "they are findings, independent of each other")]
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Plan {
    /// Documents that the filter selects.
    pub total: Option<i64>,
    /// Whether that is an estimate.
    pub estimated: bool,
    /// Whether a changed document is no longer selected by the filter: then a search that finds nothing proves that all is done.
    pub shrinks: bool,
    /// The highest `_id` when the pass was planned.
    pub ceiling: Option<Bson>,
    /// Whether the current pass goes over everything again, only to see that nothing changes any more.
    pub verifying: bool,
    /// Whether a pass over everything has changed nothing.
    pub verified: bool,
    /// Most documents in one batch, from their average size.
    pub most: u32,
}

/// The record of a range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RangeRecord {
    /// Its name.
    #[serde(rename = "_id")]
    pub id: String,
    /// The attempt that holds it.
    pub epoch: u32,
    /// Raised with every batch.
    pub seq: i64,
    /// Where it begins.
    pub start: Start,
    /// The last id that is done, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Bson>,
    /// Its last id.
    pub through: Bson,
    /// Everything in it is done.
    pub complete: bool,
    /// What its batches have come to.
    #[serde(flatten)]
    pub totals: Totals,
    /// The session of the worker that is at it: the next attempt ends it, with any transaction it left open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Document>,
}

/// What a step's record says of the session that its holder has transactions in, see [`Checkpoints::session`].
#[derive(Deserialize)]
struct Open {
    session: Document,
}

/// Where a range begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The id.
    pub id: Bson,
    /// Whether the id itself belongs to it.
    pub inclusive: bool,
}

impl RangeRecord {
    /// Where the next batch begins.
    #[must_use]
    pub fn edge(&self) -> Edge {
        match &self.at {
            Some(id) => Edge::After(id.clone()),
            None if self.start.inclusive => Edge::At(self.start.id.clone()),
            None => Edge::After(self.start.id.clone()),
        }
    }
}

/// The checkpoints of one step, as the holder of an epoch sees them.
#[derive(Clone)]
pub struct Checkpoints {
    site: Site,
    collection: Collection<RawDocumentBuf>,
    /// `shop.stopover_checkpoints`, for messages.
    name: String,
    step: String,
    index: u32,
    epoch: u32,
}

impl Checkpoints {
    /// Of a step of a run, in the database that the step changes.
    #[must_use]
    pub fn new(site: &Site, database: Option<&str>, run: RunId, step: u32, epoch: u32) -> Self {
        let name = format!("{}.{COLLECTION}", site.database_name(database));
        let collection = site.database(database).collection(COLLECTION);
        Self { site: site.clone(), collection, name, step: format!("{run}/{step}"), index: step, epoch }
    }

    fn fault(&self, action: &str) -> impl Fn(mongodb::error::Error) -> Fault {
        let doing = format!("{action} on {}", self.name);
        move |error| match Fault::of(&error, &doing) {
            // No document of the migration is at fault here.
            Fault::Poison(reason) => Fault::Fatal(format!("{doing} is refused: {reason}")),
            fault => fault,
        }
    }

    /// Where the marks of what `run` left out at this step begin, see [`Checkpoints::mark`].
    #[must_use]
    pub fn marks_of(&self, run: RunId) -> String {
        format!("{run}/{}/left/", self.index)
    }

    /// Marks a document as left out, with the checkpoint that leaves it out: only what is marked may be tried again.
    ///
    /// # Errors
    /// See [`Fault::of`].
    pub async fn mark(&self, session: Option<&mut ClientSession>, id: &Bson) -> Result<(), Fault> {
        let mark = doc! { "_id": mark_of(&format!("{}/left/", self.step), id) };
        let update = self.collection.update_one(mark, doc! { "$currentDate": { "updatedAt": true } }).upsert(true);
        match session {
            Some(session) => update.session(session).await,
            None => update.await,
        }
        .map_err(self.fault("update"))
        .map(|_| ())
    }

    /// Takes the mark of a document away; whether there was one.
    ///
    /// # Errors
    /// See [`Fault::of`].
    pub async fn unmark(&self, session: Option<&mut ClientSession>, marks: &str, id: &Bson) -> Result<bool, Fault> {
        let delete = self.collection.delete_one(doc! { "_id": mark_of(marks, id) });
        let deleted = match session {
            Some(session) => delete.session(session).await,
            None => delete.await,
        };
        Ok(deleted.map_err(self.fault("remove"))?.deleted_count == 1)
    }

    /// Whether a document is marked.
    ///
    /// # Errors
    /// See [`Fault::of`].
    pub async fn is_marked(&self, marks: &str, id: &Bson) -> Result<bool, Fault> {
        let found = self.collection.find_one(doc! { "_id": mark_of(marks, id) }).await;
        Ok(found.map_err(self.fault("find"))?.is_some())
    }

    /// `shop.stopover_checkpoints`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn fenced(&self) -> Fault {
        Fault::Fenced(format!("attempt {} no longer holds the checkpoints of the run in {}", self.epoch, self.name))
    }

    /// Takes the step for this epoch and says how it stands. What an earlier attempt left open is ended first, see [`Checkpoints::session`].
    ///
    /// # Errors
    /// [`Fault::Fenced`] when a later attempt has it.
    pub async fn claim(&self, migration: &str, title: &str) -> Result<StepRecord, Fault> {
        let older = doc! { "_id": &self.step, "epoch": { "$lt": i64::from(self.epoch) } };
        let left = self.collection.find_one(older).await.map_err(self.fault("find, insert and update"))?;
        let left: Option<Open> = left.and_then(|record| bson::deserialize_from_slice(record.as_bytes()).ok());
        self.end_sessions(left.map(|left| left.session).into_iter().collect()).await;
        let new = StepRecord {
            epoch: self.epoch,
            pass: 0,
            complete: false,
            totals: Totals::default(),
            plan: Plan::default(),
            title: title.to_owned(),
        };
        let mut new = bson::serialize_to_document(&new).map_err(|error| unreadable(&error))?;
        new.remove("epoch");
        new.insert("migration", migration);
        let update = doc! { "$max": { "epoch": i64::from(self.epoch) }, "$setOnInsert": new, "$currentDate": { "updatedAt": true } };
        let attempt = || {
            self.collection
                .find_one_and_update(doc! { "_id": &self.step }, update.clone())
                .upsert(true)
                .return_document(ReturnDocument::After)
        };
        let record = match attempt().await {
            // Two that create it at once collide; the second look finds it.
            Err(error) if server_error(&error).is_some_and(|(code, ..)| code == 11_000) => attempt().await,
            other => other,
        };
        let record = record.map_err(self.fault("find, insert and update"))?.ok_or_else(|| self.fenced())?;
        let mut record: StepRecord =
            bson::deserialize_from_slice(record.as_bytes()).map_err(|error| unreadable(&error))?;
        if record.epoch > self.epoch {
            return Err(self.fenced());
        }
        if record.pass == 0 && !record.complete {
            // Nothing was done yet: a mistake in it may be mended.
            title.clone_into(&mut record.title);
        } else if record.title != title {
            return Err(Fault::Fatal(format!(
                "when this run began, the step was `{}`; steps that were added, removed or moved cannot go on from its checkpoints: cancel the run, and launch the migration anew",
                record.title
            )));
        }
        Ok(record)
    }

    /// Takes the ranges of a pass for this epoch. What an earlier attempt left open is ended first, for it would keep its documents locked
    /// until the server forgets it.
    ///
    /// # Errors
    /// [`Fault::Fenced`] when a later attempt has one of them.
    pub async fn claim_ranges(&self, pass: u32) -> Result<Vec<RangeRecord>, Fault> {
        let left: Vec<Document> = self
            .ranges(pass)
            .await?
            .into_iter()
            .filter(|range| range.epoch < self.epoch)
            .filter_map(|range| range.session)
            .collect();
        self.end_sessions(left).await;
        let older = doc! { "_id": self.ids_of(pass), "epoch": { "$lt": i64::from(self.epoch) } };
        let raise = doc! { "$set": { "epoch": i64::from(self.epoch) } };
        self.collection.update_many(older, raise).await.map_err(self.fault("update"))?;
        let ranges = self.ranges(pass).await?;
        if ranges.iter().any(|range| range.epoch != self.epoch) { Err(self.fenced()) } else { Ok(ranges) }
    }

    /// A session for a transaction that is not a lane's, where there are any. The step notes it, so that the next attempt can end it: if this
    /// worker dies, what it locked would stay locked until the server forgets the transaction, which takes a minute.
    ///
    /// # Errors
    /// [`Fault::Fenced`] when a later attempt has the step.
    pub async fn session(&self) -> Result<Option<ClientSession>, Fault> {
        let Some(session) = self.site.session().await? else { return Ok(None) };
        let held = doc! { "_id": &self.step, "epoch": i64::from(self.epoch) };
        let noted = self.collection.update_one(held, doc! { "$set": { "session": session.id() } }).await;
        if noted.map_err(self.fault("update"))?.matched_count == 0 {
            return Err(self.fenced());
        }
        Ok(Some(session))
    }

    /// Ends sessions of this user, with the transactions that are open in them. It is only a favour: they end by themselves after a minute.
    pub async fn end_sessions(&self, sessions: Vec<Document>) {
        if !sessions.is_empty() {
            let _ = self.site.client.database("admin").run_command(doc! { "killSessions": sessions }).await;
        }
    }

    async fn ranges(&self, pass: u32) -> Result<Vec<RangeRecord>, Fault> {
        let fault = self.fault("find");
        let mut found =
            self.collection.find(doc! { "_id": self.ids_of(pass) }).sort(doc! { "_id": 1 }).await.map_err(&fault)?;
        let mut ranges = Vec::new();
        while found.advance().await.map_err(&fault)? {
            ranges.push(bson::deserialize_from_slice(found.current().as_bytes()).map_err(|error| unreadable(&error))?);
        }
        Ok(ranges)
    }

    /// The names of a pass's ranges; no character comes between `/` and `0`.
    fn ids_of(&self, pass: u32) -> Document {
        doc! { "$gt": format!("{}/{pass}/", self.step), "$lt": format!("{}/{pass}0", self.step) }
    }

    /// Begins the pass after `before`: stores its ranges, then the step's new state, then removes the ranges of the pass before. In one
    /// transaction where there are any; otherwise in this order, in which a crash leaves nothing that is not made anew.
    ///
    /// # Errors
    /// [`Fault::Fenced`] when a later attempt has the step.
    pub async fn plan(
        &self,
        before: &StepRecord,
        next: &StepRecord,
        ranges: &[(Start, Bson)],
    ) -> Result<Vec<RangeRecord>, Fault> {
        let records: Vec<RangeRecord> = ranges
            .iter()
            .enumerate()
            .map(|(index, (start, through))| RangeRecord {
                // As many digits as there can be, so that their order is that of the ids.
                id: format!("{}/{}/{index:04}", self.step, next.pass),
                epoch: self.epoch,
                seq: 0,
                start: start.clone(),
                at: None,
                through: through.clone(),
                complete: false,
                totals: Totals::default(),
                session: None,
            })
            .collect();
        self.store_plan(before, next, &records).await.map(|()| records)
    }

    async fn store_plan(&self, before: &StepRecord, next: &StepRecord, records: &[RangeRecord]) -> Result<(), Fault> {
        let Some(mut session) = self.session().await? else {
            return self.write_plan(None, before, next, records).await;
        };
        session.start_transaction().await.map_err(self.fault("update"))?;
        let planned = match self.write_plan(Some(&mut session), before, next, records).await {
            Ok(()) => commit(&mut session, &self.name).await,
            Err(fault) => {
                let _ = session.abort_transaction().await;
                Err(fault)
            }
        };
        if planned.is_err() {
            // Whatever became of the abort or the commit: nothing of it is in the way of the next try.
            self.end_sessions(vec![session.id().clone()]).await;
        }
        planned
    }

    async fn write_plan(
        &self,
        mut session: Option<&mut ClientSession>,
        before: &StepRecord,
        next: &StepRecord,
        records: &[RangeRecord],
    ) -> Result<(), Fault> {
        let (fault, unremoved) = (self.fault("insert and update"), self.fault("remove"));
        // Either as it was, or as it is to be: then an earlier try was committed, and only the answer was lost.
        let as_it_was = doc! { "pass": i64::from(before.pass), "complete": false };
        let as_it_will_be = doc! { "pass": i64::from(next.pass), "complete": next.complete };
        let held = doc! { "_id": &self.step, "epoch": i64::from(self.epoch), "$or": [as_it_was, as_it_will_be] };
        if session.is_none() && self.collection.find_one(held.clone()).await.map_err(&fault)?.is_none() {
            // Without a transaction, nothing may be removed that a later attempt has planned.
            return Err(self.fenced());
        }
        // What a crash left of this pass, where there are no transactions.
        let stale = self.collection.delete_many(doc! { "_id": self.ids_of(next.pass) });
        match session.as_deref_mut() {
            Some(session) => stale.session(session).await,
            None => stale.await,
        }
        .map_err(&unremoved)?;
        if !records.is_empty() {
            let documents = records
                .iter()
                .map(bson::serialize_to_raw_document_buf)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| unreadable(&error))?;
            let insert = self.collection.insert_many(documents);
            match session.as_deref_mut() {
                Some(session) => insert.session(session).await,
                None => insert.await,
            }
            .map_err(&fault)?;
        }
        let fields = bson::serialize_to_document(next).map_err(|error| unreadable(&error))?;
        let update = self.collection.update_one(held, doc! { "$set": fields, "$currentDate": { "updatedAt": true } });
        let updated = match session.as_deref_mut() {
            Some(session) => update.session(session).await,
            None => update.await,
        }
        .map_err(&fault)?;
        if updated.matched_count == 0 {
            return Err(self.fenced());
        }
        if before.pass != next.pass {
            let done = self.collection.delete_many(doc! { "_id": self.ids_of(before.pass) });
            match session {
                Some(session) => done.session(session).await,
                None => done.await,
            }
            .map_err(&unremoved)?;
        }
        Ok(())
    }

    /// Notes the session of the worker that takes up a range, and reads the range as it is then.
    ///
    /// # Errors
    /// [`Fault::Fenced`] when a later attempt has it.
    pub async fn take(&self, range: &str, session: Option<&Document>) -> Result<RangeRecord, Fault> {
        let set = session
            .map_or_else(|| doc! { "$unset": { "session": 1 } }, |session| doc! { "$set": { "session": session } });
        let held = doc! { "_id": range, "epoch": i64::from(self.epoch) };
        let record = self.collection.find_one_and_update(held, set).return_document(ReturnDocument::After);
        let record = record.await.map_err(self.fault("find and update"))?.ok_or_else(|| self.fenced())?;
        bson::deserialize_from_slice(record.as_bytes()).map_err(|error| unreadable(&error))
    }

    /// Moves a range's checkpoint to `at`; the range as it is then, or `None` when it is no longer what `range` says.
    ///
    /// # Errors
    /// See [`Fault::of`].
    pub async fn advance(
        &self,
        session: Option<&mut ClientSession>,
        range: &RangeRecord,
        at: &Bson,
        done: Totals,
    ) -> Result<Option<RangeRecord>, Fault> {
        let next = RangeRecord {
            seq: range.seq + 1,
            at: Some(at.clone()),
            complete: *at == range.through,
            totals: range.totals.plus(done),
            ..range.clone()
        };
        let held = doc! { "_id": &range.id, "epoch": i64::from(self.epoch), "seq": range.seq };
        let update = doc! { "$set": {
            "seq": next.seq, "at": at, "complete": next.complete,
            "matched": next.totals.matched, "modified": next.totals.modified,
            "skipped": next.totals.skipped, "quarantined": next.totals.quarantined,
        } };
        let update = self.collection.update_one(held, update);
        let updated = match session {
            Some(session) => update.session(session).await,
            None => update.await,
        };
        let updated = updated.map_err(self.fault("update"))?;
        Ok((updated.matched_count == 1).then_some(next))
    }
}

/// The name of the mark of a document.
fn mark_of(marks: &str, id: &Bson) -> String {
    format!("{marks}{}", id.clone().into_canonical_extjson())
}

/// Commits the transaction that is open in a session; a commit whose fate is not known is asked for again.
///
/// # Errors
/// [`Fault::Passing`] when it was aborted, or its fate stays unknown: what is stored then decides.
pub async fn commit(session: &mut ClientSession, name: &str) -> Result<(), Fault> {
    const TRIES: u32 = 5;
    let mut tries = 0;
    loop {
        match session.commit_transaction().await {
            Ok(()) => return Ok(()),
            Err(error) if error.contains_label(mongodb::error::UNKNOWN_TRANSACTION_COMMIT_RESULT) && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(std::time::Duration::from_millis(50) * 2u32.pow(tries)).await;
            }
            Err(error) => {
                return Err(match Fault::of(&error, &format!("a commit on {name}")) {
                    // No document is at fault at this point.
                    Fault::Poison(reason) => Fault::Passing(reason),
                    fault => fault,
                });
            }
        }
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Fault {
    Fault::Fatal(format!(
        "a record in {COLLECTION} cannot be read: {error}; another version of Stopover may have written it"
    ))
}
