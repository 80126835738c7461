//! The tables of an embedded ledger and their version.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::ledger::{LedgerError, SCHEMA_VERSION};

use super::error::Fault;

/// Marks the file as a ledger of Stopover (`file` and `PRAGMA application_id` show it): "Stop" in ASCII.
const APPLICATION_ID: i32 = 0x5374_6f70;

/// Version 1. A run is kept whole as JSON; its other columns are what is searched by, written with it in the same statement.
const VERSION_1: &str = "
CREATE TABLE runs (
    id           TEXT PRIMARY KEY,
    reversed     TEXT NOT NULL,
    migration    TEXT NOT NULL,
    open         INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    succeeded_at INTEGER,
    run          TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_open_run ON runs (migration) WHERE open = 1;
CREATE INDEX runs_by_migration ON runs (migration, created_at, id);
CREATE INDEX runs_by_creation ON runs (created_at, id);
CREATE INDEX runs_by_update ON runs (updated_at);
CREATE INDEX runs_by_reversed_id ON runs (reversed);
CREATE INDEX successes ON runs (migration, succeeded_at, id) WHERE succeeded_at IS NOT NULL;

CREATE TABLE events (
    run   TEXT NOT NULL,
    seq   INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE logs (
    run       TEXT NOT NULL,
    attempt   INTEGER NOT NULL,
    start     INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    packed    BLOB NOT NULL,
    UNIQUE (run, attempt, start)
) STRICT;
CREATE INDEX logs_by_age ON logs (stored_at);

CREATE TABLE quarantine (
    run        TEXT NOT NULL,
    step       INTEGER NOT NULL,
    document   TEXT NOT NULL,
    database   TEXT NOT NULL,
    collection TEXT NOT NULL,
    error      TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (run, step, document)
) STRICT, WITHOUT ROWID;

CREATE TABLE passport (id INTEGER PRIMARY KEY CHECK (id = 1), passport TEXT NOT NULL) STRICT;

CREATE TABLE clock (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    time   INTEGER NOT NULL,
    boot   TEXT,
    uptime INTEGER NOT NULL
) STRICT;
";

/// The version of what is in the file; `None` when there is nothing in it yet.
pub(super) fn version(connection: &mut Connection, ledger: &str) -> Result<Option<i32>, Fault> {
    version_within(&connection.transaction()?, ledger)
}

/// As [`version`], within a transaction: what is looked at here belongs together while another process creates it.
fn version_within(connection: &Transaction<'_>, ledger: &str) -> Result<Option<i32>, Fault> {
    let found: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if found > 0 && application == APPLICATION_ID {
        if found > SCHEMA_VERSION {
            return Err(LedgerError::TooNew { ledger: ledger.to_owned(), found, known: SCHEMA_VERSION }.into());
        }
        return Ok(Some(found));
    }
    let things: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if things > 0 {
        return Err(Fault::Record("the file is a database of another program; name another path".to_owned()));
    }
    Ok(None)
}

/// Brings the file to [`SCHEMA_VERSION`]. Any number of processes may do so at once: each looks again under the write lock.
pub(super) fn upgrade(connection: &mut Connection, ledger: &str) -> Result<(), Fault> {
    if version(connection, ledger)? == Some(SCHEMA_VERSION) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if version_within(&transaction, ledger)?.is_none() {
        transaction.execute_batch(VERSION_1)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    Ok(())
}
