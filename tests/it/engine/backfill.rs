//! Backfills on a real database.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Binary, Bson, DateTime, Document, Timestamp, doc, spec::BinarySubtype};
use stopover::catalog::{Backfill, Change, Hint, Holds, Speed, Step, Target};
use stopover::engine::End;
use stopover::engine::tally::Report;
use stopover::ledger::RunId;
use tokio::time::timeout;

use super::rig::{ITEMS, Rig, backfill, failure, operators};

const PATIENCE: Duration = Duration::from_mins(1);

fn doubling() -> Backfill {
    let pipeline = vec![doc! { "$set": { "double": { "$multiply": ["$n", 2] } } }];
    backfill(doc! { "double": { "$exists": false } }, Change::Pipeline(pipeline))
}

#[tokio::test]
async fn a_pipeline_changes_every_document_that_the_filter_selects() {
    let rig = Rig::new().await;
    rig.fill(5_000, |id| {
        if id % 5 == 0 {
            doc! { "n": id, "double": -1 }
        } else {
            doc! { "n": id }
        }
    })
    .await;
    assert_eq!(rig.execute(1, vec![Step::Backfill(doubling())]).await, End::Done);
    assert_eq!(rig.count(doc! { "$expr": { "$eq": ["$double", { "$multiply": ["$n", 2] }] } }).await, 4_000);
    assert_eq!(rig.count(doc! { "double": -1 }).await, 1_000);
    let report = rig.report();
    assert_eq!((report.done, report.total), (Some(4_000), Some(4_000)));
    let progress = report.progress;
    assert_eq!((progress.matched, progress.modified, progress.estimated), (4_000, 4_000, false));
    assert!(rig.warned("no index serves the filter"));
}

#[tokio::test]
async fn an_update_document_with_array_filters_changes_the_elements_that_are_meant() {
    let rig = Rig::new().await;
    rig.fill(300, |_| doc! { "lines": [{ "k": 1, "v": 1 }, { "k": 2, "v": 1 }] }).await;
    let change = Change::Operators {
        update: doc! { "$set": { "lines.$[line].v": 9 } },
        array_filters: vec![doc! { "line.k": 2 }],
    };
    let step = backfill(doc! { "lines": { "$elemMatch": { "k": 2, "v": 1 } } }, change);
    assert_eq!(rig.execute(1, vec![Step::Backfill(step)]).await, End::Done);
    assert_eq!(rig.count(doc! { "lines": [{ "k": 1, "v": 1 }, { "k": 2, "v": 9 }] }).await, 300);
}

fn ids_of_every_type() -> Vec<Bson> {
    let mut ids = vec![Bson::Null, Bson::MinKey, Bson::MaxKey, Bson::Boolean(false), Bson::Boolean(true)];
    ids.push(Bson::Double(f64::NAN));
    for number in 0..40 {
        ids.push(Bson::Int32(number));
        ids.push(Bson::Double(f64::from(number) + 0.5));
        ids.push(Bson::Int64(i64::from(number) + 10_000_000_000));
        ids.push(Bson::String(format!("text {number}")));
        ids.push(Bson::Document(doc! { "a": number, "b": "x" }));
        ids.push(Bson::ObjectId(ObjectId::new()));
        ids.push(Bson::DateTime(DateTime::from_millis(i64::from(number) * 1000)));
        ids.push(Bson::Timestamp(Timestamp { time: 5, increment: u32::try_from(number).unwrap() }));
        let bytes = number.to_be_bytes().to_vec();
        ids.push(Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: [bytes.clone(), vec![0; 12]].concat() }));
        ids.push(Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes }));
    }
    ids
}

#[tokio::test]
async fn ids_of_every_type_are_walked_in_batches_of_any_size() {
    for batch in [Duration::from_millis(1), Duration::from_millis(100)] {
        let rig = Rig::new().await;
        let ids = ids_of_every_type();
        let count = ids.len() as u64;
        rig.items().insert_many(ids.into_iter().map(|id| doc! { "_id": id })).await.unwrap();
        let once = Backfill { idempotent: false, ..backfill(doc! {}, operators(doc! { "$inc": { "n": 1 } })) };
        let end = rig.execute_as(1, vec![Step::Backfill(once)], batch, Holds::NONE).await;
        assert_eq!(end, End::Done);
        assert_eq!(rig.count(doc! { "n": 1 }).await, count, "{batch:?}");
    }
}

