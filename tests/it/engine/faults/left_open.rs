//! What a worker that died between two writes leaves behind, one case at a time.

use mongodb::ClientSession;
use stopover::catalog::{Backfill, Step};
use stopover::engine::End;
use stopover::engine::checkpoint::{Checkpoints, Start, StepRecord};
use stopover::engine::fault::Fault;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::engine::rig::{ITEMS, Rig, backfill, operators};
use crate::engine::site;

/// Much less than the minute after which the server itself ends a transaction.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_was_locked_while_a_step_was_tried_out_or_planned_does_not_hold_up_the_next_attempt() {
    let rig = Rig::new().await;
    rig.fill(1_000, |id| doc! { "n": id }).await;
    let once = Backfill { idempotent: false, ..backfill(doc! {}, operators(doc! { "$inc": { "touched": 1 } })) };
    rig.stop.cancel();
    assert_eq!(rig.execute(1, vec![Step::Backfill(once.clone())]).await, End::Stopped);

    // Its worker died with a transaction open that had written the step's record and a document.
    let earlier = site(rig.uri.clone()).await;
    let checkpoints = Checkpoints::new(&earlier, None, rig.run, 0, 1);
    let mut open: ClientSession = checkpoints.session().await.unwrap().unwrap();
    open.start_transaction().await.unwrap();
    let database = earlier.database(None);
    let record = doc! { "_id": format!("{}/0", rig.run) };
    for (collection, which) in [("stopover_checkpoints", record), (ITEMS, doc! { "_id": 0 })] {
        let documents = database.collection::<Document>(collection);
        let write = documents.update_one(which, doc! { "$set": { "locked": true } });
        assert_eq!(write.session(&mut open).await.unwrap().matched_count, 1);
    }

    let rig = Rig { stop: CancellationToken::new(), ..rig };
    let second = timeout(SOON, rig.execute(2, vec![Step::Backfill(once)])).await.expect("it does not wait");
    assert_eq!(second, End::Done);
    assert_eq!(rig.count(doc! { "touched": 1, "locked": { "$exists": false } }).await, 1_000);
    assert!(checkpoints.session().await.is_err_and(|fault| matches!(fault, Fault::Fenced(_))));
}

#[tokio::test]
async fn a_plan_whose_commit_was_not_confirmed_is_planned_again_and_not_taken_for_anothers() {
    let rig = Rig::new().await;
    let site = site(rig.uri.clone()).await;
    let first = Checkpoints::new(&site, None, rig.run, 0, 1);
    let before = first.claim("tested", "a step").await.unwrap();
    let next = StepRecord { pass: 1, ..before.clone() };
    let ranges = [(Start { id: 0.into(), inclusive: true }, 9.into())];
    let planned = first.plan(&before, &next, &ranges).await.unwrap();
    assert_eq!(first.plan(&before, &next, &ranges).await.unwrap(), planned);
    assert_eq!(first.claim_ranges(1).await.unwrap(), planned, "each is there once");
    let done = StepRecord { complete: true, ..next.clone() };
    for _ in 0..2 {
        assert!(first.plan(&next, &done, &[]).await.unwrap().is_empty());
    }

    let second = Checkpoints::new(&site, None, rig.run, 0, 2);
    assert!(second.claim("tested", "a step").await.unwrap().complete);
    assert!(matches!(first.plan(&next, &done, &[]).await, Err(Fault::Fenced(_))));
    assert!(matches!(first.claim("tested", "a step").await, Err(Fault::Fenced(_))));
}
