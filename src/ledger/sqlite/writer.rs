//! Writing an embedded ledger.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use crate::catalog::MigrationId;
use crate::ledger::delegate::ReadsThrough;
use crate::ledger::packing::{LOG_KEPT_DAYS, pack};
use crate::ledger::{
    Acted, Action, Applied, Beat, BeatReply, Event, LedgerError, LedgerWriter, LogChunk, NewPassport, NewQuarantined,
    NewRun, Passport, Run, RunId,
};
use crate::time::Timestamp;

use super::clock;
use super::error::{Fault, is_occupied};
use super::file::WriteFile;
use super::reader::{SqliteReader, passport, run, runs};

/// Pieces of old log that one process removes as it opens the ledger: bounded, so that nobody waits for a clean-up.
const EXPIRED_AT_ONCE: u32 = 1_000;

/// Writes through a connection of its own, so that a long list never delays a heartbeat.
pub(in crate::ledger) struct SqliteWriter {
    reader: SqliteReader,
    file: WriteFile,
}

impl SqliteWriter {
    /// Opens the file; it, its directory and its schema are created if need be.
    pub(in crate::ledger) async fn open(path: &Path) -> Result<Self, LedgerError> {
        let file = WriteFile::open(path).await?;
        // A worker that was stopped as it wrote holds the lock for as long: that must not keep others from what needs none.
        file.write_if_free(|db| expire_log(db)).await?;
        Ok(Self { reader: SqliteReader::open(path).await?, file })
    }
}

impl ReadsThrough for SqliteWriter {
    type Reader = SqliteReader;

    fn reader(&self) -> &SqliteReader {
        &self.reader
    }
}

#[async_trait]
impl LedgerWriter for SqliteWriter {
    async fn stamp(&self, new: NewPassport) -> Result<Passport, LedgerError> {
        self.file
            .write(move |db| {
                if let Some(kept) = passport(db)?.filter(|_| !new.restamp) {
                    return Ok(kept);
                }
                let stamped_at = clock::tick(db)?;
                let NewPassport { environment, protected, by: stamped_by, .. } = new;
                let passport = Passport { environment, protected, cluster: None, stamped_at, stamped_by };
                db.execute("INSERT OR REPLACE INTO passport (id, passport) VALUES (1, ?1)", [json(&passport)])?;
                Ok(passport)
            })
            .await
    }

    async fn open(&self, new: NewRun) -> Result<Run, LedgerError> {
        self.file
            .write(move |db| {
                if let Some(recorded) = run(db, new.id)? {
                    return Ok(recorded);
                }
                let previous = latest(db, &new.migration)?.map(|(created_at, _)| created_at);
                let (run, event) = Run::launched(new, previous, clock::tick(db)?);
                let inserted = db.execute(
                    "INSERT INTO runs (id, reversed, migration, created_at, open, updated_at, succeeded_at, run)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    (
                        run.id.to_string(),
                        run.id.reversed(),
                        run.migration.as_str(),
                        run.created_at.as_millis(),
                        run.is_open(),
                        run.updated_at.as_millis(),
                        run.succeeded_at().map(Timestamp::as_millis),
                        json(&run),
                    ),
                );
                or_occupied(db, inserted, &run)?;
                record(db, run.id, &event)?;
                Ok(run)
            })
            .await
    }

    async fn act(&self, id: RunId, action: Action) -> Result<Acted, LedgerError> {
        self.file
            .write(move |db| {
                let now = clock::tick(db)?;
                let current = run(db, id)?.ok_or(LedgerError::NoSuchRun(id))?;
                let resume = matches!(action, Action::Resume { .. });
                match current.apply(action, now)? {
                    Applied::Already(sentence) => Ok(Acted::Already(sentence)),
                    Applied::Noted(next) => {
                        update(db, &next)?;
                        Ok(Acted::Changed(next))
                    }
                    Applied::Changed(next, event) => {
                        update(db, &next)?;
                        if resume {
                            refuse_superseded(db, &next)?;
                        }
                        record(db, id, &event)?;
                        Ok(Acted::Changed(next))
                    }
                }
            })
            .await
    }

    async fn beat(&self, id: RunId, attempt: u32, beat: Beat) -> Result<BeatReply, LedgerError> {
        self.file
            .write(move |db| {
                let now = clock::tick(db)?;
                let next = run(db, id)?.ok_or(LedgerError::NoSuchRun(id))?.beat(attempt, beat, now)?;
                update(db, &next)?;
                Ok(next.beat_reply(now))
            })
            .await
    }

    async fn archive(&self, chunk: LogChunk) -> Result<(), LedgerError> {
        let packed = pack(&chunk.bytes);
        self.file
            .write(move |db| {
                let now = clock::tick(db)?;
                db.prepare_cached(
                    "INSERT OR REPLACE INTO logs (run, attempt, start, stored_at, packed) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute((
                    chunk.run.to_string(),
                    chunk.attempt,
                    offset(chunk.offset),
                    now.as_millis(),
                    packed,
                ))?;
                Ok(())
            })
            .await
    }

    async fn trim(&self, run: RunId, attempt: u32, offsets: Range<u64>) -> Result<(), LedgerError> {
        self.file
            .write(move |db| {
                db.execute(
                    "DELETE FROM logs WHERE run = ?1 AND attempt = ?2 AND start >= ?3 AND start < ?4",
                    (run.to_string(), attempt, offset(offsets.start), offset(offsets.end)),
                )?;
                Ok(())
            })
            .await
    }

    async fn quarantine(&self, new: NewQuarantined) -> Result<(), LedgerError> {
        self.file
            .write(move |db| {
                let now = clock::tick(db)?;
                db.prepare_cached(
                    "INSERT INTO quarantine (run, step, document, database, collection, error, attempt, at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
                )?
                .execute((
                    new.run.to_string(),
                    new.step,
                    new.document,
                    new.database,
                    new.collection,
                    new.error,
                    new.attempt,
                    now.as_millis(),
                ))?;
                Ok(())
            })
            .await
    }
}

