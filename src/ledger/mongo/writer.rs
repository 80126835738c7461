//! Writing the ledger.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bson::{Binary, Document, RawDocumentBuf, doc};
use mongodb::options::ReturnDocument;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::ledger::delegate::ReadsThrough;
use crate::ledger::packing::pack;
use crate::ledger::{
    Acted, Action, Applied, Beat, BeatReply, Event, LedgerError, LedgerReader, LedgerWriter, LogChunk, NewPassport,
    NewQuarantined, NewRun, Passport, QuarantinePosition, Run, RunId, SpeedChange, WishKind,
};
use crate::secret::Secret;
use crate::time::Timestamp;

use super::connection::Connection;
use super::reader::{MongoReader, PASSPORT_ID};
use super::record::{date, document, log_id, quarantine_id, stored, without_events};
use super::schema;

const WRITE_RUNS: &str = "update on stopover_runs";
const WRITE_LOGS: &str = "update on stopover_logs";
const WRITE_QUARANTINE: &str = "update on stopover_quarantine";

/// How often a change is tried that others get ahead of. Each time somebody else's write succeeded; only a worker's heartbeat
/// comes often, so the second try is nearly always the last.
const TRIES: u32 = 20;

/// Writes, and reads through the same connection.
pub(in crate::ledger) struct MongoWriter {
    connection: Connection,
    reader: MongoReader,
}

impl MongoWriter {
    /// Connects, and creates or upgrades collections and indexes.
    pub(in crate::ledger) async fn connect(uri: &Secret) -> Result<Self, LedgerError> {
        let connection = Connection::new(uri).await?;
        schema::upgrade(&connection).await?;
        Ok(Self { reader: MongoReader::through(connection.clone()), connection })
    }

    async fn find_one(&self, filter: Document) -> Result<Option<Run>, LedgerError> {
        let find = self
            .connection
            .runs
            .find_one(filter)
            .sort(doc! { "createdAt": -1, "_id": -1 })
            .projection(without_events());
        let found = self.connection.call("find on stopover_runs", find).await?;
        found.map(|document| self.connection.read(&document)).transpose()
    }

    /// A run and the server's clock, in one round trip.
    async fn run_and_now(&self, id: RunId) -> Result<(Run, Timestamp), LedgerError> {
        #[derive(Deserialize)]
        struct Clocked {
            now: Timestamp,
        }
        let pipeline = [
            doc! { "$match": { "_id": id.to_string() } },
            doc! { "$unset": "events" },
            doc! { "$set": { "now": "$$NOW" } },
        ];
        let aggregate = self.connection.runs.aggregate(pipeline).with_type::<RawDocumentBuf>();
        let mut cursor = self.connection.call("find on stopover_runs", aggregate).await?;
        let more = self.connection.call("find on stopover_runs", cursor.advance()).await?;
        if !more {
            return Err(LedgerError::NoSuchRun(id));
        }
        let Clocked { now } = self.connection.read(cursor.current())?;
        Ok((self.connection.read(cursor.current())?, now))
    }

    /// Why the unique index refused to open `run`; `None` when whoever was in the way has ended meanwhile.
    async fn occupied(&self, run: &Run) -> Result<Option<LedgerError>, LedgerError> {
        let open = self.find_one(doc! { "migration": run.migration.as_str(), "open": true }).await?;
        match open {
            Some(open) => Ok(Some(LedgerError::Occupied { run: Box::new(open), now: self.connection.now().await? })),
            None => Ok(None),
        }
    }

    /// Refuses to resume a run that is not its migration's latest.
    async fn refuse_superseded(&self, run: &Run) -> Result<(), LedgerError> {
        let newer = doc! { "migration": run.migration.as_str(), "createdAt": { "$gt": date(run.created_at) } };
        match self.find_one(newer).await? {
            None => Ok(()),
            Some(newer) if newer.is_open() => {
                Err(LedgerError::Occupied { run: Box::new(newer), now: self.connection.now().await? })
            }
            Some(_) => Err(LedgerError::Superseded { run: run.id.short(), migration: run.migration.clone() }),
        }
    }

