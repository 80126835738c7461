//! A process that has the pid of a dead worker.

use super::*;

#[test]
fn a_stranger_with_the_pid_of_a_dead_worker_is_neither_taken_for_it_nor_touched() {
    let case = Case::new();
    let run = case.start();
    signal(worker_of(&run), Signal::KILL);
    case.scene.until(NAME, &["lost"]);
    let mut stranger = Command::new("sleep").arg("300").spawn().unwrap();
    // What the ledger has is the pid, and when the worker was started: the kernel has given the one to somebody else since.
    let ledger = rusqlite::Connection::open(case.scene.state().join("ledger.db")).unwrap();
    ledger.busy_timeout(PATIENCE).unwrap();
    let changed =
        ledger.execute("UPDATE runs SET run = json_set(run, '$.worker.process.pid', ?1)", [stranger.id()]).unwrap();
    assert_eq!(changed, 1);
    drop(ledger);
    assert_eq!(case.scene.run(NAME)["pid"], stranger.id());
    let told = case.scene.stopover(&["doctor", "--json"]).stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    let worker = &told["runs"][0]["worker"];
    assert_eq!(
        (&worker["isAlive"], &worker["isGuarded"], &worker["left"]),
        (&false.into(), &false.into(), &serde_json::json!([])),
        "{told:#}"
    );
    assert_eq!(case.resume_and_check()["attempt"], 2);
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}
