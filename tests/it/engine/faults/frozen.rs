//! A worker that is held still past its lease, with a transaction open, while another takes its run over.

use std::fs;
use std::time::Instant;

use stopover::process::members_of_session;
use tokio::time::sleep;

use super::*;
use crate::support::eventually;
use crate::support::mongo::Database as Server;

const NAME: &str = "20270102_adds";
const DOCUMENTS: i32 = 60_000;
/// What the takeover may wait for what the frozen worker has locked. Left alone, the server would hold it for a minute.
const TAKEOVER: Duration = Duration::from_secs(20);

/// Whether a transaction on the collection is open in the server.
async fn has_transaction(database: &Database, collection: &str) -> bool {
    let admin = database.client().database("admin");
    let ns = format!("{}.{collection}", database.name());
    // In a call, or between two.
    for like in [doc! { "ns": ns }, doc! { "type": "idleSession" }] {
        let open = doc! { "$and": [{ "transaction.parameters.autocommit": false }, like] };
        let all = doc! { "$currentOp": { "idleSessions": true, "allUsers": true } };
        if admin.aggregate([all, doc! { "$match": open }]).await.unwrap().advance().await.unwrap() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_worker_that_was_frozen_past_its_lease_writes_nothing_more_once_another_has_taken_over() {
    let server = Server::new();
    let database = server.open().await;
    fill(&database, NAME, DOCUMENTS).await;
    let manifest = once(NAME, "batch: 50ms, pace: 50%");
    let a = pod(server.uri()).manifest(NAME, &manifest).variable("STOPOVER_POD", "pod-a");
    let file = format!("sqlite:{}", a.state().join("ledger.db").display());
    let a = a.variable("STOPOVER_LEDGER", &file);
    let b = pod(server.uri()).manifest(NAME, &manifest).variable("STOPOVER_POD", "pod-b");
    let b = b.variable("STOPOVER_LEDGER", &file);
    a.must(&["init", "--environment", "staging"]);
    let id: RunId = a.launch(&[NAME]).parse().unwrap();
    let worker = worker_of(&a.until(NAME, &["running"]));
    let begun = doc! { "_id": { "$gt": format!("{id}/0/1/"), "$lt": format!("{id}/0/10") }, "seq": { "$gt": 2 } };
    eventually_async("batches are done", PATIENCE, async || {
        checkpoints(&database).find_one(begun.clone()).await.unwrap()
    })
    .await;

    // Its guard, too, so that nothing ends it.
    let (guards, all) = (|pid: &i32| *pid != worker, members_of_session(worker));
    let guards: Vec<i32> = all.into_iter().filter(guards).collect();
    assert!(!guards.is_empty());
    for &guard in &guards {
        signal(guard, Signal::STOP);
    }
    eventually_async("it is frozen with a transaction open", PATIENCE, async || {
        signal(worker, Signal::STOP);
        // What is on its way to the server arrives.
        sleep(Duration::from_millis(20)).await;
        if has_transaction(&database, NAME).await {
            return Some(());
        }
        signal(worker, Signal::CONT);
        sleep(Duration::from_millis(7)).await;
        None
    })
    .await;
    b.until(NAME, &["lost"]);
    assert!(has_transaction(&database, NAME).await, "the server has not forgotten it");

    let asked = Instant::now();
    b.must(&["resume", NAME]);
    let later = doc! { "epoch": 2, "$or": [{ "seq": { "$gt": 5 } }, { "complete": true }] };
    eventually_async("the second attempt works", PATIENCE, async || {
        checkpoints(&database).find_one(later.clone()).await.unwrap()
    })
    .await;
    let waited = asked.elapsed();
    eprintln!("the takeover took {waited:.1?}");
    assert!(waited < TAKEOVER, "the takeover took {waited:?}");
    let run = b.until(NAME, &["succeeded"]);
    assert_eq!((&run["attempt"], &run["pod"]), (&2.into(), &"pod-b".into()));
    let records = async || {
        let found = checkpoints(&database).find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
        found.try_collect::<Vec<Document>>().await.unwrap()
    };
    let before = records().await;
    assert_eq!(by_touched(&database, NAME).await, [(1, DOCUMENTS)]);

    signal(worker, Signal::CONT);
    eventually("the first worker is gone", PATIENCE, || ProcessIdentity::of(worker).is_none().then_some(()));
    for guard in guards {
        signal(guard, Signal::CONT);
    }
    assert_eq!(records().await, before, "it has written nothing more");
    assert_eq!(by_touched(&database, NAME).await, [(1, DOCUMENTS)]);
    let run = b.run(NAME);
    assert_eq!((&run["attempt"], &run["state"]), (&2.into(), &"succeeded".into()));
    let told = fs::read_to_string(a.state().join("workers").join(format!("{id}.log"))).unwrap();
    assert!(told.contains("nothing more was written"), "{told}");
}
