//! How the keeper is found: by a second one, and by the mirror.

use std::fs;

use rustix::process::Signal;
use stopover::process::ProcessIdentity;

use crate::support::eventually;
use crate::support::pod::Pod;
use crate::support::scene::{PATIENCE, STOPOVER, Scene};

#[test]
fn a_second_keeper_in_the_same_state_directory_refuses_and_harms_nothing() {
    let scene = Scene::new();
    let mut pod = Pod::new(&scene, &[]).ready();
    let ended = pod.stopover(&["keep"]);
    assert_eq!(ended.status, 7, "{ended:?}");
    assert!(ended.stderr.contains("a keeper is at work here already (pid 1, "), "{ended:?}");
    assert_eq!(pod.stopover(&["doctor", "--probe=ready"]).status, 0);
    pod.shut_down();
}

#[test]
fn what_a_killed_keeper_left_behind_is_replaced() {
    let scene = Scene::new();
    let me = ProcessIdentity::current();
    let stale = ProcessIdentity { start_ticks: me.start_ticks + 1, ..me };
    fs::create_dir_all(scene.state()).unwrap();
    fs::write(scene.state().join("keeper.pid"), serde_json::to_vec(&stale).unwrap()).unwrap();
    let pod = Pod::shared(&scene, &[]).ready();
    let now: ProcessIdentity = serde_json::from_slice(&fs::read(scene.state().join("keeper.pid")).unwrap()).unwrap();
    assert_eq!(now.pid, pod.keeper());
    assert!(now.is_alive());
}

#[test]
fn where_the_first_process_is_another_a_run_is_mirrored_to_the_keeper_s_output() {
    let scene = Scene::new().script("shown", "echo in the mirror").variable("STOPOVER_MIRROR", "auto");
    // As the pause container: nothing is heard of the first process.
    let script = "exec 3>&1 >/dev/null 2>&1; \"$0\" keep --grace 10s >&3 2>&3 & while :; do wait; done";
    let pod = Pod::of(&scene, &["sh", "-c", script, STOPOVER]);
    pod.says("it reaps what is orphaned");
    assert_eq!(pod.stopover(&["run", "shown", "--wait"]).status, 0);
    pod.says("[shown] in the mirror");
    let run = scene.run("shown");
    assert_eq!(run["warnings"], serde_json::json!([]));
    let doctor = pod.stopover(&["doctor"]);
    assert!(doctor.stdout.lines().any(|line| line.starts_with("ok") && line.contains("mirror")), "{doctor:?}");

    let keeper: ProcessIdentity = serde_json::from_slice(&fs::read(scene.state().join("keeper.pid")).unwrap()).unwrap();
    pod.signal_within(keeper.pid.into(), "TERM");
    pod.says("no worker is at work");
    eventually("it has gone", PATIENCE, || (!scene.state().join("keeper.pid").exists()).then_some(()));
    assert!(ProcessIdentity::of(pod.keeper()).is_some(), "the first process is not the keeper's to end");
    pod.signal(Signal::KILL);
}
