//! Reading an embedded ledger.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params};
use serde::de::DeserializeOwned;

use crate::ledger::packing::unpack;
use crate::ledger::{
    Event, Histories, LATE_AT_MOST, LedgerError, LedgerReader, LogChunk, LogPosition, Passport, QuarantinePosition,
    Quarantined, Run, RunId, RunQuery, Seen, Success,
};
use crate::time::Timestamp;

use super::clock;
use super::error::Fault;
use super::file::ReadFile;

/// Reads the file and never creates or changes it. While there is no file, the ledger is empty.
pub(in crate::ledger) struct SqliteReader {
    file: ReadFile,
}

impl SqliteReader {
    /// Checks that the file, if there is one, can be read by this version.
    pub(in crate::ledger) async fn open(path: &Path) -> Result<Self, LedgerError> {
        let reader = Self { file: ReadFile::new(path) };
        reader.now().await?;
        Ok(reader)
    }

    async fn seen<T: Default + Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Seen<T>, LedgerError> {
        let seen = self.file.read(move |db| Ok(Seen { now: clock::now(db)?, value: work(db)? })).await?;
        Ok(seen.unwrap_or_else(|| Seen { now: Timestamp::of_this_machine(), value: T::default() }))
    }
}

#[async_trait]
impl LedgerReader for SqliteReader {
    fn label(&self) -> String {
        self.file.label()
    }

    async fn now(&self) -> Result<Timestamp, LedgerError> {
        Ok(self.seen(|_| Ok(())).await?.now)
    }

    async fn passport(&self) -> Result<Option<Passport>, LedgerError> {
        Ok(self.seen(passport).await?.value)
    }

    /// A file belongs to no cluster.
    async fn cluster(&self) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }

    async fn histories(&self) -> Result<Seen<Histories>, LedgerError> {
        self.seen(histories).await
    }

    async fn changes(&self, since: Timestamp) -> Result<Seen<Vec<Run>>, LedgerError> {
        let since = since.minus(LATE_AT_MOST).as_millis();
        self.seen(move |db| runs(db, "SELECT run FROM runs WHERE updated_at >= ?1", [since])).await
    }

    async fn run(&self, id: RunId) -> Result<Seen<Option<Run>>, LedgerError> {
        self.seen(move |db| run(db, id)).await
    }

    async fn runs(&self, query: RunQuery) -> Result<Seen<Vec<Run>>, LedgerError> {
        // A negative limit is none.
        let limit = query.limit.map_or(-1, i64::from);
        self.seen(move |db| match query.migration {
            Some(migration) => runs(
                db,
                "SELECT run FROM runs WHERE migration = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2",
                (migration.as_str(), limit),
            ),
            None => runs(db, "SELECT run FROM runs ORDER BY created_at DESC, id DESC LIMIT ?1", [limit]),
        })
        .await
    }

    async fn runs_ending_in(&self, suffix: &str) -> Result<Vec<Run>, LedgerError> {
        let Some(range) = RunId::reversed_range(suffix) else {
            return Ok(Vec::new());
        };
        let limit = RunId::NAMESAKES;
        let found = self.seen(move |db| {
            runs(
                db,
                "SELECT run FROM runs WHERE reversed BETWEEN ?1 AND ?2 LIMIT ?3",
                (range.start(), range.end(), limit),
            )
        });
        Ok(found.await?.value)
    }

    async fn events(&self, run: RunId) -> Result<Vec<Event>, LedgerError> {
        let events = self.seen(move |db| {
            let mut statement = db.prepare_cached("SELECT event FROM events WHERE run = ?1 ORDER BY seq")?;
            let rows = statement.query_map([run.to_string()], |row| row.get::<_, String>(0))?;
            rows.map(|text| record(&text?, || format!("an event of run {run}"))).collect()
        });
        Ok(events.await?.value)
    }

    async fn log(&self, run: RunId, from: LogPosition, limit: u32) -> Result<Vec<LogChunk>, LedgerError> {
        let start = i64::try_from(from.offset).unwrap_or(i64::MAX);
        let sql = "SELECT attempt, start, packed FROM logs WHERE run = ?1 AND (attempt, start) >= (?2, ?3)
                   ORDER BY attempt, start LIMIT ?4";
        let found = self.seen(move |db| chunks(db, run, sql, (run.to_string(), from.attempt, start, limit)));
        Ok(found.await?.value)
    }

    async fn log_end(&self, run: RunId, limit: u32) -> Result<Vec<LogChunk>, LedgerError> {
        let sql = "SELECT attempt, start, packed FROM logs WHERE run = ?1 ORDER BY attempt DESC, start DESC LIMIT ?2";
        let mut found = self.seen(move |db| chunks(db, run, sql, (run.to_string(), limit))).await?.value;
        found.reverse();
        Ok(found)
    }

    async fn quarantined(
        &self,
        run: RunId,
        after: Option<QuarantinePosition>,
        limit: u32,
    ) -> Result<Vec<Quarantined>, LedgerError> {
        // Before any other place of the run: no `_id` is an empty text.
        let after = after.unwrap_or_default();
        let found = self.seen(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT step, document, database, collection, error, attempt, at FROM quarantine
                 WHERE run = ?1 AND (step, document) > (?2, ?3) ORDER BY step, document LIMIT ?4",
            )?;
            let rows = statement.query_map((run.to_string(), after.step, after.document, limit), |row| {
                Ok(Quarantined {
                    run,
                    step: row.get(0)?,
                    document: row.get(1)?,
                    database: row.get(2)?,
                    collection: row.get(3)?,
                    error: row.get(4)?,
                    attempt: row.get(5)?,
                    at: Timestamp::from_millis(row.get(6)?),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        });
        Ok(found.await?.value)
    }
}

/// The run with this id.
pub(super) fn run(db: &Connection, id: RunId) -> Result<Option<Run>, Fault> {
    Ok(runs(db, "SELECT run FROM runs WHERE id = ?1", [id.to_string()])?.pop())
}

/// All runs that a query with the one column `run` finds.
pub(super) fn runs(db: &Connection, query: &str, params: impl Params) -> Result<Vec<Run>, Fault> {
    let mut statement = db.prepare_cached(query)?;
    let rows = statement.query_map(params, |row| row.get::<_, String>(0))?;
    rows.map(|text| record(&text?, || "a run".to_owned())).collect()
}

/// The stamp, if there is one.
pub(super) fn passport(db: &Connection) -> Result<Option<Passport>, Fault> {
    db.query_row("SELECT passport FROM passport", [], |row| row.get::<_, String>(0))
        .optional()?
        .map(|text| record(&text, || "the passport".to_owned()))
        .transpose()
}

/// Pieces of a run's log.
fn chunks(db: &Connection, run: RunId, sql: &str, params: impl Params) -> Result<Vec<LogChunk>, Fault> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?)))?;
    rows.map(|row| {
        let (attempt, start, packed): (u32, i64, _) = row?;
        let bytes =
            unpack(&packed).map_err(|error| Fault::Record(format!("a piece of the log of run {run}: {error}")))?;
        Ok(LogChunk { run, attempt, offset: start.try_into().unwrap_or_default(), bytes })
    })
    .collect()
}