    /// Writes `next` over `current` unless somebody else has changed it since it was read.
    async fn replace(&self, current: &Run, mut next: Run, event: Option<&Event>) -> Result<Option<Run>, LedgerError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Updated {
            updated_at: Timestamp,
        }
        let update = self
            .connection
            .runs
            .find_one_and_update(
                doc! { "_id": current.id.to_string(), "updatedAt": date(current.updated_at) },
                vec![doc! { "$replaceWith": stored(&next, event) }],
            )
            .projection(doc! { "updatedAt": 1 })
            .return_document(ReturnDocument::After);
        match self.connection.attempt(update).await {
            Ok(Some(stored)) => {
                next.updated_at = self.connection.read::<Updated>(&stored)?.updated_at;
                Ok(Some(next))
            }
            Ok(None) => Ok(None),
            Err(fault) if fault.is_duplicate() => match self.occupied(&next).await? {
                Some(occupied) => Err(occupied),
                None => Ok(None),
            },
            Err(fault) => Err(fault.in_ledger(self.connection.label(), WRITE_RUNS)),
        }
    }

    fn contended(&self) -> LedgerError {
        LedgerError::Unreachable {
            ledger: self.connection.label().to_owned(),
            reason: "too many others change the same run at this moment; try again".to_owned(),
        }
    }
}

impl ReadsThrough for MongoWriter {
    type Reader = MongoReader;

    fn reader(&self) -> &MongoReader {
        &self.reader
    }
}

#[async_trait]
impl LedgerWriter for MongoWriter {
    async fn stamp(&self, new: NewPassport) -> Result<Passport, LedgerError> {
        let NewPassport { environment, protected, by: stamped_by, restamp } = new;
        let cluster = self.cluster().await?;
        let stamped_at = self.connection.now().await?;
        let mut record = document(&Passport { environment, protected, cluster, stamped_at, stamped_by });
        record.insert("_id", PASSPORT_ID);
        let keep = doc! { "$and": [!restamp, { "$ne": [{ "$type": "$environment" }, "missing"] }] };
        let stamp = vec![doc! { "$replaceWith": { "$cond": [keep, "$$ROOT", { "$literal": record }] } }];
        let stamped = self.connection.upsert(&self.connection.passport, PASSPORT_ID, stamp).await;
        let stamped =
            stamped.map_err(|fault| fault.in_ledger(self.connection.label(), "update on stopover_passport"))?;
        let stamped = stamped.ok_or_else(|| self.connection.corrupt("the passport vanished as it was stamped"))?;
        self.connection.read(&stamped)
    }

    async fn open(&self, new: NewRun) -> Result<Run, LedgerError> {
        for _ in 0..TRIES {
            let previous = self.find_one(doc! { "migration": new.migration.as_str() }).await?;
            let previous = previous.filter(|run| run.id != new.id).map(|run| run.created_at);
            let (run, event) = Run::launched(new.clone(), previous, self.connection.now().await?);
            // A run that is recorded already, by a call whose answer was lost, stays as it is.
            let record = stored(&run, Some(&event));
            let is_new = doc! { "$eq": [{ "$type": "$migration" }, "missing"] };
            let insert = vec![doc! { "$replaceWith": { "$cond": [is_new, record, "$$ROOT"] } }];
            match self.connection.upsert(&self.connection.runs, &run.id.to_string(), insert).await {
                Ok(Some(stored)) => return self.connection.read(&stored),
                Ok(None) => {}
                Err(fault) if fault.is_duplicate() => {
                    if let Some(occupied) = self.occupied(&run).await? {
                        return Err(occupied);
                    }
                }
                Err(fault) => return Err(fault.in_ledger(self.connection.label(), WRITE_RUNS)),
            }
        }
        Err(self.contended())
    }

