//! The ledger, on real stores.

mod contract;
mod lease_model;
mod mongo;
mod race;
mod sqlite;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bson::{Document, doc};
use stopover::catalog::{Checksum, MigrationId};
use stopover::ledger::{
    Acted, Action, Beat, Launch, LaunchParam, LedgerAddress, LedgerError, LedgerReader, LedgerWriter, NewRun, Outcome,
    Progress, Resumer, Run, RunId, Worker, open_reader, open_writer,
};
use stopover::place::{Actor, Place};
use stopover::process::ProcessIdentity;
use tempfile::TempDir;

use crate::support::mongo::Database;

/// Long enough that no test outlives it by accident.
const LEASE: Duration = Duration::from_mins(1);
/// Short enough to wait for its end.
const BRIEF: Duration = Duration::from_millis(50);

/// Where a test's ledger lives; gone when it is dropped.
enum Home {
    Sqlite(TempDir),
    Mongo(Database),
}

impl Home {
    fn sqlite() -> Self {
        Self::Sqlite(TempDir::new().unwrap())
    }

    fn mongo() -> Self {
        Self::Mongo(Database::new())
    }

    fn address(&self) -> LedgerAddress {
        match self {
            Self::Sqlite(directory) => LedgerAddress::Sqlite(directory.path().join("state/ledger.db")),
            Self::Mongo(database) => LedgerAddress::parse(&database.uri()).unwrap(),
        }
    }

    async fn reader(&self) -> Arc<dyn LedgerReader> {
        open_reader(&self.address()).await.unwrap()
    }

    async fn writer(&self) -> Arc<dyn LedgerWriter> {
        open_writer(&self.address()).await.unwrap()
    }

    /// Makes the ledger look as if a later version had upgraded it.
    async fn make_newer(&self) {
        match self {
            Self::Sqlite(directory) => {
                let file = rusqlite::Connection::open(directory.path().join("state/ledger.db")).unwrap();
                file.pragma_update(None, "user_version", 99).unwrap();
            }
            Self::Mongo(database) => {
                let passports = database.open().await.collection::<Document>("stopover_passport");
                passports.update_one(doc! { "_id": "schema" }, doc! { "$set": { "version": 99 } }).await.unwrap();
            }
        }
    }
}

fn migration(name: &str) -> MigrationId {
    MigrationId::new(name).unwrap()
}

fn checksum(digit: char) -> Checksum {
    serde_json::from_value(digit.to_string().repeat(64).into()).unwrap()
}

fn place(pod: &str) -> Place {
    Place {
        pod: pod.to_owned(),
        namespace: Some("payments".to_owned()),
        node: None,
        image: Some("payments:7f3a".to_owned()),
        version: "0.1.0".to_owned(),
        revision: Some("3f2a9c1d0b5e".to_owned()),
    }
}

fn actor(operator: &str) -> Actor {
    Actor { operator: operator.to_owned(), place: place("console-1").into() }
}

fn worker(pid: i32) -> Worker {
    Worker { place: place("worker-1").into(), process: ProcessIdentity { pid, start_ticks: 1_000 } }
}

fn launch_of(name: &str, lease: Duration) -> NewRun {
    NewRun {
        id: RunId::generate(),
        migration: migration(name),
        launch: Launch {
            by: actor("ana"),
            rerun: false,
            forced: false,
            // What a query language could mistake for its own.
            command: vec!["sh".to_owned(), "-c".to_owned(), "$HOME/run $$NOW".to_owned()],
            params: vec![LaunchParam { name: "region.$a".to_owned(), value: "$set".to_owned(), secret: false }],
            checksum: checksum('a'),
            resume: stopover::catalog::ResumePolicy::Manual,
            quarantine_of: None,
        },
        lease,
    }
}

/// What a pod asks that resumes a run by itself.
fn recovery(pod: &str) -> Action {
    Action::Resume { by: Resumer::Recovery(place(pod).into()), lease: LEASE, content: None, leftover: None }
}

/// Later than every heartbeat that this has made before.
fn beat(done: i64, lease: Duration) -> Beat {
    static SENT: AtomicU64 = AtomicU64::new(0);
    let number = SENT.fetch_add(1, Ordering::Relaxed) + 1;
    let progress = Progress { done: Some(done), message: Some("$done of $$ROOT".to_owned()), ..Progress::default() };
    Beat { number, progress, checkpoint: None, lease }
}

/// What an operator or worker does, in one line each.
struct Hand(Arc<dyn LedgerWriter>);

impl Hand {
    async fn launch(&self, name: &str) -> Run {
        self.0.open(launch_of(name, LEASE)).await.unwrap()
    }

    async fn claim(&self, run: &Run, lease: Duration) -> Run {
        self.change(run, Action::Claim { attempt: run.attempt, worker: worker(7), lease }).await
    }

    async fn launch_and_claim(&self, name: &str) -> Run {
        let run = self.launch(name).await;
        self.claim(&run, LEASE).await
    }

    async fn finish(&self, run: &Run, outcome: Outcome) -> Run {
        self.change(run, Action::Finish { attempt: run.attempt, outcome }).await
    }

    async fn change(&self, run: &Run, action: Action) -> Run {
        match self.0.act(run.id, action.clone()).await.unwrap() {
            Acted::Changed(run) => *run,
            Acted::Already(sentence) => panic!("{action:?} changed nothing: {sentence}"),
        }
    }

    async fn already(&self, run: &Run, action: Action) -> String {
        match self.0.act(run.id, action.clone()).await.unwrap() {
            Acted::Already(sentence) => sentence,
            Acted::Changed(run) => panic!("{action:?} changed {run:?}"),
        }
    }

    async fn refused(&self, run: &Run, action: Action) -> LedgerError {
        self.0.act(run.id, action).await.expect_err("it must be refused")
    }
}
