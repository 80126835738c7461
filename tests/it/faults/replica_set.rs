//! A set of three that loses its primary, and then its majority, under a program and under steps.

use crate::support::documents::{by_touched, fill, once};
use crate::support::replica_set::ReplicaSet;

use super::*;

const STEPS: &str = "20270203_adds";
const DOCUMENTS: i32 = 40_000;

#[tokio::test]
async fn a_set_that_changes_its_primary_and_loses_its_majority_costs_an_attempt_and_nothing_else() {
    let mut set = ReplicaSet::start().await;
    let database = mongodb::Client::with_uri_str(set.uri()).await.unwrap().default_database().unwrap();
    fill(&database, STEPS, DOCUMENTS).await;
    let scene = Scene::new()
        .manifest(STEPS, &once(STEPS, "workers: 1, batch: 5ms, pace: 1"))
        .variable("MONGODB_URI", set.uri());
    let mut case = Case::of(scene).stamped();
    // Longer than an election.
    case.scene = case.scene.variable("STOPOVER_LEASE", "12s");
    let steps = Checker { pods: vec![&case.scene], migration: STEPS, program: None };
    let run = case.start();
    case.scene.launch(&[STEPS]);
    until_done(&case.scene, STEPS, 1);
    set.step_down().await;
    set.primary().await;
    case.program.works(50);
    for checker in [&case.checker(), &steps] {
        let run = checker.check();
        assert_eq!((&run["state"], &run["attempt"]), (&"running".into(), &1.into()), "{run:#}");
    }
    // Two of three: what is left takes no write.
    let primary = set.primary().await;
    let secondary = set.secondary().await;
    set.kill(primary);
    set.kill(secondary);
    case.until_logged(&run, "the ledger cannot be reached, and the right to run will end");
    until_dead("the program", case.program.pid());
    set.restart(primary);
    set.restart(secondary);
    set.settle().await;
    assert_eq!(case.resume_and_check()["attempt"], 2);
    eventually("it is at work again", 4 * PATIENCE, || {
        let _ = case.scene.stopover(&["resume", STEPS]);
        (case.scene.stopover(&["tune", STEPS, "--pace", "100"]).status == 0).then_some(())
    });
    steps.resume_and_check();
    assert_eq!(by_touched(&database, STEPS).await, [(1, DOCUMENTS)]);
}
