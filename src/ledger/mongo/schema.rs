//! The collections of the ledger, their indexes and their version.

use bson::{Document, RawDocument, doc};
use mongodb::IndexModel;
use mongodb::options::IndexOptions;

use crate::ledger::packing::LOG_KEPT_DAYS;
use crate::ledger::{LedgerError, SCHEMA_VERSION};

use super::connection::Connection;

/// One document per run, its events within.
pub(super) const RUNS: &str = "stopover_runs";
/// One document per piece of log.
pub(super) const LOGS: &str = "stopover_logs";
/// One document per document that a run left out.
pub(super) const QUARANTINE: &str = "stopover_quarantine";
/// The stamp, and the version of the schema.
pub(super) const PASSPORT: &str = "stopover_passport";

/// The `_id` of the document that holds the version.
const VERSION_ID: &str = "schema";

/// Refuses a ledger that a newer version has upgraded.
pub(super) async fn check(connection: &Connection) -> Result<(), LedgerError> {
    let find = connection.passport.find_one(doc! { "_id": VERSION_ID });
    let found = connection.call("find on stopover_passport", find).await?;
    refuse_newer(connection, found.as_deref())
}

/// Brings the ledger to [`SCHEMA_VERSION`]. Any number of processes may do so at once: every step can be repeated.
///
/// The indexes are asked for at each opening, which costs a millisecond when they exist: the promise of at most one open run rests on one, and a
/// restored backup may have come without.
pub(super) async fn upgrade(connection: &Connection) -> Result<(), LedgerError> {
    check(connection).await?;
    let created = connection.attempt(connection.runs.create_indexes(run_indexes())).await;
    created.map_err(|fault| {
        if fault.is_duplicate() {
            connection.corrupt("stopover_runs has two open runs of one migration; end one of them and try again")
        } else {
            fault.in_ledger(connection.label(), "createIndex on stopover_runs")
        }
    })?;
    connection.call("createIndex on stopover_logs", connection.logs.create_indexes(log_indexes())).await?;
    let version = doc! { "$max": { "version": SCHEMA_VERSION } };
    let stamped = connection.upsert(&connection.passport, VERSION_ID, version).await;
    let stamped = stamped.map_err(|fault| fault.in_ledger(connection.label(), "update on stopover_passport"))?;
    refuse_newer(connection, stamped.as_deref())
}

fn refuse_newer(connection: &Connection, version: Option<&RawDocument>) -> Result<(), LedgerError> {
    let Some(version) = version else {
        return Ok(());
    };
    let found = version
        .get_i32("version")
        .map_err(|_| connection.corrupt("the document `schema` in stopover_passport has no whole number `version`"))?;
    if found > SCHEMA_VERSION {
        return Err(LedgerError::TooNew { ledger: connection.label().to_owned(), found, known: SCHEMA_VERSION });
    }
    Ok(())
}

fn run_indexes() -> [IndexModel; 6] {
    let one_open_run = IndexOptions::builder().unique(true).partial_filter_expression(doc! { "open": true }).build();
    [
        index("one_open_run", doc! { "migration": 1 }, one_open_run),
        index("runs_by_migration", doc! { "migration": 1, "createdAt": -1, "_id": -1 }, IndexOptions::default()),
        index("runs_by_creation", doc! { "createdAt": -1, "_id": -1 }, IndexOptions::default()),
        index("runs_by_update", doc! { "updatedAt": 1 }, IndexOptions::default()),
        index("runs_by_reversed_id", doc! { "reversed": 1 }, IndexOptions::default()),
        index("successes", doc! { "migration": 1, "succeededAt": -1, "_id": -1 }, IndexOptions::default()),
    ]
}

fn log_indexes() -> [IndexModel; 1] {
    let kept = std::time::Duration::from_secs(LOG_KEPT_DAYS * 24 * 60 * 60);
    [index("logs_by_age", doc! { "storedAt": 1 }, IndexOptions::builder().expire_after(kept).build())]
}

fn index(name: &str, keys: Document, mut options: IndexOptions) -> IndexModel {
    options.name = Some(name.to_owned());
    IndexModel::builder().keys(keys).options(options).build()
}
