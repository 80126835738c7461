//! A run that the state of the server holds for too long.

use bson::doc;

use super::tell;
use crate::support::documents::fill;
use crate::support::eventually;
use crate::support::replica_set::ReplicaSet;
use crate::support::scene::{PATIENCE, Scene};
use crate::support::webhook::Webhook;

const NAME: &str = "20270301_adds";
const DOCUMENTS: i32 = 20_000;

#[tokio::test]
async fn a_run_that_is_held_for_long_is_told_once_and_goes_on() {
    let set = ReplicaSet::start().await;
    let database = mongodb::Client::with_uri_str(set.uri()).await.unwrap().default_database().unwrap();
    fill(&database, "items", DOCUMENTS).await;
    let manifest = "steps:\n  - backfill: { collection: items, update: { $set: { seen: true } } }\n\
                    speed: { workers: 1, batch: 5ms, pace: 1 }\n\
                    hold: { replicationLag: 1s, oplogWindow: off, dirtyCache: off, foreground: off, congestion: false }\n";
    let webhook = Webhook::new();
    let scene = Scene::new().manifest(NAME, manifest).variable("MONGODB_URI", set.uri());
    let ledger = format!("sqlite:{}", scene.state().join("ledger.db").display());
    let scene = scene.variable("STOPOVER_LEDGER", ledger);
    tell(
        &scene,
        &format!("  - {{ name: ops, webhook: \"{}\", on: [held, finished], heldAfter: 1s }}\n", webhook.url("/")),
    );
    let run = scene.launch(&[NAME]);
    eventually("it is at work", PATIENCE, || scene.run(NAME)["done"].as_i64().filter(|done| *done > 0));
    let behind = set.secondary().await;
    set.run(behind, doc! { "fsync": 1, "lock": true }).await;
    let held = webhook.until("held");
    assert_eq!(held.body["id"], format!("{run}/1/held/1"));
    assert!(held.body["hold"]["reason"].as_str().unwrap().starts_with("replication lag "), "{}", held.body);
    assert!(held.body["hold"]["seconds"].as_i64().unwrap() >= 1);
    assert!(held.body["done"].as_i64().unwrap() > 0 && held.body["state"] == "running", "{}", held.body);
    set.run(behind, doc! { "fsyncUnlock": 1 }).await;
    eventually("it goes faster", PATIENCE, || {
        (scene.stopover(&["tune", NAME, "--pace", "100"]).status == 0).then_some(())
    });
    scene.until(NAME, &["succeeded"]);
    webhook.until("finished");
    let mut ids: Vec<_> = webhook.received().iter().map(|it| it.body["id"].to_string()).collect();
    let told = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), told, "each hold is told once: {ids:?}");
}
