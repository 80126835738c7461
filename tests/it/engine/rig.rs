//! An engine in the test's own process, with a real database and a real ledger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::Collection;
use stopover::catalog::{Backfill, Change, Holds, MigrationId, Speed, Step, Steps, Target};
use stopover::engine::tally::Report;
use stopover::engine::throttle::Throttle;
use stopover::engine::{self, End, Job};
use stopover::ledger::{LedgerAddress, LedgerWriter, RunId, open_writer};
use stopover::secret::Secret;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::mongo::Database;

/// The collection of most tests.
pub const ITEMS: &str = "items";

/// Everything around an engine.
pub struct Rig {
    pub uri: String,
    /// A driver of the test's own.
    pub database: mongodb::Database,
    pub ledger: Arc<dyn LedgerWriter>,
    pub run: RunId,
    pub quarantine_of: Option<RunId>,
    pub reached: Option<(u32, i64)>,
    pub stop: CancellationToken,
    pub throttle: Throttle,
    pub notes: Arc<Mutex<Vec<String>>>,
    pub warnings: Arc<Mutex<Vec<String>>>,
    pub reports: watch::Sender<Report>,
    /// What ends with the test.
    pub kept: Arc<(Option<Database>, TempDir)>,
}

impl Rig {
    /// On the shared server, which is a replica set.
    pub async fn new() -> Self {
        let database = Database::new();
        let uri = database.uri();
        Self::build(uri, Some(database)).await
    }

    /// On a server of the test's own. The address names a database.
    pub async fn on(uri: &str) -> Self {
        Self::build(uri.to_owned(), None).await
    }

    async fn build(uri: String, kept: Option<Database>) -> Self {
        let directory = TempDir::new().unwrap();
        let ledger = open_writer(&LedgerAddress::Sqlite(directory.path().join("ledger.db"))).await.unwrap();
        let client = mongodb::Client::with_uri_str(&uri).await.unwrap();
        Self::of(uri, client.default_database().unwrap(), ledger, Arc::new((kept, directory)))
    }

    fn of(
        uri: String,
        database: mongodb::Database,
        ledger: Arc<dyn LedgerWriter>,
        kept: Arc<(Option<Database>, TempDir)>,
    ) -> Self {
        Self {
            database,
            uri,
            ledger,
            run: RunId::generate(),
            quarantine_of: None,
            reached: None,
            stop: CancellationToken::new(),
            throttle: Throttle::new(Speed::default()),
            notes: Arc::default(),
            warnings: Arc::default(),
            reports: watch::Sender::new(Report::default()),
            kept,
        }
    }

    /// The same database and ledger for another run.
    pub fn again(&self) -> Self {
        Self::of(self.uri.clone(), self.database.clone(), self.ledger.clone(), self.kept.clone())
    }

    pub fn items(&self) -> Collection<Document> {
        self.database.collection(ITEMS)
    }

    /// Documents with ids from 0 and these fields.
    pub async fn fill(&self, count: i32, fields: impl Fn(i32) -> Document) {
        let documents = (0..count).map(|id| {
            let mut document = doc! { "_id": id };
            document.extend(fields(id));
            document
        });
        let all: Vec<Document> = documents.collect();
        for part in all.chunks(10_000) {
            self.items().insert_many(part).await.unwrap();
        }
    }

    pub async fn count(&self, filter: Document) -> u64 {
        self.items().count_documents(filter).await.unwrap()
    }

    pub async fn all(&self) -> Vec<Document> {
        self.items().find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await.unwrap()
    }

    /// Executes steps as an attempt of the run.
    pub async fn execute(&self, attempt: u32, steps: Vec<Step>) -> End {
        self.execute_as(attempt, steps, Duration::from_millis(20), Holds::NONE).await
    }

    pub async fn execute_as(&self, attempt: u32, steps: Vec<Step>, batch: Duration, holds: Holds) -> End {
        Box::pin(engine::execute(self.job(attempt, steps, batch, holds))).await
    }

    pub fn job(&self, attempt: u32, steps: Vec<Step>, batch: Duration, holds: Holds) -> Job {
        let (notes, warnings, reports) = (self.notes.clone(), self.warnings.clone(), self.reports.clone());
        Job {
            database: Secret::new(self.uri.clone()),
            steps: Arc::new(Steps { steps, speed: Speed::default(), batch, holds }),
            run: self.run,
            migration: MigrationId::new("tested").unwrap(),
            attempt,
            quarantine_of: self.quarantine_of,
            reached: self.reached,
            mask: Arc::new(str::to_owned),
            ledger: self.ledger.clone(),
            throttle: self.throttle.clone(),
            stop: self.stop.clone(),
            for_good: CancellationToken::new(),
            note: Arc::new(move |text| notes.lock().unwrap().push(text)),
            warn: Arc::new(move |text| warnings.lock().unwrap().push(text)),
            publish: Arc::new(move |report| {
                reports.send_replace(report);
            }),
            observer: Arc::new(Vec::new()),
            environment: std::env::vars_os().collect::<BTreeMap<_, _>>(),
            stderr: Arc::new(|_| std::sync::mpsc::channel().1),
        }
    }

    /// What was told last.
    pub fn report(&self) -> Report {
        self.reports.borrow().clone()
    }

    pub fn warned(&self, text: &str) -> bool {
        self.warnings.lock().unwrap().iter().any(|warning| warning.contains(text))
    }
}

/// A backfill of the items that only excludes nothing and allows nothing.
pub fn backfill(filter: Document, change: Change) -> Backfill {
    Backfill {
        target: Target { database: None, collection: ITEMS.to_owned() },
        filter,
        change,
        hint: None,
        idempotent: true,
        at_least_once: false,
        max_quarantined: 0,
    }
}

/// Update operators without array filters.
pub fn operators(update: Document) -> Change {
    Change::Operators { update, array_filters: Vec::new() }
}

/// Why an engine failed.
#[track_caller]
pub fn failure(end: End) -> String {
    match end {
        End::Failed { message, .. } => message,
        other => panic!("it should have failed, not {other:?}"),
    }
}
