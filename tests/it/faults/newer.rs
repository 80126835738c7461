//! A newer version upgrades the ledger under a worker's feet, as in a rollout that changes its shape.

use super::*;

#[test]
fn a_ledger_upgraded_during_a_run_takes_its_end_and_refuses_everybody_else_of_the_old_version() {
    let case = Case::new();
    let run = case.start();
    let version = |number: i32| {
        let file = rusqlite::Connection::open(case.scene.state().join("ledger.db")).unwrap();
        file.busy_timeout(PATIENCE).unwrap();
        file.pragma_update(None, "user_version", number).unwrap();
    };
    version(99);
    for verb in [&["show", NAME][..], &["pause", NAME], &["run", NAME]] {
        let refused = case.scene.stopover(verb);
        assert!(refused.status != 0 && refused.stderr.contains("run a newer image of Stopover"), "{refused:?}");
    }
    // What has begun is let end: stored shapes only grow.
    case.program.works(100);
    case.program.go();
    until_dead("the worker", worker_of(&run));
    version(1);
    assert_eq!(case.resume_and_check()["attempt"], 1);
}