#[tokio::test]
async fn a_change_that_may_be_made_once_is_made_once_by_several_workers() {
    let rig = Rig::new().await;
    rig.fill(60_000, |id| doc! { "n": id }).await;
    rig.throttle.set_speed(Speed { workers: 4, pace: 100 });
    let once = Backfill { idempotent: false, ..backfill(doc! {}, operators(doc! { "$inc": { "touched": 1 } })) };
    assert_eq!(rig.execute(1, vec![Step::Backfill(once)]).await, End::Done);
    assert_eq!(rig.count(doc! { "touched": 1 }).await, 60_000);
    assert_eq!(rig.report().done, Some(60_000));
}

#[tokio::test]
async fn a_change_that_would_be_made_again_is_refused_and_nothing_is_written() {
    let rig = Rig::new().await;
    rig.fill(100, |id| doc! { "n": id }).await;
    let again = backfill(doc! { "n": { "$gte": 0 } }, operators(doc! { "$inc": { "n": 1 } }));
    let message = failure(rig.execute(1, vec![Step::Backfill(again)]).await);
    assert!(message.contains("a second application would change documents again"), "{message}");
    assert!(message.contains("`idempotent: false`"), "{message}");
    assert_eq!(rig.count(doc! { "$expr": { "$eq": ["$n", "$_id"] } }).await, 100);
}

#[tokio::test]
async fn a_change_that_settles_is_gone_over_until_nothing_changes() {
    let rig = Rig::new().await;
    rig.fill(3_000, |id| doc! { "n": id }).await;
    let settle = backfill(doc! {}, operators(doc! { "$set": { "flag": true } }));
    assert_eq!(rig.execute(1, vec![Step::Backfill(settle)]).await, End::Done);
    assert_eq!(rig.count(doc! { "flag": true }).await, 3_000);
    let progress = rig.report().progress;
    assert_eq!((progress.matched, progress.modified), (3_000, 3_000), "the second look counts nothing twice");
}

#[tokio::test]
async fn documents_that_the_update_cannot_help_are_told() {
    let rig = Rig::new().await;
    rig.fill(500, |id| {
        if id < 7 {
            doc! {}
        } else {
            doc! { "from": id }
        }
    })
    .await;
    let copy = Change::Pipeline(vec![doc! { "$set": { "to": "$from" } }]);
    let step = backfill(doc! { "to": { "$exists": false } }, copy);
    assert_eq!(rig.execute(1, vec![Step::Backfill(step)]).await, End::Done);
    assert!(rig.warned("items (7), but the update changes nothing in them"), "{:?}", rig.warnings);
}

#[tokio::test]
async fn a_hint_finds_the_documents_by_its_index() {
    let rig = Rig::new().await;
    rig.fill(20_000, |id| doc! { "kind": if id % 100 == 0 { "rare" } else { "common" } }).await;
    rig.items().create_index(mongodb::IndexModel::builder().keys(doc! { "kind": 1 }).build()).await.unwrap();
    let mut step = backfill(doc! { "kind": "rare" }, operators(doc! { "$set": { "kind": "done" } }));
    step.hint = Some(Hint::Keys(doc! { "kind": 1 }));
    assert_eq!(rig.execute(1, vec![Step::Backfill(step)]).await, End::Done);
    assert_eq!(rig.count(doc! { "kind": "done" }).await, 200);
    assert_eq!(rig.report().done, Some(200));
}

#[tokio::test]
async fn what_is_inserted_meanwhile_is_migrated_too() {
    let rig = Rig::new().await;
    rig.fill(30_000, |id| doc! { "n": id }).await;
    let running = rig.execute_as(1, vec![Step::Backfill(doubling())], Duration::from_millis(2), Holds::NONE);
    let inserting = async {
        let mut reports = rig.reports.subscribe();
        reports.wait_for(|report| report.done.is_some_and(|done| done > 2_000)).await.unwrap();
        let above = (0..500).map(|n| doc! { "_id": 100_000 + n, "n": n });
        let behind = (0..500).map(|n| doc! { "_id": -1 - n, "n": n });
        rig.items().insert_many(above.chain(behind)).await.unwrap();
    };
    let (end, ()) = tokio::join!(running, inserting);
    assert_eq!(end, End::Done);
    assert_eq!(rig.count(doc! { "double": { "$exists": false } }).await, 0);
    assert_eq!(rig.count(doc! {}).await, 31_000);
}

