//! Who cannot stop is killed, and what the killed could not report is reported for them.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use stopover::process::{ProcessIdentity, members_of_session};

use super::{POLITE, RUDE, STUBBORN, until_printed};
use crate::support::eventually;
use crate::support::mongo::Database;
use crate::support::pod::Pod;
use crate::support::scene::{PATIENCE, STOPOVER, Scene};

#[test]
fn a_frozen_worker_is_killed_with_its_program_and_reported_as_interrupted() {
    let scene = Scene::new().script("frozen", "echo $$ > program; echo on; exec sleep 1000");
    let mut pod = Pod::shared(&scene, &["--grace", "8s"]).ready();
    let run = pod.launch(&["frozen"]);
    until_printed(&scene, &run, "on");
    let worker = i32::try_from(scene.run("frozen")["pid"].as_i64().unwrap()).unwrap();
    let program: i32 = fs::read_to_string(scene.path().join("migrations/program")).unwrap().trim().parse().unwrap();
    pod.signal_within(worker.into(), "STOP");
    pod.shut_down();
    let output = pod.output();
    assert!(output.contains("did not stop in time") && output.contains("was killed after"), "{output}");
    assert!(output.contains("is recorded as interrupted") && output.contains("1 killed"), "{output}");
    assert_eq!(ProcessIdentity::of(program), None, "its program is gone");
    assert_eq!(members_of_session(worker), [0; 0], "and its guard");
    let run = scene.run("frozen");
    assert_eq!((&run["state"], &run["reason"]), (&"interrupted".into(), &"its pod was shut down".into()));
}

