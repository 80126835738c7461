//! What may happen to a worker, its database and its ledger, on real processes: whatever it is, every document is changed exactly once.

mod failover;
mod frozen;
mod killed;
mod left_open;
mod left_out;
mod random;
mod steered;

use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::{Collection, Database};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stopover::ledger::{LedgerAddress, LedgerWriter, Run, RunId, Standing, open_writer};
use stopover::process::ProcessIdentity;
use stopover::secret::Secret;
use tokio::task::spawn_blocking;

use crate::support::documents::{by_touched, fill, once};
use crate::support::eventually_async;
use crate::support::scene::{PATIENCE, Scene};

/// The shortest there is: a killed worker's run can be resumed when it is over.
const LEASE: &str = "3s";
/// How long a migration may take on a machine that does other things, too.
const LONG: Duration = Duration::from_mins(3);

/// A pod whose runs can soon be resumed elsewhere.
fn pod(uri: impl Into<String>) -> Scene {
    Scene::new().variable("MONGODB_URI", uri).variable("STOPOVER_LEASE", LEASE)
}

/// The records of the checkpoints of a run.
fn checkpoints(database: &Database) -> Collection<Document> {
    database.collection("stopover_checkpoints")
}

/// The record of a run's first step, if there is one and it is like this.
async fn step_record(database: &Database, run: RunId, mut like: Document) -> Option<Document> {
    like.insert("_id", format!("{run}/0"));
    checkpoints(database).find_one(like).await.unwrap()
}

/// The ledger of a scene, seen from the test.
async fn ledger(scene: &Scene, uri: Option<String>) -> Arc<dyn LedgerWriter> {
    let address = match uri {
        Some(uri) => LedgerAddress::Mongo(Secret::new(uri)),
        None => LedgerAddress::Sqlite(scene.state().join("ledger.db")),
    };
    open_writer(&address).await.unwrap()
}

/// A run, and how it stands.
async fn look(ledger: &dyn LedgerWriter, run: RunId) -> (Standing, Run) {
    let seen = ledger.run(run).await.unwrap();
    let run = seen.value.unwrap();
    (run.standing(seen.now), run)
}

fn worker_of(run: &Value) -> i32 {
    i32::try_from(run["pid"].as_i64().expect("a worker has claimed it")).unwrap()
}

/// Sends a signal to a process that may be gone; whether it was there.
fn signal(pid: i32, signal: Signal) -> bool {
    kill_process(Pid::from_raw(pid).unwrap(), signal).is_ok()
}
