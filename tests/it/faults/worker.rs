//! Workers and programs that are killed or held still.

use stopover::process::members_of_session;

use super::*;

#[test]
fn a_killed_worker_takes_its_program_with_it_and_the_next_attempt_goes_on() {
    let case = Case::new();
    let worker = worker_of(&case.start());
    signal(worker, Signal::KILL);
    until_dead("the program", case.program.pid());
    let run = case.scene.until(NAME, &["lost"]);
    assert!(run["done"].as_i64() >= Some(3), "{run}");
    assert_eq!(case.resume_and_check()["attempt"], 2);
}

#[test]
fn a_worker_killed_with_its_guard_and_its_program_is_lost_and_resumed() {
    let case = Case::new();
    let worker = worker_of(&case.start());
    let session = members_of_session(worker);
    assert!(session.len() >= 3, "worker, guard and program: {session:?}");
    for pid in session {
        let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
    case.scene.until(NAME, &["lost"]);
    assert_eq!(case.resume_and_check()["attempt"], 2);
}

#[test]
fn a_frozen_worker_is_ended_by_its_guard_before_another_takes_over() {
    let case = Case::new();
    let worker = worker_of(&case.start());
    signal(worker, Signal::STOP);
    case.scene.until(NAME, &["lost"]);
    assert_eq!(members_of_session(worker), [0; 0]);
    assert_eq!(case.resume_and_check()["attempt"], 2);
}

#[test]
fn a_worker_frozen_for_less_than_its_lease_goes_on_as_if_nothing_had_been() {
    let case = Case::new();
    let run = case.start();
    signal(worker_of(&run), Signal::STOP);
    // The program goes on; what it prints waits in its pipe.
    case.program.works(10);
    signal(worker_of(&run), Signal::CONT);
    assert_eq!(case.resume_and_check()["attempt"], 1);
}

#[test]
fn a_killed_program_is_a_failure_that_names_the_signal_and_can_be_resumed() {
    let case = Case::new();
    case.start();
    signal(case.program.pid(), Signal::KILL);
    let run = case.scene.until(NAME, &["failed"]);
    assert_eq!((&run["error"]["signal"], &run["error"]["message"]), (&9.into(), &"killed by SIGKILL".into()));
    assert_eq!(case.resume_and_check()["attempt"], 2);
}
