//! Documents that are refused, left out, mended and tried again alone, with the commands of an operator.

use serde_json::json;

use super::*;
use crate::support::mongo::Database as Server;

const NAME: &str = "20270105_adds";
const DOCUMENTS: i32 = 5_000;

#[tokio::test]
async fn documents_that_were_left_out_are_tried_again_alone_and_no_other_is_changed_twice() {
    let server = Server::new();
    let database = server.open().await;
    fill(&database, NAME, DOCUMENTS).await;
    let items = database.collection::<Document>(NAME);
    items.update_many(doc! { "_id": { "$in": [7, 8, 4_999] } }, doc! { "$set": { "frail": true } }).await.unwrap();
    // They may be as they are, but not be touched.
    let refuses = doc! { "$or": [{ "frail": { "$exists": false } }, { "touched": { "$exists": false } }] };
    database.run_command(doc! { "collMod": NAME, "validator": refuses }).await.unwrap();
    let manifest = once(NAME, "batch: 20ms").replace("idempotent: false", "idempotent: false, maxQuarantined: 3");
    let scene = pod(server.uri()).manifest(NAME, &manifest);
    scene.must(&["init", "--environment", "staging"]);
    let first = scene.launch(&[NAME, "--wait"]);
    let run = scene.run(NAME);
    assert_eq!((&run["state"], &run["engine"]["quarantined"]), (&"succeeded".into(), &3.into()), "{run:#}");
    assert_eq!(by_touched(&database, NAME).await, [(0, 3), (1, DOCUMENTS - 3)]);
    let listed = scene.json(&["quarantine", NAME, "--json"]);
    let ids: Vec<&Value> = listed.as_array().unwrap().iter().map(|left| &left["_id"]).collect();
    let int = |id: &str| json!({ "$numberInt": id });
    assert_eq!(ids, [&int("4999"), &int("7"), &int("8")]);

    items.update_many(doc! { "_id": { "$in": [7, 8] } }, doc! { "$unset": { "frail": 1 } }).await.unwrap();
    scene.must(&["quarantine", NAME, "--retry", "--wait"]);
    let run = scene.run(NAME);
    assert_eq!((&run["state"], &run["quarantineOf"]), (&"succeeded".into(), &first.into()), "{run:#}");
    assert_eq!((&run["engine"]["modified"], &run["engine"]["quarantined"]), (&2.into(), &1.into()), "{run:#}");
    assert_eq!(by_touched(&database, NAME).await, [(0, 1), (1, DOCUMENTS - 1)]);

    items.update_one(doc! { "_id": 4_999 }, doc! { "$unset": { "frail": 1 } }).await.unwrap();
    scene.must(&["quarantine", NAME, "--retry", "--wait"]);
    assert_eq!(by_touched(&database, NAME).await, [(1, DOCUMENTS)]);
    assert_eq!(scene.json(&["quarantine", NAME, "--json"]), json!([]));
}
