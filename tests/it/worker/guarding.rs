//! No two programs at once: what happens to a program whose worker no longer watches over it.

use std::fs;

use rustix::process::Signal;
use stopover::process::members_of_session;

use super::{WAIT_FOR_GO, go, lines, log_text, number_in, signal, until_dead, until_printed, worker_of};
use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};

#[test]
fn a_frozen_worker_and_its_program_are_dead_before_the_run_can_be_resumed() {
    let script = format!("echo $$ > program; echo on; {WAIT_FOR_GO}");
    let scene = Scene::new().script("stalls", &script).variable("STOPOVER_LEASE", "4s");
    let id = scene.launch(&["stalls"]);
    let worker = worker_of(&until_printed(&scene, "stalls", "on"));
    let program = number_in(&scene, "program");
    signal(worker, Signal::STOP);
    let run = scene.until("stalls", &["lost"]);
    assert_eq!(members_of_session(worker), [0; 0], "nothing of it lives once the run reads as lost");
    assert!(stopover::process::ProcessIdentity::of(program).is_none());
    let told = fs::read_to_string(scene.state().join("workers").join(format!("{id}.log"))).unwrap();
    assert!(told.contains("did not renew its lease in time"), "{told}");

    go(&scene);
    scene.must(&["resume", &id]);
    scene.until("stalls", &["succeeded"]);
    assert_eq!(lines(&scene, &run, "stdout"), ["on", "on"]);
}

#[test]
fn a_guard_that_is_killed_is_replaced_and_the_new_one_does_its_duty() {
    let script = format!("echo $$ > program; echo on; {WAIT_FOR_GO}");
    let scene = Scene::new().script("watched", &script).variable("STOPOVER_LEASE", "4s");
    scene.launch(&["watched"]);
    let run = until_printed(&scene, "watched", "on");
    let worker = worker_of(&run);
    let first = guard_of(worker);
    signal(first, Signal::KILL);
    eventually("it is replaced", PATIENCE, || {
        log_text(&scene, &run).contains("was gone and is replaced").then_some(())
    });
    assert_ne!(guard_of(worker), first);
    signal(worker, Signal::STOP);
    until_dead("the program", number_in(&scene, "program"));
    scene.until("watched", &["lost"]);
}

#[test]
fn a_worker_whose_program_has_ended_outlives_its_lease_to_report_the_end() {
    let scene = Scene::new().script("done", &format!("echo on; {WAIT_FOR_GO}")).variable("STOPOVER_LEASE", "4s");
    scene.launch(&["done"]);
    let run = until_printed(&scene, "done", "on");
    let ledger = rusqlite::Connection::open(scene.state().join("ledger.db")).unwrap();
    ledger.busy_timeout(PATIENCE).unwrap();
    ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
    go(&scene);
    scene.until("done", &["lost"]);
    ledger.execute_batch("ROLLBACK").unwrap();
    scene.until("done", &["succeeded"]);
    until_dead("the worker", worker_of(&run));
}

#[track_caller]
pub(super) fn guard_of(worker: i32) -> i32 {
    eventually("a guard", PATIENCE, || {
        members_of_session(worker)
            .into_iter()
            .find(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0guard\0")))
    })
}
