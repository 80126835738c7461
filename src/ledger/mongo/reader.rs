//! Reading the ledger. A user that may only read, and a database that does not exist, are fine.

use async_trait::async_trait;
use bson::{Document, RawDocumentBuf, doc};
use serde::Deserialize;

use crate::catalog::{Checksum, MigrationId};
use crate::ledger::packing::unpack;
use crate::ledger::{
    Event, Histories, LATE_AT_MOST, LedgerError, LedgerReader, LogChunk, LogPosition, Passport, QuarantinePosition,
    Quarantined, Run, RunId, RunQuery, Seen, Success,
};
use crate::secret::Secret;
use crate::time::Timestamp;

use super::connection::Connection;
use super::record::{date, log_id, quarantine_id, without_events};
use super::schema;

/// The `_id` of the stamp.
pub(super) const PASSPORT_ID: &str = "passport";

const READ_RUNS: &str = "find on stopover_runs";
/// Documents per batch: what the driver holds at a time besides the result.
const BATCH: u32 = 500;

/// Reads, and has no way to write.
#[derive(Clone)]
pub(in crate::ledger) struct MongoReader {
    connection: Connection,
}

impl MongoReader {
    /// Connects, and checks that this version can read what is there.
    pub(in crate::ledger) async fn connect(uri: &Secret) -> Result<Self, LedgerError> {
        let connection = Connection::new(uri).await?;
        schema::check(&connection).await?;
        Ok(Self { connection })
    }

    /// Reads through a connection that is checked already.
    pub(super) fn through(connection: Connection) -> Self {
        Self { connection }
    }

    /// Runs by `filter`, and the server's clock before they were read.
    async fn find(&self, filter: Document, sort: Document, limit: Option<u32>) -> Result<Seen<Vec<Run>>, LedgerError> {
        let now = self.connection.now().await?;
        let find = self
            .connection
            .runs
            .find(filter)
            .sort(sort)
            .projection(without_events())
            .limit(limit.map_or(0, i64::from))
            .batch_size(BATCH);
        let cursor = self.connection.list(READ_RUNS, find).await?;
        let mut value = Vec::new();
        self.connection.read_all(READ_RUNS, cursor, |run| value.push(run)).await?;
        Ok(Seen { now, value })
    }

    /// Pieces of a run's log from a place on, the first ones (`order` 1) or the last ones (-1), in that order.
    async fn chunks(
        &self,
        run: RunId,
        from: LogPosition,
        order: i32,
        limit: u32,
    ) -> Result<Vec<LogChunk>, LedgerError> {
        const READ_LOGS: &str = "find on stopover_logs";
        #[derive(Deserialize)]
        struct Stored {
            #[serde(rename = "_id")]
            id: StoredId,
            packed: bson::Binary,
        }
        #[derive(Deserialize)]
        struct StoredId {
            attempt: u32,
            offset: u64,
        }
        if limit == 0 {
            return Ok(Vec::new());
        }
        let range = doc! { "$gte": log_id(run, from.attempt, from.offset), "$lte": log_id(run, u32::MAX, u64::MAX) };
        let find = self.connection.logs.find(doc! { "_id": range }).sort(doc! { "_id": order }).limit(i64::from(limit));
        let cursor = self.connection.list(READ_LOGS, find).await?;
        let mut stored: Vec<Stored> = Vec::new();
        self.connection.read_all(READ_LOGS, cursor, |chunk| stored.push(chunk)).await?;
        stored
            .into_iter()
            .map(|Stored { id: StoredId { attempt, offset }, packed }| {
                let bytes = unpack(&packed.bytes)
                    .map_err(|error| self.connection.corrupt(format!("a piece of the log of run {run}: {error}")))?;
                Ok(LogChunk { run, attempt, offset, bytes })
            })
            .collect()
    }

    /// What a pipeline over the runs finds, one by one.
    async fn aggregate<T: serde::de::DeserializeOwned>(
        &self,
        pipeline: impl IntoIterator<Item = Document>,
        hint: &str,
        take: impl FnMut(T),
    ) -> Result<(), LedgerError> {
        let options = mongodb::options::AggregateOptions::builder()
            .hint(mongodb::options::Hint::Name(hint.to_owned()))
            .batch_size(BATCH)
            .build();
        let aggregate = self.connection.runs.aggregate(pipeline).with_options(options).with_type::<RawDocumentBuf>();
        let cursor = self.connection.list(READ_RUNS, aggregate).await?;
        self.connection.read_all(READ_RUNS, cursor, take).await
    }
}

/// A migration's last success, as far as an index knows it.
#[derive(Deserialize)]
struct LastSuccess {
    #[serde(rename = "_id")]
    migration: MigrationId,
    run: RunId,
    at: Timestamp,
    checksum: Checksum,
}

#[async_trait]
impl LedgerReader for MongoReader {
    fn label(&self) -> String {
        self.connection.label().to_owned()
    }

    async fn now(&self) -> Result<Timestamp, LedgerError> {
        self.connection.now().await
    }

    async fn passport(&self) -> Result<Option<Passport>, LedgerError> {
        let find = self.connection.passport.find_one(doc! { "_id": PASSPORT_ID });
        let found = self.connection.call("find on stopover_passport", find).await?;
        found.map(|document| self.connection.read(&document)).transpose()
    }

