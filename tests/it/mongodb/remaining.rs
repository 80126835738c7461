//! Migrations that say what remains by a query: the proof that they are done, whatever their program says.

use bson::{Document, doc};
use mongodb::Collection;
use serde_json::Value;

use super::{go, stamp};
use crate::support::eventually;
use crate::support::mongo::Database;
use crate::support::scene::{PATIENCE, Scene};
use crate::support::server::Server;

const MANIFEST: &str = r#"
description: Gives every old charge its currency
command: [sh, -c, "until [ -e ../go ]; do sleep 0.05; done"]
needs: [mongodb]
remaining: { collection: charges, filter: { currency: { $exists: false } } }
"#;
const NAME: &str = "20261101_add_currency";

async fn give_currency_to(charges: &Collection<Document>, numbers: std::ops::Range<i32>) {
    let some = doc! { "_id": { "$gte": numbers.start, "$lt": numbers.end } };
    charges.update_many(some, doc! { "$set": { "currency": "BRL" } }).await.unwrap();
}

#[track_caller]
fn until_remaining(scene: &Scene, count: i64) -> Value {
    eventually(&format!("{count} remain"), PATIENCE, || Some(scene.run(NAME)).filter(|run| run["remaining"] == count))
}

#[tokio::test]
async fn what_remains_is_counted_in_the_database_and_must_be_nothing_at_the_end() {
    let database = Database::new();
    let scene = Scene::new().manifest(NAME, MANIFEST).variable("MONGODB_URI", database.uri());
    let charges = database.open().await.collection::<Document>("charges");
    charges.insert_many((0..10).map(|number| doc! { "_id": number })).await.unwrap();
    stamp(&scene);

    scene.launch(&[NAME]);
    let run = until_remaining(&scene, 10);
    assert_eq!(run["state"], "running");
    give_currency_to(&charges, 0..6).await;
    until_remaining(&scene, 4);
    go(&scene);
    let run = scene.until(NAME, &["succeeded"]);
    assert_eq!(run["remaining"], 4);
    assert!(run["warnings"].to_string().contains("succeeded, yet 4 items remain"), "{}", run["warnings"]);

    give_currency_to(&charges, 6..10).await;
    scene.must(&["run", NAME, "--rerun", "--wait"]);
    let run = scene.run(NAME);
    assert_eq!((&run["remaining"], run["warnings"].as_array().unwrap().len()), (&0.into(), 0));
}

#[tokio::test]
async fn documents_that_change_in_the_last_moment_are_counted() {
    let database = Database::new();
    let scene = Scene::new().manifest(NAME, MANIFEST).variable("MONGODB_URI", database.uri());
    let charges = database.open().await.collection::<Document>("charges");
    charges.insert_many((0..10).map(|number| doc! { "_id": number })).await.unwrap();
    stamp(&scene);
    scene.launch(&[NAME]);
    until_remaining(&scene, 10);
    // No further count while it runs is waited for.
    give_currency_to(&charges, 0..10).await;
    go(&scene);
    assert_eq!(scene.until(NAME, &["succeeded"])["remaining"], 0);
}

#[test]
fn a_migration_that_needs_mongodb_is_refused_where_there_is_none() {
    let scene = Scene::new().manifest(NAME, MANIFEST);
    let refused = scene.stopover(&["run", NAME]);
    assert_eq!(refused.status, 7, "{}", refused.stderr);
    assert!(refused.stderr.contains("MONGODB_URI"), "{}", refused.stderr);
    assert!(scene.json(&["runs", "--json"]).as_array().unwrap().is_empty());
}

#[tokio::test]
async fn what_may_not_be_counted_is_named_and_the_run_goes_on() {
    let server = Server::start().await;
    let manifest = MANIFEST.replace("collection:", "database: ledgers, collection:");
    let scene = Scene::new().manifest(NAME, &manifest).variable("MONGODB_URI", server.writer());
    stamp(&scene);
    go(&scene);
    scene.must(&["run", NAME, "--wait"]);
    let run = scene.run(NAME);
    assert_eq!(
        run["warnings"],
        serde_json::json!([
            "what remains cannot be counted: the database user lacks the privilege to read ledgers.charges"
        ])
    );
}