/// For each migration two steps down an index, however many runs it has.
fn histories(db: &Connection) -> Result<Histories, Fault> {
    const MIGRATIONS: &str = "
        WITH RECURSIVE migrations (name) AS (
            SELECT min(migration) FROM runs
            UNION ALL
            SELECT (SELECT min(migration) FROM runs WHERE migration > name) FROM migrations WHERE name IS NOT NULL
        )";
    let mut histories = Histories::new();
    let mut latest = db.prepare_cached(&format!(
        "{MIGRATIONS} SELECT run FROM migrations JOIN runs ON id =
             (SELECT id FROM runs WHERE migration = name ORDER BY created_at DESC, id DESC LIMIT 1)"
    ))?;
    let mut rows = latest.query([])?;
    while let Some(row) = rows.next()? {
        let run: Run = record(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, || "a run".to_owned())?;
        histories.entry(run.migration.clone()).or_default().absorb(run);
    }
    let mut succeeded = db.prepare_cached(&format!(
        "{MIGRATIONS} SELECT id, succeeded_at, run ->> '$.launch.checksum', migration FROM migrations JOIN runs ON id =
             (SELECT id FROM runs WHERE migration = name AND succeeded_at IS NOT NULL
              ORDER BY succeeded_at DESC, id DESC LIMIT 1)"
    ))?;
    let mut rows = succeeded.query([])?;
    while let Some(row) = rows.next()? {
        let text = |column| -> Result<String, Fault> {
            Ok(serde_json::to_string(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?).unwrap_or_default())
        };
        let success = Success {
            run: record(&text(0)?, || "the id of a run".to_owned())?,
            at: Timestamp::from_millis(row.get(1)?),
            checksum: record(&text(2)?, || "the checksum of a run".to_owned())?,
        };
        histories.entry(record(&text(3)?, || "the migration of a run".to_owned())?).or_default().succeeded(success);
    }
    Ok(histories)
}

fn record<T: DeserializeOwned>(json: &str, what: impl FnOnce() -> String) -> Result<T, Fault> {
    serde_json::from_str(json).map_err(|error| Fault::Record(format!("{} cannot be read: {error}", what())))
}