#[tokio::test]
async fn a_stop_is_at_a_checkpoint_and_the_next_attempt_goes_on_from_there() {
    let rig = Rig::new().await;
    rig.fill(40_000, |id| doc! { "n": id }).await;
    let once = Backfill { idempotent: false, ..backfill(doc! {}, operators(doc! { "$inc": { "touched": 1 } })) };
    let stopping = async {
        let mut reports = rig.reports.subscribe();
        reports.wait_for(|report| report.done.is_some_and(|done| done > 5_000)).await.unwrap();
        rig.stop.cancel();
    };
    let small = Duration::from_millis(2);
    let none = Holds::NONE;
    let (end, ()) = tokio::join!(rig.execute_as(1, vec![Step::Backfill(once.clone())], small, none), stopping);
    assert_eq!(end, End::Stopped);
    let done = rig.count(doc! { "touched": 1 }).await;
    assert!(done > 5_000 && done < 40_000, "{done}");
    assert_eq!(rig.report().done, i64::try_from(done).ok(), "what is told is what is there");
    let again = Rig { stop: tokio_util::sync::CancellationToken::new(), ..rig };
    assert_eq!(again.execute(2, vec![Step::Backfill(once)]).await, End::Done);
    assert_eq!(again.count(doc! { "touched": 1 }).await, 40_000);
    assert_eq!(again.report().done, Some(40_000));
}

#[tokio::test]
async fn what_there_is_to_do_is_counted_beside_the_work_and_again_by_the_next_attempt_with_what_was_done() {
    let rig = Rig::new().await;
    rig.fill(40_000, |id| doc! { "n": id }).await;
    let step = || vec![Step::Backfill(doubling())];
    let stopping = async {
        let mut reports = rig.reports.subscribe();
        let counted = |total, done| total == Some(40_000) && done > Some(2_000);
        reports.wait_for(|report| counted(report.total, report.done)).await.unwrap();
        rig.stop.cancel();
    };
    let (end, ()) = tokio::join!(rig.execute_as(1, step(), Duration::from_millis(2), Holds::NONE), async {
        timeout(PATIENCE, stopping).await.unwrap();
    });
    assert_eq!(end, End::Stopped);
    let again = Rig { stop: tokio_util::sync::CancellationToken::new(), ..rig };
    assert_eq!(again.execute(2, step()).await, End::Done);
    let report = again.report();
    assert_eq!((report.done, report.total), (Some(40_000), Some(40_000)));
    assert!(!report.progress.estimated);
}

#[tokio::test]
async fn an_attempt_that_was_overtaken_writes_nothing_more() {
    let rig = Rig::new().await;
    rig.fill(40_000, |id| doc! { "n": id }).await;
    let once = Backfill { idempotent: false, ..backfill(doc! {}, operators(doc! { "$inc": { "touched": 1 } })) };
    let slow = rig.execute_as(1, vec![Step::Backfill(once.clone())], Duration::from_millis(2), Holds::NONE);
    let overtaking = async {
        let mut reports = rig.reports.subscribe();
        reports.wait_for(|report| report.done.is_some_and(|done| done > 2_000)).await.unwrap();
        rig.execute(2, vec![Step::Backfill(once.clone())]).await
    };
    let (first, second) = timeout(PATIENCE, async { tokio::join!(slow, overtaking) }).await.unwrap();
    assert!(matches!(first, End::Fenced(_)), "{first:?}");
    assert_eq!(second, End::Done);
    assert_eq!(rig.count(doc! { "touched": 1 }).await, 40_000);
}

async fn with_a_validator(rig: &Rig) {
    rig.database.create_collection(ITEMS).validator(doc! { "$expr": { "$ne": ["$double", 26] } }).await.unwrap();
}

#[tokio::test]
async fn a_document_that_is_refused_is_named_and_the_run_fails() {
    let rig = Rig::new().await;
    with_a_validator(&rig).await;
    rig.fill(2_000, |id| doc! { "n": id }).await;
    let message = failure(rig.execute(1, vec![Step::Backfill(doubling())]).await);
    assert!(message.contains("the document with _id 13 of"), "{message}");
    assert!(message.contains("failed validation") && message.contains("maxQuarantined"), "{message}");
    assert_eq!(rig.count(doc! { "double": { "$exists": true } }).await, 13, "what comes before it is done");
}