#[test]
fn what_a_worker_that_dies_while_it_stops_has_started_is_ended_before_its_run_is_reported() {
    let scene = Scene::new().script("stubborn", &format!("echo $$ > program; {STUBBORN}"));
    let mut pod = Pod::shared(&scene, &["--grace", "8s"]).ready();
    let run = pod.launch(&["stubborn"]);
    until_printed(&scene, &run, "on");
    let worker = i32::try_from(scene.run("stubborn")["pid"].as_i64().unwrap()).unwrap();
    let program: i32 = fs::read_to_string(scene.path().join("migrations/program")).unwrap().trim().parse().unwrap();
    let is_guard = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0guard\0"));
    let guard = members_of_session(worker).into_iter().find(is_guard).expect("it has a guard");
    pod.signal(Signal::TERM);
    pod.says("1 worker is asked to stop");
    for pid in [guard, worker] {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
    assert!(pod.ends().success(), "{}", pod.output());
    assert_eq!(ProcessIdentity::of(program), None, "{}", pod.output());
    let output = pod.output();
    let at = |what: &str| output.find(what).unwrap_or_else(|| panic!("{what} in {output}"));
    assert!(at("did not stop in time") < at("is recorded as interrupted"), "{output}");
    assert_eq!(scene.run("stubborn")["state"], "interrupted");
}

#[test]
fn a_frozen_worker_with_a_real_mongodb_is_reported_to_it_in_time() {
    let database = Database::new();
    let scene = Scene::new().script("frozen", "echo on; exec sleep 1000").variable("MONGODB_URI", database.uri());
    scene.must(&["init", "--environment", "staging"]);
    let mut pod = Pod::new(&scene, &["--grace", "12s"]).ready();
    let run = pod.launch(&["frozen"]);
    until_printed(&scene, &run, "on");
    pod.signal_within(scene.run("frozen")["pid"].as_i64().unwrap(), "STOP");
    pod.shut_down();
    assert!(pod.output().contains("is recorded as interrupted"), "{}", pod.output());
    assert_eq!(scene.run("frozen")["reason"], "its pod was shut down");
}

#[test]
fn a_worker_that_cannot_reach_its_ledger_in_time_is_reported_once_the_ledger_is_back() {
    let scene = Scene::new().script("polite", POLITE);
    let mut pod = Pod::new(&scene, &["--grace", "12s"]).ready();
    let run = pod.launch(&["polite"]);
    until_printed(&scene, &run, "on");
    let ledger = rusqlite::Connection::open(scene.state().join("ledger.db")).unwrap();
    ledger.busy_timeout(PATIENCE).unwrap();
    ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
    pod.signal(Signal::TERM);
    pod.says("did not stop in time");
    ledger.execute_batch("ROLLBACK").unwrap();
    assert!(pod.ends().success(), "{}", pod.output());
    assert_eq!(scene.run("polite")["state"], "interrupted", "{}", pod.output());
}

#[test]
fn what_an_operator_asked_for_holds_when_a_worker_is_reported_dead() {
    let scene = Scene::new()
        .script("cancelled", RUDE)
        .script("left", RUDE)
        .script("done", "true")
        .variable("STOPOVER_GRACE", "10m");
    let (cancelled, left) = (scene.launch(&["cancelled"]), scene.launch(&["left"]));
    let done = scene.launch(&["done", "--wait"]);
    for (name, run) in [("cancelled", &cancelled), ("left", &left)] {
        until_printed(&scene, run, "on");
        if name == "cancelled" {
            scene.must(&["cancel", run]);
        }
        let worker = i32::try_from(scene.run(name)["pid"].as_i64().unwrap()).unwrap();
        kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    }
    let attempts = [&cancelled, &left, &done].map(|run| format!("{run}:1"));
    let other = format!("{left}:2");
    scene.must(&["interrupted", "--within", "30s", &other]);
    assert_ne!(scene.run("left")["state"], "interrupted", "another attempt's end says nothing of this one");
    let said = scene.must(&["interrupted", "--within", "30s", &attempts[0], &attempts[1], &attempts[2]]);
    assert!(said.contains("cancelled") && said.contains("recorded as interrupted"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    let states = ["cancelled", "left", "done"].map(|name| scene.run(name)["state"].clone());
    assert_eq!(states, ["cancelled", "interrupted", "succeeded"]);
}

#[test]
fn a_report_that_cannot_be_made_in_time_is_given_up() {
    let scene = Scene::new().script("done", "true");
    let run = scene.launch(&["done", "--wait"]);
    let ledger = rusqlite::Connection::open(scene.state().join("ledger.db")).unwrap();
    ledger.busy_timeout(PATIENCE).unwrap();
    ledger.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let ended = scene.stopover(&["interrupted", "--within", "300ms", &format!("{run}:1")]);
    drop(ledger);
    assert!(ended.status == 1 && ended.stderr.contains("will read as lost"), "{ended:?}");
}

#[test]
fn a_keeper_that_is_killed_as_the_first_process_takes_all_with_it_and_the_runs_can_be_resumed() {
    let script = "[ $STOPOVER_ATTEMPT = 2 ] && exit 0; echo on; exec sleep 1000";
    let scene = Scene::new().script("work", script).variable("STOPOVER_LEASE", "3s");
    let mut pod = Pod::new(&scene, &[]).ready();
    let run = pod.launch(&["work"]);
    until_printed(&scene, &run, "on");
    pod.signal(Signal::KILL);
    assert!(!pod.ends().success());
    scene.until("work", &["lost"]);
    let next = Pod::new(&scene, &[]).ready();
    assert_eq!(next.stopover(&["resume", &run, "--wait"]).status, 0);
}

#[test]
fn workers_go_on_without_their_keeper_where_it_is_not_the_first_process_and_obey_the_next_one() {
    let scene = Scene::new().script("polite", POLITE);
    let mut first = Pod::shared(&scene, &[]).ready();
    let run = first.launch(&["polite"]);
    until_printed(&scene, &run, "on");
    first.signal(Signal::KILL);
    assert!(!first.ends().success());
    assert!(scene.state().join("keeper.pid").exists(), "it could not take it away");
    assert_eq!(scene.run("polite")["state"], "running");
    let worker = first.processes().into_iter().next().expect("the worker lives");
    // In the container in which the worker still is.
    let mut next = Command::new("nsenter");
    next.args(first.entrance_through(worker)).args([STOPOVER, "keep", "--grace", "20s"]);
    let next = next.env_clear().envs(scene.environment()).stdout(Stdio::piped()).spawn().unwrap();
    let pid = i32::try_from(next.id()).unwrap();
    eventually("the new keeper has replaced the file", PATIENCE, || {
        fs::read_to_string(scene.state().join("keeper.pid")).ok()?.contains(&format!(":{pid},")).then_some(())
    });
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let output = next.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 worker stopped in"), "{said}");
    assert_eq!(scene.run("polite")["state"], "interrupted");
}
