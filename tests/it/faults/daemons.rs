//! Programs that fork daemons, which leave their process group and their session.

use super::*;

/// Leaves a daemon behind: a grandchild in a session of its own, without the program's pipes. Its pid is in a file before the program goes on.
const DAEMON: &str = r#"setsid sh -c 'setsid sh -c "echo \$\$ >daemon.$STOPOVER_ATTEMPT; while :; do sleep 0.1; done" &' </dev/null >/dev/null 2>&1
until [ -s "daemon.$STOPOVER_ATTEMPT" ]; do sleep 0.01; done"#;

/// The daemon of an attempt.
#[track_caller]
fn daemon(case: &Case, attempt: u32) -> i32 {
    let path = case.scene.path().join(format!("migrations/daemon.{attempt}"));
    eventually("a daemon was started", PATIENCE, || fs::read_to_string(&path).ok()?.trim().parse().ok())
}

#[test]
fn a_daemon_of_a_killed_worker_s_program_is_ended_and_so_is_one_that_a_program_leaves_behind() {
    let case = Case::with(Scene::new(), DAEMON, "");
    let worker = worker_of(&case.start());
    let daemon = daemon(&case, 1);
    signal(worker, Signal::KILL);
    until_dead("the daemon", daemon);
    case.scene.until(NAME, &["lost"]);
    let run = case.resume_and_check();
    until_dead("the second daemon", self::daemon(&case, 2));
    assert!(case.log(&run).contains("left behind and ended"), "{}", case.log(&run));
}

#[test]
fn a_daemon_of_a_frozen_worker_is_dead_before_another_can_take_over() {
    let case = Case::with(Scene::new(), DAEMON, "");
    let worker = worker_of(&case.start());
    let daemon = daemon(&case, 1);
    signal(worker, Signal::STOP);
    case.scene.until(NAME, &["lost"]);
    assert!(ProcessIdentity::of(daemon).is_none(), "the daemon is dead when the run reads as lost");
    case.resume_and_check();
}

#[test]
fn a_migration_that_launches_another_does_not_take_that_one_for_its_daemon() {
    let other = Diligent::new();
    let launch = format!(
        "STOPOVER_CATALOG=../stopover.yaml STOPOVER_STATE_DIR=../state {} run other",
        crate::support::scene::STOPOVER
    );
    let case = Case::with(Scene::new().script("other", &other.script()), &launch, "");
    case.start();
    other.works(1);
    case.resume_and_check();
    other.works(5);
    let pods = vec![&case.scene];
    assert_eq!(Checker { pods, migration: "other", program: Some(&other) }.resume_and_check()["attempt"], 1);
}
