//! What a pod does about runs by itself when it starts.

use std::fs;

use rustix::process::Signal;

use super::{go, until_printed};
use crate::support::eventually;
use crate::support::pod::Pod;
use crate::support::scene::{PATIENCE, Scene};

/// A migration that goes on by itself; its program stops at its checkpoint when it is asked to, and succeeds after [`go`].
fn going_on() -> Scene {
    let scene = Scene::new().manifest("steady", "command: [sh, steady.sh]\nresume: auto\n");
    let program = "trap 'echo \"::stopover {\\\"checkpoint\\\":{\\\"at\\\":8}}\"; exit 75' TERM\n\
                   echo \"from ${STOPOVER_CHECKPOINT:-the start}\"\nwhile [ ! -e go ]; do sleep 0.05; done\n";
    fs::write(scene.path().join("migrations/steady.sh"), program).unwrap();
    scene
}

#[test]
fn a_run_that_the_end_of_one_pod_interrupts_goes_on_in_the_next_from_its_checkpoint() {
    let scene = going_on();
    let run = {
        let mut old = Pod::new(&scene, &["--grace", "30s"]).ready();
        let run = old.launch(&["steady"]);
        until_printed(&scene, &run, "from the start");
        old.shut_down();
        run
    };
    assert_eq!(scene.run("steady")["state"], "interrupted");
    let scene = scene.variable("STOPOVER_POD", "pod-b");
    let mut new = Pod::new(&scene, &["--grace", "30s"]).ready();
    until_printed(&scene, &run, "from {\"at\":8}");
    let now = scene.run("steady");
    assert_eq!((&now["pod"], &now["attempt"]), (&"pod-b".into(), &2.into()));
    assert!(new.output().contains("steady run "), "it says so: {}", new.output());
    go(&scene);
    scene.until("steady", &["succeeded"]);
    new.shut_down();
}

#[test]
fn what_looks_after_runs_is_started_again_when_it_is_killed() {
    let scene = going_on();
    let pod = Pod::new(&scene, &[]).ready();
    let recovery = || {
        let is_it =
            |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0recover\0"));
        pod.processes().into_iter().find(is_it)
    };
    let first = eventually("it is there", PATIENCE, recovery);
    rustix::process::kill_process(rustix::process::Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    pod.says("is not looked after: it ended with signal 9; it is tried again");
    let second = eventually("it is there again", PATIENCE, recovery);
    assert_ne!(first, second);
}
