//! Primaries that step down and die: the data's, the ledger's, and both.

use super::*;
use crate::support::eventually;
use crate::support::mongo::Database as Server;
use crate::support::replica_set::ReplicaSet;

const NAME: &str = "20270103_adds";
const DOCUMENTS: i32 = 120_000;
/// How often the primary steps down, and how often it is killed.
const TIMES: usize = 3;
/// So slow that it does not end before all that happens to it.
const BUSY: &str = "workers: 2, batch: 10ms, pace: 5%";
/// The same where nothing happens to the data.
const SLOW: &str = "workers: 2, batch: 5ms, pace: 2%";

/// A pod with a lease that outlasts an election.
fn pod(uri: String, speed: &str) -> Scene {
    Scene::new().variable("MONGODB_URI", uri).manifest(NAME, &once(NAME, speed))
}

/// Has the primary step down and die in turns while the migration runs, and lets it then run to its end.
async fn through_failovers(scene: &Scene, set: &mut ReplicaSet) -> Value {
    scene.must(&["init", "--environment", "staging"]);
    scene.launch(&[NAME]);
    scene.until(NAME, &["running"]);
    let done = |run: &Value| run["done"].as_i64().unwrap_or_default();
    let mut before = 0;
    for time in 0..2 * TIMES {
        before = eventually("it gets on", LONG, || {
            let run = answer(scene)?;
            assert_eq!(run["state"], "running", "{run}");
            Some(done(&run)).filter(|done| *done > before)
        });
        let old = set.primary().await;
        if time % 2 == 0 {
            set.step_down().await;
        } else {
            set.kill(old);
            set.settle().await;
            set.restart(old);
        }
        set.settle().await;
    }
    eventually("it is faster", LONG, || (scene.stopover(&["tune", NAME, "--pace", "100%"]).status == 0).then_some(()));
    let run = eventually("it ends", LONG, || answer(scene).filter(|run| run["state"] != "running"));
    assert_eq!((&run["state"], &run["attempt"]), (&"succeeded".into(), &1.into()), "{run:#}");
    run
}

/// The run, unless its ledger is just changing hands.
fn answer(scene: &Scene) -> Option<Value> {
    let shown = scene.stopover(&["show", NAME, "--json"]);
    (shown.status == 0).then(|| serde_json::from_str::<Value>(&shown.stdout).unwrap()["runs"][0].clone())
}

#[tokio::test]
async fn a_backfill_outlasts_failovers_and_changes_every_document_once() {
    let mut set = ReplicaSet::start().await;
    let scene = pod(set.uri(), BUSY);
    let file = format!("sqlite:{}", scene.state().join("ledger.db").display());
    let scene = scene.variable("STOPOVER_LEDGER", file);
    let database = mongodb::Client::with_uri_str(set.uri()).await.unwrap().default_database().unwrap();
    fill(&database, NAME, DOCUMENTS).await;
    let run = through_failovers(&scene, &mut set).await;
    assert_eq!(by_touched(&database, NAME).await, [(1, DOCUMENTS)]);
    // Whether a batch is under way just then, and fails, is chance: the driver waits for a new primary before it begins one.
    assert!(run["engine"]["retried"].is_i64(), "they are counted: {run:#}");
    let counted = format!("stopover_documents_processed_total{{migration=\"{NAME}\"}} {DOCUMENTS}\n");
    assert!(scene.must(&["metrics"]).contains(&counted), "a batch counts once, also where the answer to it was lost");
}

#[tokio::test]
async fn a_backfill_outlasts_failovers_with_its_ledger_beside_the_data() {
    let mut set = ReplicaSet::start().await;
    let scene = pod(set.uri(), BUSY);
    let database = mongodb::Client::with_uri_str(set.uri()).await.unwrap().default_database().unwrap();
    fill(&database, NAME, DOCUMENTS).await;
    let run = through_failovers(&scene, &mut set).await;
    assert_eq!(by_touched(&database, NAME).await, [(1, DOCUMENTS)]);
    // Whether a batch is under way just then, and fails, is chance: the driver waits for a new primary before it begins one.
    assert!(run["engine"]["retried"].is_i64(), "they are counted: {run:#}");
}

#[tokio::test]
async fn failovers_of_the_ledger_alone_hold_nothing_up() {
    let mut set = ReplicaSet::start().await;
    let server = Server::new();
    let scene = pod(server.uri(), SLOW).variable("STOPOVER_LEDGER", set.uri());
    let database = server.open().await;
    fill(&database, NAME, DOCUMENTS).await;
    let run = through_failovers(&scene, &mut set).await;
    assert_eq!(by_touched(&database, NAME).await, [(1, DOCUMENTS)]);
    assert_eq!(run["engine"]["retried"], 0, "the data was there all the time: {run:#}");
}