    async fn act(&self, id: RunId, action: Action) -> Result<Acted, LedgerError> {
        for again in 0..TRIES {
            let (current, now) = self.run_and_now(id).await?;
            match current.apply(action.clone(), now)? {
                Applied::Already(sentence) => return Ok(Acted::Already(sentence)),
                Applied::Noted(next) => {
                    if let Some(noted) = self.replace(&current, *next, None).await? {
                        return Ok(Acted::Changed(Box::new(noted)));
                    }
                }
                Applied::Changed(next, event) => {
                    // An open run is the latest: the index allows no other beside it.
                    if !current.is_open() {
                        self.refuse_superseded(&current).await?;
                    }
                    if let Some(changed) = self.replace(&current, *next, Some(&event)).await? {
                        return Ok(Acted::Changed(Box::new(changed)));
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(5) * again).await;
        }
        Err(self.contended())
    }

    async fn beat(&self, id: RunId, attempt: u32, beat: Beat) -> Result<BeatReply, LedgerError> {
        #[derive(Deserialize)]
        struct Stored {
            state: StoredState,
            tuning: Option<StoredTuning>,
        }
        #[derive(Deserialize)]
        struct StoredTuning {
            speed: SpeedChange,
        }
        #[derive(Deserialize)]
        struct StoredState {
            lease: crate::ledger::Lease,
            wish: Option<StoredWish>,
        }
        #[derive(Deserialize)]
        struct StoredWish {
            kind: WishKind,
            force: Option<IgnoredAny>,
        }
        let lease = i64::try_from(beat.lease.as_millis()).unwrap_or(i64::MAX);
        let number = i64::try_from(beat.number).unwrap_or(i64::MAX);
        // The same condition as in `Run::beat`.
        let is_forced = doc! { "$ne": [{ "$type": "$state.wish.force" }, "missing"] };
        let end = doc! { "$cond": [is_forced, "$state.lease.expiresAt", { "$add": ["$$NOW", lease] }] };
        let mut changes = doc! {
            "state.lease": { "renewedAt": "$$NOW", "expiresAt": end },
            "beat": number,
            "progress": { "$literal": document(&beat.progress) },
            "updatedAt": { "$max": ["$$NOW", { "$add": ["$updatedAt", 1] }] },
        };
        if let Some(checkpoint) = &beat.checkpoint {
            changes.insert("checkpoint", doc! { "$literal": checkpoint.as_json() });
        }
        // The same conditions as `Run::is_held_by` and `Run::has_heard`. A record without a number has heard of none.
        let unheard = doc! { "$not": { "$gte": number } };
        let held = doc! { "_id": id.to_string(), "attempt": attempt, "state.name": "running", "beat": unheard };
        let update = self
            .connection
            .runs
            .find_one_and_update(held, vec![doc! { "$set": changes }])
            .projection(doc! { "state.lease": 1, "state.wish.kind": 1, "state.wish.force.at": 1, "tuning.speed": 1 })
            .return_document(ReturnDocument::After);
        if let Some(stored) = self.connection.call(WRITE_RUNS, update).await? {
            let Stored { state: StoredState { lease, wish }, tuning } = self.connection.read(&stored)?;
            return Ok(BeatReply {
                is_forced: wish.as_ref().is_some_and(|wish| wish.force.is_some()),
                wish: wish.map(|wish| wish.kind),
                speed: tuning.map(|tuning| tuning.speed),
                expires_at: lease.expires_at,
            });
        }
        let (run, now) = self.run_and_now(id).await?;
        if run.has_heard(attempt, beat.number) {
            return Ok(run.beat_reply(now));
        }
        Err(run.fenced(attempt, now).into())
    }

    async fn archive(&self, chunk: LogChunk) -> Result<(), LedgerError> {
        let packed = Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: pack(&chunk.bytes) };
        let update = self
            .connection
            .logs
            .update_one(
                doc! { "_id": log_id(chunk.run, chunk.attempt, chunk.offset) },
                doc! { "$set": { "packed": packed }, "$currentDate": { "storedAt": true } },
            )
            .upsert(true);
        match self.connection.attempt(update).await {
            Ok(_) => Ok(()),
            // The same chunk was stored a moment ago.
            Err(fault) if fault.is_duplicate() => Ok(()),
            Err(fault) => Err(fault.in_ledger(self.connection.label(), WRITE_LOGS)),
        }
    }

    async fn trim(&self, run: RunId, attempt: u32, offsets: Range<u64>) -> Result<(), LedgerError> {
        let range = doc! { "$gte": log_id(run, attempt, offsets.start), "$lt": log_id(run, attempt, offsets.end) };
        let delete = self.connection.logs.delete_many(doc! { "_id": range });
        self.connection.call("remove on stopover_logs", delete).await.map(|_| ())
    }

    async fn quarantine(&self, new: NewQuarantined) -> Result<(), LedgerError> {
        let NewQuarantined { run, step, database, collection, document, error, attempt } = new;
        let record =
            doc! { "database": database, "collection": collection, "error": error, "attempt": i64::from(attempt) };
        // What is there already comes last, and so stays.
        let insert =
            vec![doc! { "$replaceWith": { "$mergeObjects": [{ "$literal": record }, { "at": "$$NOW" }, "$$ROOT"] } }];
        let id = quarantine_id(run, &QuarantinePosition { step, document });
        let update = self.connection.quarantine.update_one(doc! { "_id": id }, insert).upsert(true);
        match self.connection.attempt(update).await {
            Ok(_) => Ok(()),
            // The same document was recorded a moment ago.
            Err(fault) if fault.is_duplicate() => Ok(()),
            Err(fault) => Err(fault.in_ledger(self.connection.label(), WRITE_QUARANTINE)),
        }
    }
}
