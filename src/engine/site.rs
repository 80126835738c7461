//! The database that steps work on.

use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc};
use mongodb::options::{Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{Client, ClientSession, Collection, Database};

use crate::catalog::{Hint, Speed, Target};
use crate::secret::Secret;

use super::fault::Fault;

/// How long to look for a primary before a call counts as failed; it is tried again then.
const SELECTION: Duration = Duration::from_secs(5);
/// How long a majority of the servers may take to confirm.
pub(super) const CONFIRM_WITHIN: Duration = Duration::from_secs(30);

impl From<&Hint> for mongodb::options::Hint {
    fn from(hint: &Hint) -> Self {
        match hint {
            Hint::Name(name) => Self::Name(name.clone()),
            Hint::Keys(keys) => Self::Keys(keys.clone()),
        }
    }
}

/// What kind of deployment it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One server without an oplog: it has no transactions.
    Standalone,
    /// One or more servers with an oplog.
    ReplicaSet,
    /// Behind a router.
    Sharded,
}

/// A connected database.
#[derive(Clone)]
pub struct Site {
    /// The driver's client.
    pub client: Client,
    /// See [`Topology`].
    pub topology: Topology,
    /// `None` when the connection string names none: then every step does.
    database: Option<String>,
}

impl Site {
    /// Connects.
    ///
    /// # Errors
    /// [`Fault::Fatal`] for an address that cannot be used, [`Fault::Passing`] when nobody answers.
    pub async fn connect(uri: &Secret) -> Result<Self, Fault> {
        let fault = |error: mongodb::error::Error| Fault::of(&error, "connecting");
        let mut options = ClientOptions::parse(uri.expose()).await.map_err(fault)?;
        options.app_name = Some("stopover engine".to_owned());
        options.server_selection_timeout = Some(SELECTION);
        options.connect_timeout = Some(SELECTION);
        // One for each worker, and some for looking ahead and for watching the server.
        options.max_pool_size = Some(2 * u32::from(Speed::MOST_WORKERS) + 4);
        options.retry_writes = Some(true);
        options.retry_reads = Some(true);
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        options.read_concern = Some(ReadConcern::local());
        options.write_concern =
            Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).w_timeout(CONFIRM_WITHIN).build());
        let database = options.default_database.clone();
        let client = Client::with_options(options).map_err(fault)?;
        let hello = client.database("admin").run_command(doc! { "hello": 1 }).await.map_err(fault)?;
        Ok(Self { topology: topology(&hello), client, database })
    }

    /// Whether batches can be committed together with their checkpoints.
    #[must_use]
    pub fn has_transactions(&self) -> bool {
        self.topology != Topology::Standalone
    }

    /// A session for a lane's transactions, where there are any.
    ///
    /// # Errors
    /// See [`Fault::of`].
    pub async fn session(&self) -> Result<Option<ClientSession>, Fault> {
        if !self.has_transactions() {
            return Ok(None);
        }
        self.client.start_session().await.map(Some).map_err(|error| Fault::of(&error, "starting a session"))
    }

    /// The name of a step's database.
    #[must_use]
    pub fn database_name<'a>(&'a self, name: Option<&'a str>) -> &'a str {
        // Where neither names one, nothing was begun: see `names_database`.
        name.or(self.database.as_deref()).unwrap_or_default()
    }

    /// Whether the connection string names a database, for steps that do not.
    #[must_use]
    pub fn names_database(&self) -> bool {
        self.database.is_some()
    }

    /// A step's database.
    #[must_use]
    pub fn database(&self, name: Option<&str>) -> Database {
        self.client.database(self.database_name(name))
    }

    /// A step's collection.
    #[must_use]
    pub fn collection(&self, target: &Target) -> Collection<RawDocumentBuf> {
        self.database(target.database.as_deref()).collection(&target.collection)
    }

    /// A step's collection with its database, for people.
    #[must_use]
    pub fn full_name(&self, target: &Target) -> String {
        format!("{}.{}", self.database_name(target.database.as_deref()), target.collection)
    }
}

fn topology(hello: &Document) -> Topology {
    if hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid") {
        Topology::Sharded
    } else if hello.contains_key("setName") {
        Topology::ReplicaSet
    } else {
        Topology::Standalone
    }
}
