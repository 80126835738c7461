//! What is wrong with a step, a document or the connection, and what is said of it: each message names the object and the next step.

use bson::{DateTime, Document, doc};
use mongodb::IndexModel;
use mongodb::options::{IndexOptions, TimeseriesOptions};
use stopover::catalog::{Backfill, Change, Hint, Step, Target};
use stopover::engine::End;

use super::rig::{ITEMS, Rig, backfill, failure, operators};
use crate::support::server::{SECRET, Server};

fn set(filter: Document, fields: Document) -> Backfill {
    backfill(filter, operators(doc! { "$set": fields }))
}

async fn fails(rig: &Rig, step: Backfill, told: &[&str]) -> String {
    let message = failure(rig.again().execute(1, vec![Step::Backfill(step)]).await);
    for part in told {
        assert!(message.contains(part), "{part}: {message}");
    }
    message
}

#[tokio::test]
async fn a_document_that_would_grow_past_16_mb_is_named_and_can_be_left_out() {
    let rig = Rig::new().await;
    rig.fill(40, |id| doc! { "text": "x".repeat(if id == 17 { 9 << 20 } else { 1_000 }) }).await;
    let twice = Change::Pipeline(vec![doc! { "$set": { "twice": { "$concat": ["$text", "$text"] } } }]);
    let step = backfill(doc! { "twice": { "$exists": false } }, twice);
    let message = fails(&rig, step.clone(), &["the document with _id 17 of", "maxQuarantined"]).await;
    assert!(message.len() < 700, "{message}");

    let step = Backfill { max_quarantined: 1, ..step };
    // Of the documents that are left, it is the first.
    assert_eq!(rig.execute(1, vec![Step::Backfill(step)]).await, End::Done);
    assert_eq!(rig.count(doc! { "twice": { "$exists": true } }).await, 39);
    let left_out = rig.ledger.quarantined(rig.run, None, 10).await.unwrap();
    assert_eq!(left_out.len(), 1);
    assert_eq!(left_out[0].document, r#"{"$numberInt":"17"}"#);
    assert!(left_out[0].error.contains("16MB"), "{}", left_out[0].error);
}

#[tokio::test]
async fn a_document_that_is_left_out_is_counted_once_however_often_everything_is_gone_over() {
    let rig = Rig::new().await;
    rig.database.create_collection(ITEMS).validator(doc! { "$expr": { "$ne": ["$flag", 7] } }).await.unwrap();
    rig.fill(300, |id| doc! { "n": id }).await;
    // It settles, but the filter does not exclude what is done.
    let flag = Change::Pipeline(vec![doc! { "$set": { "flag": "$n" } }]);
    let step = Backfill { max_quarantined: 1, ..backfill(doc! {}, flag) };
    assert_eq!(rig.execute(1, vec![Step::Backfill(step)]).await, End::Done);
    assert_eq!(rig.count(doc! { "flag": { "$exists": true } }).await, 299);
    assert_eq!(rig.report().progress.quarantined, 1);
}

#[tokio::test]
async fn a_document_in_conflict_with_a_unique_index_is_named() {
    let rig = Rig::new().await;
    rig.fill(300, |id| doc! { "reference": format!("r{}", if id == 123 { 45 } else { id }) }).await;
    let unique = IndexOptions::builder().unique(true).sparse(true).build();
    let index = IndexModel::builder().keys(doc! { "key": 1 }).options(unique);
    rig.items().create_index(index.build()).await.unwrap();
    let change = Change::Pipeline(vec![doc! { "$set": { "key": "$reference" } }]);
    let step = backfill(doc! { "key": { "$exists": false } }, change);
    fails(&rig, step, &["the document with _id 123 of", ".items is refused", "key_1", "maxQuarantined"]).await;
}

#[tokio::test]
async fn a_document_whose_id_would_change_and_one_that_cannot_be_converted_are_named() {
    let rig = Rig::new().await;
    rig.fill(200, |id| doc! { "amount": if id == 60 { "twelve".to_owned() } else { id.to_string() }, "n": id }).await;
    let number = Change::Pipeline(vec![doc! { "$set": { "value": { "$toInt": "$amount" } } }]);
    let step = backfill(doc! { "value": { "$exists": false } }, number);
    fails(&rig, step, &["the document with _id 60 of", "twelve"]).await;
    let other =
        Change::Pipeline(vec![doc! { "$set": { "_id": { "$cond": [{ "$eq": ["$n", 70] }, -1, "$_id"] }, "b": 1 } }]);
    fails(&rig, backfill(doc! { "b": { "$exists": false } }, other), &["the document with _id 70 of", "_id"]).await;
}

#[tokio::test]
async fn what_is_no_plain_collection_is_refused() {
    let rig = Rig::new().await;
    rig.fill(10, |id| doc! { "n": id }).await;
    rig.database.run_command(doc! { "create": "seen", "viewOn": ITEMS, "pipeline": [] }).await.unwrap();
    let series = TimeseriesOptions::builder().time_field("at".to_owned()).build();
    rig.database.create_collection("measured").timeseries(series).await.unwrap();
    rig.database.collection("measured").insert_one(doc! { "at": DateTime::now() }).await.unwrap();
    rig.database.create_collection("round").capped(true).size(100_000).await.unwrap();
    rig.database.collection("round").insert_one(doc! { "n": 1 }).await.unwrap();
    let on = |collection: &str, database: Option<&str>| Backfill {
        target: Target { database: database.map(str::to_owned), collection: collection.to_owned() },
        ..set(doc! { "a": { "$exists": false } }, doc! { "a": 1 })
    };
    fails(&rig, on("seen", None), &[".seen is a view", "name the collection that it looks at"]).await;
    fails(&rig, on("measured", None), &[".measured is a time series", "use a program"]).await;
    fails(&rig, on("round", None), &[".round is capped", "use a program"]).await;
    fails(&rig, on(ITEMS, Some("nowhere")), &["there is no collection nowhere.items", "check its name"]).await;
    assert_eq!(rig.count(doc! { "a": 1 }).await, 0);
}

#[tokio::test]
async fn a_hint_without_an_index_and_an_array_filter_without_a_use_are_refused() {
    let rig = Rig::new().await;
    rig.fill(10, |id| doc! { "n": id }).await;
    let step = set(doc! { "a": { "$exists": false } }, doc! { "a": 1 });
    let by = |hint| Backfill { hint: Some(hint), ..step.clone() };
    for hint in [Hint::Name("a_1".to_owned()), Hint::Keys(doc! { "a": 1 })] {
        fails(&rig, by(hint), &[".items has no index like the step's `hint`", "leave `hint` out"]).await;
    }
    let change = Change::Operators { update: doc! { "$set": { "a": 1 } }, array_filters: vec![doc! { "line.k": 1 }] };
    let step = backfill(doc! { "a": { "$exists": false } }, change);
    fails(&rig, step, &["update on ", ".items is refused", "line"]).await;
    assert_eq!(rig.count(doc! { "a": 1 }).await, 0);
}

#[tokio::test]
async fn a_connection_string_must_name_a_database_unless_every_step_does() {
    let rig = Rig::new().await;
    rig.fill(10, |id| doc! { "n": id }).await;
    let name = rig.database.name().to_owned();
    let rig = Rig { uri: rig.uri.replacen(&format!("/{name}"), "/", 1), ..rig };
    let step = set(doc! { "a": { "$exists": false } }, doc! { "a": 1 });
    fails(&rig, step.clone(), &["MONGODB_URI names no database", "mongodb://host/NAME"]).await;
    let step = Backfill { target: Target { database: Some(name), collection: ITEMS.to_owned() }, ..step };
    assert_eq!(rig.execute(1, vec![Step::Backfill(step)]).await, End::Done);
    assert_eq!(rig.count(doc! { "a": 1 }).await, 10);
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once_and_a_server_that_is_down_is_waited_for() {
    let mut server = Server::start().await;
    let rig = Rig::on(&server.writer()).await;
    rig.fill(10, |id| doc! { "n": id }).await;
    let step = set(doc! { "a": { "$exists": false } }, doc! { "a": 1 });
    let wrong = Rig { uri: server.uri("writer:passw0rd-that-is-wrong"), ..rig.again() };
    let message = fails(&wrong, step.clone(), &["user name or password of MONGODB_URI", "authSource"]).await;
    assert!(!message.contains(SECRET), "{message}");

    server.kill();
    let running = rig.execute(1, vec![Step::Backfill(step)]);
    let starting = async {
        let mut reports = rig.reports.subscribe();
        let waits = |message: &Option<String>| message.as_ref().is_some_and(|text| text.starts_with("trying again: "));
        reports.wait_for(|report| waits(&report.message)).await.unwrap();
        server.start_again();
    };
    let (end, ()) = tokio::join!(running, starting);
    assert_eq!(end, End::Done);
    let notes = rig.notes.lock().unwrap().join("\n");
    assert!(notes.contains("the database cannot be reached: ") && !notes.contains(SECRET), "{notes}");
}
