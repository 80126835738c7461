//! What a backend is told of runs of all kinds, in a pod: one that is held and leaves a document out, some that fail, one that is interrupted.

use std::time::Duration;

use bson::doc;
use mongodb::Database;

use super::documents::fill;
use super::eventually;
use super::otlp::{Received, Receiver};
use super::pod::Pod;
use super::replica_set::ReplicaSet;
use super::scene::Scene;
use super::steady::{PROGRAM, STEADY, go};

const ADDS: &str = "20261123_adds";
const FAILS: &str = "20261124_fails";
const REFUSED: &str = "20261125_refused";
/// Holds take their time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything, as it was sent. The environment is `staging`, and histograms are sent as what came since the last report.
pub async fn told() -> Received {
    let set = ReplicaSet::start().await;
    let database = mongodb::Client::with_uri_str(set.uri()).await.unwrap().default_database().unwrap();
    fill(&database, "items", 20_000).await;
    refuse_one(&database).await;
    let backend = Receiver::http();
    let scene = scene(&backend, &set.uri());
    scene.must(&["init", "--environment", "staging"]);
    let mut pod = Pod::shared(&scene, &["--grace", "8s"]).ready();
    is_held_for_a_while(&scene, &pod, &set).await;
    pod.launch(&[FAILS, "--param", "ticket=OPS-1"]);
    for name in ["stopover.runs", "stopover.remaining"] {
        eventually(&format!("{name} arrives"), PATIENCE, || {
            backend.received().metrics.iter().any(|(_, metric)| metric.name == name).then_some(())
        });
    }
    go(&scene);
    scene.until(FAILS, &["failed"]);
    pod.launch(&[REFUSED]);
    scene.until(REFUSED, &["failed"]);
    for name in [ADDS, FAILS, REFUSED] {
        eventually(&format!("{name} arrives"), PATIENCE, || (!backend.received().named(name).is_empty()).then_some(()));
    }
    eventually("records arrive", PATIENCE, || (!backend.received().logs.is_empty()).then_some(()));
    std::fs::remove_file(scene.path().join("go")).unwrap();
    pod.launch(&[STEADY]);
    eventually("it is at work", PATIENCE, || {
        scene.stopover(&["logs", STEADY]).stdout.contains("attempt 1").then_some(())
    });
    pod.shut_down();
    assert_eq!(scene.run(STEADY)["state"], "interrupted");
    std::mem::take(&mut *backend.received())
}

/// A document that may not be changed.
async fn refuse_one(database: &Database) {
    let change = doc! { "$and": [{ "$eq": ["$_id", 19_990] }, { "$eq": ["$seen", true] }] };
    let validator = doc! { "$expr": { "$not": [change] } };
    database.run_command(doc! { "collMod": "items", "validator": validator }).await.unwrap();
}

fn scene(backend: &Receiver, uri: &str) -> Scene {
    let scene = Scene::new();
    let ledger = format!("sqlite:{}", scene.state().join("ledger.db").display());
    scene
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", backend.port()))
        .variable("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "lowmemory")
        .variable("OTEL_METRIC_EXPORT_INTERVAL", "300")
        .variable("STOPOVER_ENVIRONMENT", "staging")
        .variable("STOPOVER_LEDGER", ledger)
        .variable("MONGODB_URI", uri)
        .manifest(
            ADDS,
            "steps:\n  - backfill: { collection: items, update: { $set: { seen: true } }, maxQuarantined: 1 }\n  \
             - createIndexes: { collection: items, indexes: [{ key: { seen: 1 } }] }\n\
             speed: { workers: 1, batch: 5ms, pace: 1 }\n\
             hold: { replicationLag: 1s, oplogWindow: off, dirtyCache: off, foreground: off, congestion: false }\n",
        )
        .manifest(
            FAILS,
            "command: [sh, -c, \"echo '::stopover {\\\"done\\\":30,\\\"total\\\":40}'; until [ -e ../go ]; do sleep 0.05; done; echo no such customer >&2; exit 3\"]\n\
             params: { ticket: }\n\
             remaining: { command: [echo, '7'] }\n",
        )
        .manifest(
            REFUSED,
            "steps:\n  - command: { run: { collMod: nowhere, validationLevel: moderate }, atLeastOnce: true }\n",
        )
        .script(STEADY, PROGRAM)
}

/// A secondary does not follow any more, and then it does.
async fn is_held_for_a_while(scene: &Scene, pod: &Pod<'_>, set: &ReplicaSet) {
    pod.launch(&[ADDS]);
    eventually("it is at work", PATIENCE, || scene.run(ADDS)["done"].as_i64().filter(|done| *done > 0));
    let behind = set.secondary().await;
    set.run(behind, doc! { "fsync": 1, "lock": true }).await;
    eventually("it is held", PATIENCE, || {
        let hold = scene.run(ADDS)["engine"]["hold"].as_str().map(str::to_owned);
        hold.filter(|reason| reason.contains("replication lag "))
    });
    set.run(behind, doc! { "fsyncUnlock": 1 }).await;
    eventually("it goes faster", PATIENCE, || {
        (scene.stopover(&["tune", ADDS, "--pace", "100"]).status == 0).then_some(())
    });
    eventually("it has succeeded", PATIENCE, || (scene.run(ADDS)["state"] == "succeeded").then_some(()));
}