    /// The replica set's name and its members, in a fixed order; `None` for a standalone server.
    async fn cluster(&self) -> Result<Option<String>, LedgerError> {
        let hello = self.connection.hello().await?;
        let (Ok(name), Ok(hosts)) = (hello.get_str("setName"), hello.get_array("hosts")) else {
            return Ok(None);
        };
        let mut hosts: Vec<_> = hosts.iter().filter_map(bson::Bson::as_str).collect();
        hosts.sort_unstable();
        Ok(Some(format!("{name}/{}", hosts.join(","))))
    }

    /// Two walks over an index, which jump from migration to migration however many runs each has.
    async fn histories(&self) -> Result<Seen<Histories>, LedgerError> {
        let now = self.connection.now().await?;
        let mut value = Histories::new();
        let latest = [
            doc! { "$sort": { "migration": 1, "createdAt": -1, "_id": -1 } },
            doc! { "$group": { "_id": "$migration", "run": { "$first": "$$ROOT" } } },
            doc! { "$replaceWith": "$run" },
            doc! { "$unset": "events" },
        ];
        self.aggregate(latest, "runs_by_migration", |run: Run| {
            value.entry(run.migration.clone()).or_default().absorb(run);
        })
        .await?;
        let successes = [
            doc! { "$sort": { "migration": 1, "succeededAt": -1, "_id": -1 } },
            doc! { "$group": {
                "_id": "$migration",
                "run": { "$first": "$_id" },
                "at": { "$first": "$succeededAt" },
                "checksum": { "$first": "$launch.checksum" },
            } },
            // The first of a migration that never succeeded has no such time.
            doc! { "$match": { "at": { "$type": "date" } } },
        ];
        self.aggregate(successes, "successes", |LastSuccess { migration, run, at, checksum }| {
            value.entry(migration).or_default().succeeded(Success { run, at, checksum });
        })
        .await?;
        Ok(Seen { now, value })
    }

    async fn changes(&self, since: Timestamp) -> Result<Seen<Vec<Run>>, LedgerError> {
        let since = date(since.minus(LATE_AT_MOST));
        self.find(doc! { "updatedAt": { "$gte": since } }, doc! { "updatedAt": 1 }, None).await
    }

    async fn run(&self, id: RunId) -> Result<Seen<Option<Run>>, LedgerError> {
        let mut seen = self.find(doc! { "_id": id.to_string() }, doc! {}, Some(1)).await?;
        Ok(Seen { now: seen.now, value: seen.value.pop() })
    }

    async fn runs(&self, query: RunQuery) -> Result<Seen<Vec<Run>>, LedgerError> {
        let filter = query.migration.map_or_else(Document::new, |migration| doc! { "migration": migration.as_str() });
        // A limit of 0 is none to the server.
        if query.limit == Some(0) {
            return Ok(Seen { now: self.connection.now().await?, value: Vec::new() });
        }
        self.find(filter, doc! { "createdAt": -1, "_id": -1 }, query.limit).await
    }

    async fn runs_ending_in(&self, suffix: &str) -> Result<Vec<Run>, LedgerError> {
        let Some(range) = RunId::reversed_range(suffix) else {
            return Ok(Vec::new());
        };
        let filter = doc! { "reversed": { "$gte": range.start(), "$lte": range.end() } };
        Ok(self.find(filter, doc! {}, Some(RunId::NAMESAKES)).await?.value)
    }

    async fn events(&self, run: RunId) -> Result<Vec<Event>, LedgerError> {
        #[derive(Deserialize)]
        struct Events {
            #[serde(default)]
            events: Vec<Event>,
        }
        let find = self.connection.runs.find_one(doc! { "_id": run.to_string() }).projection(doc! { "events": 1 });
        match self.connection.call(READ_RUNS, find).await? {
            Some(document) => Ok(self.connection.read::<Events>(&document)?.events),
            None => Ok(Vec::new()),
        }
    }

    async fn log(&self, run: RunId, from: LogPosition, limit: u32) -> Result<Vec<LogChunk>, LedgerError> {
        self.chunks(run, from, 1, limit).await
    }

    async fn log_end(&self, run: RunId, limit: u32) -> Result<Vec<LogChunk>, LedgerError> {
        let mut chunks = self.chunks(run, LogPosition::default(), -1, limit).await?;
        chunks.reverse();
        Ok(chunks)
    }

    async fn quarantined(
        &self,
        run: RunId,
        after: Option<QuarantinePosition>,
        limit: u32,
    ) -> Result<Vec<Quarantined>, LedgerError> {
        const READ_QUARANTINE: &str = "find on stopover_quarantine";
        #[derive(Deserialize)]
        struct Stored {
            #[serde(rename = "_id")]
            place: QuarantinePosition,
            database: String,
            collection: String,
            error: String,
            attempt: u32,
            at: Timestamp,
        }
        if limit == 0 {
            return Ok(Vec::new());
        }
        // Before any other place of the run: no `_id` is an empty text.
        let after = after.unwrap_or_default();
        // Documents compare field by field, so the places of a run are a range; past it come those of the next run.
        let past = doc! { "run": run.to_string(), "step": i64::MAX };
        let range = doc! { "$gt": quarantine_id(run, &after), "$lt": past };
        let find =
            self.connection.quarantine.find(doc! { "_id": range }).sort(doc! { "_id": 1 }).limit(i64::from(limit));
        let cursor = self.connection.list(READ_QUARANTINE, find).await?;
        let mut found = Vec::new();
        self.connection
            .read_all(READ_QUARANTINE, cursor, |stored: Stored| {
                let Stored { place, database, collection, error, attempt, at } = stored;
                let QuarantinePosition { step, document } = place;
                found.push(Quarantined { run, step, database, collection, document, error, attempt, at });
            })
            .await?;
        Ok(found)
    }
}