#[tokio::test]
async fn documents_that_are_refused_are_left_out_and_can_be_tried_again_alone() {
    let rig = Rig::new().await;
    with_a_validator(&rig).await;
    rig.fill(2_000, |id| doc! { "n": if id == 700 || id == 701 || id == 1_999 { 13 } else { id + 100 } }).await;
    let step = Backfill { max_quarantined: 3, ..doubling() };
    assert_eq!(rig.execute(1, vec![Step::Backfill(step.clone())]).await, End::Done);
    assert_eq!(rig.report().progress.quarantined, 3);
    assert_eq!(rig.count(doc! { "double": { "$exists": true } }).await, 1_997);
    let left_out = rig.ledger.quarantined(rig.run, None, 10).await.unwrap();
    let ids: Vec<_> = left_out.iter().map(|entry| entry.document.as_str()).collect();
    assert_eq!(ids, [r#"{"$numberInt":"1999"}"#, r#"{"$numberInt":"700"}"#, r#"{"$numberInt":"701"}"#]);
    assert!(left_out[0].error.contains("validation"), "{}", left_out[0].error);

    rig.items().update_many(doc! { "_id": { "$in": [700, 1_999] } }, doc! { "$set": { "n": 5 } }).await.unwrap();
    let first = rig.run;
    let again = Rig { run: RunId::generate(), quarantine_of: Some(first), ..rig };
    assert_eq!(again.execute(1, vec![Step::Backfill(step)]).await, End::Done);
    assert_eq!(again.count(doc! { "double": 10 }).await, 2);
    assert_eq!(again.report().progress.quarantined, 1, "one is still refused");
}

#[tokio::test]
async fn mistakes_are_found_before_the_first_write() {
    let rig = Rig::new().await;
    rig.fill(10, |id| doc! { "n": id }).await;
    let unknown = Backfill { target: Target { database: None, collection: "itms".to_owned() }, ..doubling() };
    let stage = backfill(doc! {}, Change::Pipeline(vec![doc! { "$sett": { "a": 1 } }]));
    let expression = backfill(doc! {}, Change::Pipeline(vec![doc! { "$set": { "a": { "$plus": [1, 2] } } }]));
    let operator = backfill(doc! {}, operators(doc! { "$sett": { "a": 1 } }));
    let filter = backfill(doc! { "n": { "$exist": false } }, operators(doc! { "$set": { "a": 1 } }));
    for (step, expected) in [
        (unknown, "did you mean `items`?"),
        (stage, "$sett"),
        (expression, "$plus"),
        (operator, "$sett"),
        (filter, "$exist"),
    ] {
        let message = failure(rig.execute(1, vec![Step::Backfill(step)]).await);
        assert!(message.contains(expected), "{expected} in {message}");
    }
    let untouched: Vec<Document> = (0..10).map(|id| doc! { "_id": id, "n": id }).collect();
    assert_eq!(rig.all().await, untouched);
}

#[tokio::test]
async fn an_empty_collection_and_one_where_nothing_is_selected_are_done_at_once() {
    let rig = Rig::new().await;
    rig.database.create_collection(ITEMS).await.unwrap();
    assert_eq!(rig.execute(1, vec![Step::Backfill(doubling())]).await, End::Done);
    rig.fill(10, |id| doc! { "n": id, "double": 0 }).await;
    let rig = Rig { run: RunId::generate(), ..rig };
    assert_eq!(rig.execute(1, vec![Step::Backfill(doubling())]).await, End::Done);
    assert_eq!(rig.report().total, Some(0));
}

#[tokio::test]
async fn steps_that_were_moved_do_not_go_on_from_each_other_s_checkpoints() {
    let rig = Rig::new().await;
    rig.fill(10, |id| doc! { "n": id }).await;
    rig.database.create_collection("others").await.unwrap();
    assert_eq!(rig.execute(1, vec![Step::Backfill(doubling())]).await, End::Done);
    let target = Target { database: None, collection: "others".to_owned() };
    let other = Backfill { target, ..doubling() };
    let message = failure(rig.execute(2, vec![Step::Backfill(other)]).await);
    assert!(message.contains("the step was `backfill items`"), "{message}");
}

#[tokio::test]
async fn a_transaction_that_a_dead_attempt_left_open_is_ended_by_the_next() {
    let rig = Rig::new().await;
    rig.fill(40_000, |id| doc! { "n": id }).await;
    let once = Backfill { idempotent: false, ..backfill(doc! {}, operators(doc! { "$inc": { "touched": 1 } })) };
    // Dropped in the middle of a batch, it aborts nothing: as if it had been killed.
    let mut reports = rig.reports.subscribe();
    let none = Holds::NONE;
    let first = rig.execute_as(1, vec![Step::Backfill(once.clone())], Duration::from_millis(50), none);
    let begun = async { reports.wait_for(|report| report.done.is_some_and(|done| done > 1_000)).await.map(|_| ()) };
    tokio::select! {
        end = first => panic!("it ended too early: {end:?}"),
        begun = begun => begun.unwrap(),
    }
    let next = timeout(PATIENCE / 2, rig.execute(2, vec![Step::Backfill(once)])).await;
    assert_eq!(next.expect("no transaction is waited for until the server forgets it"), End::Done);
    assert_eq!(rig.count(doc! { "touched": 1 }).await, 40_000);
}

#[tokio::test]
async fn what_was_left_out_is_tried_again_once_however_often_that_is_asked_for() {
    let rig = Rig::new().await;
    with_a_validator(&rig).await;
    rig.fill(300, |id| doc! { "double": if id == 7 { 25 } else { 100 } }).await;
    let change = operators(doc! { "$inc": { "double": 1 } });
    let once = Backfill { idempotent: false, max_quarantined: 1, ..backfill(doc! {}, change) };
    assert_eq!(rig.execute(1, vec![Step::Backfill(once.clone())]).await, End::Done);
    assert_eq!((rig.count(doc! { "double": 101 }).await, rig.report().progress.quarantined), (299, 1));
    rig.items().update_one(doc! { "_id": 7 }, doc! { "$set": { "double": 50 } }).await.unwrap();
    let first = rig.run;
    for _ in 0..2 {
        let again = Rig { run: RunId::generate(), quarantine_of: Some(first), ..rig.again() };
        assert_eq!(again.execute(1, vec![Step::Backfill(once.clone())]).await, End::Done);
    }
    assert_eq!(rig.count(doc! { "_id": 7, "double": 51 }).await, 1, "it was incremented once");
    assert_eq!(rig.count(doc! { "double": 101 }).await, 299, "no other was touched");
}

#[tokio::test]
async fn a_run_whose_checkpoints_are_gone_does_not_begin_anew() {
    let rig = Rig::new().await;
    rig.fill(2_000, |id| doc! { "n": id }).await;
    let once = Backfill { idempotent: false, ..backfill(doc! {}, operators(doc! { "$inc": { "touched": 1 } })) };
    assert_eq!(rig.execute(1, vec![Step::Backfill(once.clone())]).await, End::Done);
    rig.database.collection::<Document>("stopover_checkpoints").drop().await.unwrap();
    let again = Rig { reached: Some((0, 2_000)), ..rig.again() };
    let message = failure(again.execute(2, vec![Step::Backfill(once)]).await);
    assert!(message.contains("the checkpoints of this run are gone from"), "{message}");
    assert_eq!(rig.count(doc! { "touched": 1 }).await, 2_000);
}

#[tokio::test]
async fn a_change_that_repeats_for_some_documents_only_is_found_before_they_are_met_again() {
    let rig = Rig::new().await;
    // The first documents leave the filter, the others do not.
    rig.fill(500, |id| doc! { "n": if id < 50 { 1 } else { 5 } }).await;
    let step = backfill(doc! { "n": { "$ne": 2 } }, operators(doc! { "$inc": { "n": 1 } }));
    let message = failure(rig.execute(1, vec![Step::Backfill(step)]).await);
    assert!(message.contains("a second application would change documents again"), "{message}");
    assert_eq!(
        (rig.count(doc! { "n": 2 }).await, rig.count(doc! { "n": 6 }).await),
        (50, 450),
        "none was changed twice"
    );
}

#[tokio::test]
async fn documents_that_arrive_while_everything_is_looked_at_again_are_migrated_too() {
    let rig = Rig::new().await;
    rig.fill(30_000, |id| doc! { "n": id }).await;
    let settle = backfill(doc! {}, operators(doc! { "$set": { "flag": true } }));
    let running = rig.execute_as(1, vec![Step::Backfill(settle)], Duration::from_millis(5), Holds::NONE);
    let inserting = async {
        let again =
            |report: &Report| report.message.as_deref().is_some_and(|message| message.contains("over everything"));
        rig.reports.subscribe().wait_for(again).await.unwrap();
        rig.items().insert_many((0..100).map(|n| doc! { "_id": 50_000 + n, "n": n })).await.unwrap();
    };
    let (end, ()) = tokio::join!(running, inserting);
    assert_eq!(end, End::Done);
    assert_eq!(rig.count(doc! { "flag": true }).await, 30_100);
}