fn update(db: &Connection, run: &Run) -> Result<(), Fault> {
    let updated = db
        .prepare_cached("UPDATE runs SET open = ?2, updated_at = ?3, succeeded_at = ?4, run = ?5 WHERE id = ?1")?
        .execute((
            run.id.to_string(),
            run.is_open(),
            run.updated_at.as_millis(),
            run.succeeded_at().map(Timestamp::as_millis),
            json(run),
        ));
    or_occupied(db, updated, run)
}

fn record(db: &Connection, run: RunId, event: &Event) -> Result<(), Fault> {
    db.prepare_cached(
        "INSERT INTO events (run, seq, event)
         VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM events WHERE run = ?1), ?2)",
    )?
    .execute((run.to_string(), json(event)))?;
    Ok(())
}

/// Tells a refusal by the index of open runs, with the run that is there, from any other failure.
fn or_occupied(db: &Connection, written: rusqlite::Result<usize>, run: &Run) -> Result<(), Fault> {
    let Err(error) = written else { return Ok(()) };
    if is_occupied(&error) {
        let open = runs(db, "SELECT run FROM runs WHERE migration = ?1 AND open = 1", [run.migration.as_str()])?;
        if let Some(open) = open.into_iter().next() {
            return Err(LedgerError::Occupied { run: Box::new(open), now: clock::now(db)? }.into());
        }
    }
    Err(error.into())
}

fn refuse_superseded(db: &Connection, run: &Run) -> Result<(), Fault> {
    match latest(db, &run.migration)? {
        Some((_, id)) if id != run.id.to_string() => {
            Err(LedgerError::Superseded { run: run.id.short(), migration: run.migration.clone() }.into())
        }
        _ => Ok(()),
    }
}

/// When the latest run of a migration was created, and its id.
fn latest(db: &Connection, migration: &MigrationId) -> Result<Option<(Timestamp, String)>, Fault> {
    let found = db
        .prepare_cached(
            "SELECT created_at, id FROM runs WHERE migration = ?1 ORDER BY created_at DESC, id DESC LIMIT 1",
        )?
        .query_row([migration.as_str()], |row| Ok((Timestamp::from_millis(row.get(0)?), row.get(1)?)))
        .optional()?;
    Ok(found)
}

fn expire_log(db: &Connection) -> Result<(), Fault> {
    let kept = Duration::from_secs(LOG_KEPT_DAYS * 24 * 60 * 60);
    db.execute(
        "DELETE FROM logs WHERE rowid IN (SELECT rowid FROM logs WHERE stored_at < ?1 ORDER BY stored_at LIMIT ?2)",
        (clock::now(db)?.minus(kept).as_millis(), EXPIRED_AT_ONCE),
    )?;
    Ok(())
}

fn offset(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("records have string keys and no failing serializers")
}
