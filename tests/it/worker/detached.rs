//! A worker is on its own: nothing of where it was launched from reaches it.

use std::fs;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use stopover::process::ProcessIdentity;

use super::{WAIT_FOR_GO, go, until_dead, until_printed, worker_of};
use crate::support::eventually;
use crate::support::scene::{PATIENCE, STOPOVER, Scene};

fn waiting() -> Scene {
    Scene::new().script("waits", &format!("echo on; {WAIT_FOR_GO}; echo off"))
}

/// Parent, session and controlling terminal of a process, from `/proc/PID/stat`.
fn ties(pid: i32) -> (i32, i32, i32) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<i32> =
        stat.rsplit_once(") ").unwrap().1.split(' ').skip(1).take(4).map(|field| field.parse().unwrap()).collect();
    (fields[0], fields[2], fields[3])
}

#[test]
fn a_run_survives_the_death_of_its_terminal_and_of_the_whole_session_that_launched_it() {
    let scene = waiting();
    let pty = native_pty_system().openpty(PtySize::default()).unwrap();
    let mut shell = CommandBuilder::new("sh");
    shell.args(["-c", "\"$0\" run waits; sleep 1000", STOPOVER]);
    shell.env_clear();
    for (name, value) in scene.environment() {
        shell.env(name, value);
    }
    let mut shell = pty.slave.spawn_command(shell).unwrap();
    drop(pty.slave);
    let run = until_printed(&scene, "waits", "on");
    let worker = worker_of(&run);
    let (_, session, terminal) = ties(worker);
    assert_eq!((session, terminal), (worker, 0), "a session of its own, and no terminal");

    let leader = i32::try_from(shell.process_id().unwrap()).unwrap();
    shell.kill().unwrap();
    shell.wait().unwrap();
    drop(pty.master);
    until_dead("the session's leader", leader);
    assert!(ProcessIdentity::of(worker).is_some(), "the worker lives");
    go(&scene);
    scene.until("waits", &["succeeded"]);
}

#[test]
fn a_worker_is_nobody_s_child_once_it_is_launched() {
    let scene = waiting();
    scene.launch(&["waits"]);
    let worker = worker_of(&until_printed(&scene, "waits", "on"));
    let (parent, session, terminal) = ties(worker);
    // PID 1, or whoever reaps for this test.
    let reaper = ties(parent).0;
    assert!(parent == 1 || reaper <= 1 || parent != i32::try_from(std::process::id()).unwrap(), "parent {parent}");
    assert_eq!((session, terminal), (worker, 0));
    assert_eq!(fs::read_link(format!("/proc/{worker}/cwd")).unwrap().to_str(), Some("/"));
    go(&scene);
    scene.until("waits", &["succeeded"]);
}

#[test]
fn nothing_that_the_launcher_has_open_stays_open() {
    let scene = waiting();
    let held = scene.path().join("held-open");
    let script = format!("exec 7>{}; exec 8>&7 9>&1; exec \"$0\" run waits", held.display());
    let output = std::process::Command::new("sh")
        .args(["-c", &script, STOPOVER])
        .env_clear()
        .envs(scene.environment())
        .output()
        .unwrap();
    // That this returned at all shows that the worker does not hold the pipe of descriptor 9.
    assert!(output.status.success(), "{output:?}");
    let worker = worker_of(&until_printed(&scene, "waits", "on"));
    let open = open_files(worker);
    assert!(!open.iter().any(|file| file.contains("held-open")), "{open:?}");
    let stdio = |number| fs::read_link(format!("/proc/{worker}/fd/{number}")).unwrap().display().to_string();
    assert_eq!(stdio(0), "/dev/null");
    assert!(stdio(1).starts_with(&scene.state().join("workers").display().to_string()) && stdio(1) == stdio(2));
    go(&scene);
    scene.until("waits", &["succeeded"]);
}

#[test]
fn a_relative_ledger_and_mirror_mean_the_same_to_the_worker() {
    let scene = waiting().variable("STOPOVER_MIRROR", "./shown.txt").variable("STOPOVER_LEDGER", "sqlite:./here.db");
    fs::write(scene.path().join("shown.txt"), "").unwrap();
    scene.launch(&["waits"]);
    until_printed(&scene, "waits", "on");
    go(&scene);
    scene.until("waits", &["succeeded"]);
    assert!(fs::read_to_string(scene.path().join("shown.txt")).unwrap().contains("[waits] on"));
}

#[test]
fn a_worker_leaves_nothing_behind() {
    let scene = waiting();
    scene.launch(&["waits"]);
    let worker = worker_of(&until_printed(&scene, "waits", "on"));
    go(&scene);
    scene.until("waits", &["succeeded"]);
    until_dead("the worker", worker);
    eventually("its guard is gone", PATIENCE, || {
        stopover::process::members_of_session(worker).is_empty().then_some(())
    });
}

#[test]
fn a_binary_that_was_replaced_still_starts_workers() {
    let scene = waiting();
    let copy = scene.path().join("stopover-copy");
    fs::copy(STOPOVER, &copy).unwrap();
    let mut launcher = std::process::Command::new("sh");
    // The shell holds the launch back until the file is gone; `/proc/self/exe` leads to it all the same.
    launcher.args(["-c", "exec 5<\"$0\"; rm \"$0\"; exec /proc/self/fd/5 run waits"]).arg(&copy);
    let output = launcher.env_clear().envs(scene.environment()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    until_printed(&scene, "waits", "on");
    go(&scene);
    scene.until("waits", &["succeeded"]);
}

fn open_files(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string())).collect()
}
