//! Backfills where the server has no transactions.

use std::time::Duration;

use bson::doc;
use stopover::catalog::{Backfill, Change, Holds, Step};
use stopover::engine::End;
use stopover::ledger::RunId;

use super::rig::{Rig, backfill, failure, operators};
use crate::support::server::Server;

/// Excludes what is done.
fn doubling() -> Backfill {
    let pipeline = vec![doc! { "$set": { "double": { "$multiply": ["$n", 2] } } }];
    backfill(doc! { "double": { "$exists": false } }, Change::Pipeline(pipeline))
}

/// Still selects what is done, and changes nothing in it.
fn flagging() -> Backfill {
    backfill(doc! {}, operators(doc! { "$set": { "flag": true } }))
}

fn noted(rig: &Rig, text: &str) -> bool {
    rig.notes.lock().unwrap().iter().any(|note| note.contains(text))
}

async fn collections(rig: &Rig) -> Vec<String> {
    let mut names = rig.database.list_collection_names().await.unwrap();
    names.sort();
    names
}

#[tokio::test]
async fn what_may_run_without_transactions_and_what_may_not() {
    let server = Server::start().await;
    let rig = Rig::on(&server.writer()).await;
    rig.fill(1_000, |id| doc! { "n": id }).await;

    let once = Backfill { idempotent: false, ..backfill(doc! {}, operators(doc! { "$inc": { "n": 1 } })) };
    let message = failure(rig.execute(1, vec![Step::Backfill(once)]).await);
    assert!(message.contains("`idempotent: false` needs transactions"), "{message}");
    assert!(message.contains("make it a replica set"), "{message}");

    let message = failure(rig.execute(2, vec![Step::Backfill(flagging())]).await);
    assert!(message.contains("the server is standalone") && message.contains("`atLeastOnce: true`"), "{message}");
    assert_eq!(rig.count(doc! { "flag": true }).await, 0);
    assert_eq!(rig.count(doc! { "$expr": { "$eq": ["$n", "$_id"] } }).await, 1_000);
    assert_eq!(collections(&rig).await, ["items", "stopover_checkpoints"], "what it was tried out on is gone");

    let accepted = Backfill { at_least_once: true, ..flagging() };
    assert_eq!(rig.execute(3, vec![Step::Backfill(accepted)]).await, End::Done);
    assert_eq!(rig.count(doc! { "flag": true }).await, 1_000);
    assert!(rig.warned("the manifest accepts that (`atLeastOnce: true`)"));

    let rig = Rig { run: RunId::generate(), ..rig };
    assert_eq!(rig.execute(1, vec![Step::Backfill(doubling())]).await, End::Done);
    assert_eq!(rig.count(doc! { "$expr": { "$eq": ["$double", { "$multiply": ["$n", 2] }] } }).await, 1_000);
    assert!(noted(&rig, "that is harmless here: the filter excludes what is done"));
    assert_eq!(collections(&rig).await, ["items", "stopover_checkpoints"]);

    let rig = Rig { run: RunId::generate(), ..rig };
    assert_eq!(rig.execute(1, vec![Step::Backfill(doubling())]).await, End::Done, "nothing is selected any more");
    assert!(noted(&rig, "no document is selected, so there is none to repeat"));
}

#[tokio::test]
async fn an_attempt_that_is_cut_off_in_the_middle_leaves_no_document_out() {
    let server = Server::start().await;
    let rig = Rig::on(&server.writer()).await;
    rig.fill(12_000, |id| doc! { "n": id }).await;
    let steps = || vec![Step::Backfill(doubling())];
    let mut attempt = 0;
    // Each is given up wherever it is, a little further than the one before.
    for far in [500, 2_500, 4_500, 6_500, 8_500] {
        attempt += 1;
        let mut reports = rig.reports.subscribe();
        tokio::select! {
            end = rig.execute_as(attempt, steps(), Duration::from_millis(4), Holds::NONE) => panic!("{end:?}"),
            report = reports.wait_for(|report| report.done.is_some_and(|done| done > far)) => drop(report),
        }
    }
    let before = rig.count(doc! { "double": { "$exists": true } }).await;
    assert!(before > 8_500 && before < 12_000, "{before}");
    assert_eq!(rig.execute(attempt + 1, steps()).await, End::Done);
    assert_eq!(rig.count(doc! { "$expr": { "$eq": ["$double", { "$multiply": ["$n", 2] }] } }).await, 12_000);
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_is_waited_for() {
    let mut server = Server::start().await;
    let rig = Rig::on(&server.writer()).await;
    rig.fill(6_000, |id| doc! { "n": id }).await;
    let running = rig.execute_as(1, vec![Step::Backfill(doubling())], Duration::from_millis(4), Holds::NONE);
    let killing = async {
        let mut reports = rig.reports.subscribe();
        reports.wait_for(|report| report.done.is_some_and(|done| done > 1_500)).await.unwrap();
        server.kill();
        reports.wait_for(|report| report.message.as_ref().is_some_and(|m| m.contains("trying again"))).await.unwrap();
        server.start_again();
    };
    let (end, ()) = tokio::join!(running, killing);
    assert_eq!(end, End::Done);
    assert_eq!(rig.count(doc! { "double": { "$exists": true } }).await, 6_000);
    assert!(rig.report().progress.retried > 0);
}
