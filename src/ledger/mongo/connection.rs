//! The connection to the server, on which every call is bounded in time.

use std::future::IntoFuture;
use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc};
use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, ReturnDocument, SelectionCriteria, UpdateModifications,
    WriteConcern,
};
use mongodb::{Client, Collection, Database};

use crate::ledger::LedgerError;
use crate::secret::{Secret, mask_uri};
use crate::time::Timestamp;

use super::error::Fault;
use super::record::without_events;
use super::schema::{LOGS, PASSPORT, QUARANTINE, RUNS};

/// How long to look for a primary before the ledger counts as away.
const SELECTION: Duration = Duration::from_secs(5);
/// How long one write or one small read may take. Giving up does not undo a write: its result is then unknown, and asking again is safe.
const CALL: Duration = Duration::from_secs(10);
/// How long a long list may take.
const LIST: Duration = Duration::from_secs(30);
/// The ledger's database when the connection string names none.
const DATABASE: &str = "stopover";

/// A database on a server, and how to name it to people.
#[derive(Clone)]
pub(super) struct Connection {
    database: Database,
    label: String,
    pub(super) runs: Collection<RawDocumentBuf>,
    pub(super) logs: Collection<RawDocumentBuf>,
    pub(super) quarantine: Collection<RawDocumentBuf>,
    pub(super) passport: Collection<RawDocumentBuf>,
}

impl Connection {
    /// Reads the connection string (for `mongodb+srv` with a look-up in the DNS); the server is not asked yet.
    pub(super) async fn new(uri: &Secret) -> Result<Self, LedgerError> {
        let label = mask_uri(uri.expose());
        let parsed = tokio::time::timeout(CALL, ClientOptions::parse(uri.expose())).await;
        let client = match parsed {
            Ok(Ok(options)) => Client::with_options(restrained(options)),
            Ok(Err(error)) => Err(error),
            Err(_) => return Err(Fault::TimedOut.in_ledger(&label, "looking up its address")),
        };
        let client = client.map_err(|error| Fault::from(error).in_ledger(&label, "reading its address"))?;
        let database = client.default_database().unwrap_or_else(|| client.database(DATABASE));
        Ok(Self {
            label,
            runs: database.collection(RUNS),
            logs: database.collection(LOGS),
            quarantine: database.collection(QUARANTINE),
            passport: database.collection(PASSPORT),
            database,
        })
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// One call to the server, bounded. `doing` names the operation and the collection, for when it is refused.
    pub(super) async fn call<T>(
        &self,
        doing: &str,
        operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T, LedgerError> {
        self.attempt(operation).await.map_err(|fault| fault.in_ledger(&self.label, doing))
    }

    /// As [`Self::call`], for a caller that looks at the fault.
    pub(super) async fn attempt<T>(
        &self,
        operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T, Fault> {
        bounded(CALL, operation).await
    }

    /// As [`Self::call`], for lists.
    pub(super) async fn list<T>(
        &self,
        doing: &str,
        operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T, LedgerError> {
        bounded(LIST, operation).await.map_err(|fault| fault.in_ledger(&self.label, doing))
    }

    /// Applies `update` to the document with this id, creating it if need be, and answers with the document as it is then (without events).
    pub(super) async fn upsert(
        &self,
        collection: &Collection<RawDocumentBuf>,
        id: &str,
        update: impl Into<UpdateModifications>,
    ) -> Result<Option<RawDocumentBuf>, Fault> {
        let update = update.into();
        let attempt = || {
            let update = collection
                .find_one_and_update(doc! { "_id": id }, update.clone())
                .upsert(true)
                .projection(without_events())
                .return_document(ReturnDocument::After);
            self.attempt(update)
        };
        match attempt().await {
            // Two that create the same document at once collide; the second look finds it. What still collides does so on another index.
            Err(fault) if fault.is_duplicate() => attempt().await,
            other => other,
        }
    }

    /// What the primary says of itself; it needs no privilege.
    pub(super) async fn hello(&self) -> Result<Document, LedgerError> {
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        self.call("hello", self.database.run_command(doc! { "hello": 1 }).selection_criteria(primary)).await
    }

    /// The server's clock.
    pub(super) async fn now(&self) -> Result<Timestamp, LedgerError> {
        let hello = self.hello().await?;
        let time =
            hello.get_datetime("localTime").map_err(|_| self.corrupt("the server's answer to `hello` has no time"))?;
        Ok(Timestamp::from_millis(time.timestamp_millis()))
    }

    /// The error for a record that does not have its shape.
    pub(super) fn corrupt(&self, reason: impl Into<String>) -> LedgerError {
        LedgerError::Corrupt { ledger: self.label.clone(), reason: reason.into() }
    }
}

/// The connection string's options with those that the ledger's promises rest on.
fn restrained(mut options: ClientOptions) -> ClientOptions {
    options.app_name.get_or_insert_with(|| "stopover".to_owned());
    options.server_selection_timeout = Some(SELECTION);
    options.connect_timeout = Some(SELECTION);
    // A process does a few things at a time, and there may be many processes.
    options.max_pool_size = Some(4);
    options.retry_writes = Some(true);
    options.retry_reads = Some(true);
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    options.read_concern = Some(ReadConcern::local());
    options.write_concern =
        Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).w_timeout(CALL).build());
    options
}

async fn bounded<T>(
    limit: Duration,
    operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, operation.into_future()).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Fault::TimedOut),
    }
}
