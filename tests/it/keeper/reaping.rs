//! Nothing that dies in the pod stays, whatever dies beside it.

use std::process::Command;

use crate::support::eventually;
use crate::support::pod::Pod;
use crate::support::scene::{PATIENCE, Scene};

/// Pid and state of every process in a pod but the one that looks.
fn states(pod: &Pod) -> Vec<(i32, char)> {
    let output = pod.exec(&["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null; true"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let parse = |line: &str| Some((line.split(' ').next()?.parse().ok()?, line.rsplit_once(") ")?.1.chars().next()?));
    let all: Vec<(i32, char)> = text.lines().filter_map(parse).collect();
    // The shell and `cat`.
    all.into_iter().filter(|&(_, state)| state != 'R').collect()
}

fn zombies(pod: &Pod) -> usize {
    states(pod).iter().filter(|&&(_, state)| state == 'Z').count()
}

#[test]
fn orphans_of_a_fork_storm_are_reaped_while_runs_are_launched_and_no_exit_status_is_lost() {
    let scene = Scene::new().script("fine", "echo done").script("fails", "exit 3");
    let pod = Pod::new(&scene, &[]).ready();
    // Each leaves a process behind that is nobody's but the keeper's; some outlive their parents, some do not.
    let storm = "i=0; while [ $i -lt 1500 ]; do ( : & ( sleep 0.01 & ) ); i=$((i+1)); done";
    let mut storms: Vec<_> = (0..2).map(|_| pod.exec(&["sh", "-c", storm]).spawn().unwrap()).collect();
    let mut launches = 0;
    while launches < 4 || storms.iter_mut().any(|storm| storm.try_wait().unwrap().is_none()) {
        let ended = pod.stopover(&["run", "fine", "--rerun", "--wait"]);
        assert_eq!(ended.status, 0, "{ended:?}");
        let ended = pod.stopover(&["run", "fails", "--wait"]);
        assert_eq!(ended.status, 1, "{ended:?}");
        assert_eq!(scene.run("fails")["error"]["exitStatus"], 3);
        launches += 1;
    }
    eventually("no zombie is left", PATIENCE, || (zombies(&pod) == 0).then_some(()));
}

#[test]
fn an_orphan_of_a_keeper_that_is_not_the_first_process_is_reaped_by_it() {
    let scene = Scene::new();
    // What the shell starts before it becomes the keeper is the keeper's child, and what that leaves behind its orphan.
    let script = "( ( sleep 0.3; echo $PPID > parent ) & sleep 0.1 ) & exec \"$0\" keep";
    let pod = Pod::of(&scene, &["sh", "-c", "sh -c \"$1\" \"$0\" & wait", crate::support::scene::STOPOVER, script]);
    pod.says("it reaps what is orphaned");
    let not_first = pod.output().contains("pid 1:");
    assert!(!not_first, "{}", pod.output());
    eventually("the orphan has run", PATIENCE, || scene.path().join("parent").exists().then_some(()));
    eventually("no zombie is left", PATIENCE, || (zombies(&pod) == 0).then_some(()));
}

#[test]
fn the_machine_has_what_these_tests_need() {
    for (tool, package) in [("unshare", "util-linux"), ("nsenter", "util-linux"), ("mount", "mount")] {
        assert!(Command::new(tool).arg("--version").output().is_ok(), "{tool} is missing: apt-get install {package}");
    }
}
