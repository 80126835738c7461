//! Pause, cancel, shutdown, and everything that dies on the way.

use std::time::Duration;

use rustix::process::Signal;

use super::{WAIT_FOR_GO, lines, number_in, signal, until_dead, until_printed, worker_of};
use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};

/// Stops at its checkpoint when it is asked to.
const POLITE: &str = r#"
trap 'echo "::stopover {\"checkpoint\":{\"at\":8}}"; exit 75' TERM
echo "from ${STOPOVER_CHECKPOINT:-the start}"
[ -n "$STOPOVER_CHECKPOINT" ] && exit 0
while :; do sleep 0.05; done"#;

#[test]
fn a_pause_stops_at_the_checkpoint_and_a_resume_goes_on_from_it() {
    let scene = Scene::new().script("polite", POLITE);
    let id = scene.launch(&["polite"]);
    until_printed(&scene, "polite", "from the start");
    scene.must(&["pause", &id]);
    let run = scene.until("polite", &["paused"]);
    assert_eq!(run["checkpoint"], serde_json::json!({ "at": 8 }), "said on the way out, and not lost");
    until_dead("the worker of a paused run", worker_of(&run));
    scene.must(&["resume", &id]);
    let run = scene.until("polite", &["succeeded"]);
    assert_eq!(lines(&scene, &run, "stdout"), ["from the start", r#"from {"at":8}"#]);
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_with_all_it_has_started_when_the_grace_is_over() {
    let script = "trap '' TERM; sleep 1000 & echo $! > below; echo on; while :; do sleep 0.05; done";
    let scene = Scene::new().script("stubborn", script).variable("STOPOVER_GRACE", "1s");
    let id = scene.launch(&["stubborn"]);
    until_printed(&scene, "stubborn", "on");
    scene.must(&["cancel", &id]);
    let run = scene.until("stubborn", &["cancelled"]);
    until_dead("what it had started", number_in(&scene, "below"));
    let said = lines(&scene, &run, "system").join("\n");
    let at = |what: &str| said.find(what).unwrap_or_else(|| panic!("{what} in {said}"));
    assert!(at("SIGTERM to the program: an operator cancelled it") < at("SIGKILL"));
    assert!(at("SIGKILL") < at(": cancelled"));
}

#[test]
fn a_program_that_does_all_its_work_although_it_was_asked_to_stop_has_succeeded() {
    let scene = Scene::new().script("eager", "trap 'exit 0' TERM; echo on; while :; do sleep 0.05; done");
    let id = scene.launch(&["eager"]);
    until_printed(&scene, "eager", "on");
    scene.must(&["pause", &id]);
    scene.until("eager", &["succeeded"]);
}

#[test]
fn a_stopped_program_can_be_cancelled() {
    let scene = Scene::new().script("frozen", "echo on; kill -STOP $$; sleep 1000").variable("STOPOVER_GRACE", "20s");
    let id = scene.launch(&["frozen"]);
    until_printed(&scene, "frozen", "on");
    scene.must(&["cancel", &id]);
    scene.until("frozen", &["cancelled"]);
}

#[test]
fn a_worker_that_is_asked_to_end_interrupts_its_run() {
    let scene = Scene::new().script("polite", POLITE);
    scene.launch(&["polite"]);
    let run = until_printed(&scene, "polite", "from the start");
    signal(worker_of(&run), Signal::TERM);
    let run = scene.until("polite", &["interrupted"]);
    assert_eq!(run["reason"], "its pod was shut down");
    assert_eq!(run["checkpoint"], serde_json::json!({ "at": 8 }));
}

#[test]
fn a_hangup_means_nothing_to_a_worker_and_everything_to_its_program() {
    let script = format!("trap 'echo hung up' HUP; echo on; {WAIT_FOR_GO}");
    let scene = Scene::new().script("steady", &script);
    // Launched by a parent that ignores hang-ups, as `nohup` does.
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" run steady", crate::support::scene::STOPOVER])
        .env_clear()
        .envs(scene.environment())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let run = until_printed(&scene, "steady", "on");
    let worker = worker_of(&run);
    signal(worker, Signal::HUP);
    let program = children_of(worker).into_iter().find(|&pid| comm(pid).starts_with("steady")).expect("it runs");
    signal(program, Signal::HUP);
    until_printed(&scene, "steady", "hung up");
    super::go(&scene);
    scene.until("steady", &["succeeded"]);
}

#[test]
fn what_a_program_leaves_running_is_ended_and_does_not_hold_the_run_up() {
    let script = "sleep 1000 & echo $! > quiet; setsid sleep 1000 & echo $! > away; echo end";
    let scene = Scene::new().script("litter", script);
    scene.launch(&["litter"]);
    let run = scene.until("litter", &["succeeded"]);
    until_dead("a process of its group", number_in(&scene, "quiet"));
    until_dead("a process of another session", number_in(&scene, "away"));
    let said = lines(&scene, &run, "system").join("\n");
    assert!(
        said.contains("output open; it is no longer read") && said.contains("2 processes were left behind and ended"),
        "{said}"
    );
}

#[test]
fn a_killed_worker_takes_its_program_with_it_and_the_run_reads_as_lost() {
    let script = "sleep 1000 & echo $! > below; echo $$ > program; echo on; wait";
    let scene = Scene::new().script("orphan", script).variable("STOPOVER_LEASE", "3s");
    scene.launch(&["orphan"]);
    let run = until_printed(&scene, "orphan", "on");
    signal(worker_of(&run), Signal::KILL);
    until_dead("the program", number_in(&scene, "program"));
    until_dead("what it had started", number_in(&scene, "below"));
    scene.until("orphan", &["lost"]);
}

#[test]
fn a_program_is_stopped_before_its_lease_ends_when_the_ledger_is_away() {
    let scene = Scene::new().script("polite", POLITE).variable("STOPOVER_LEASE", "4s").variable("STOPOVER_GRACE", "1m");
    scene.launch(&["polite"]);
    let run = until_printed(&scene, "polite", "from the start");
    let ledger = rusqlite::Connection::open(scene.state().join("ledger.db")).unwrap();
    ledger.busy_timeout(Duration::from_secs(10)).unwrap();
    ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
    eventually("the program is stopped", PATIENCE, || {
        lines(&scene, &run, "system").iter().any(|line| line.contains("the ledger cannot be reached")).then_some(())
    });
    eventually("the end is known here", PATIENCE, || {
        lines(&scene, &run, "system").iter().any(|line| line.contains(": interrupted")).then_some(())
    });
    ledger.execute_batch("ROLLBACK").unwrap();
    let run = scene.until("polite", &["interrupted"]);
    assert_eq!(run["reason"], "its worker could not reach the ledger in time");
    assert_eq!(run["checkpoint"], serde_json::json!({ "at": 8 }), "reported once the ledger is back");
}

/// Ignores SIGTERM, and is to be given an hour by its worker.
fn stubborn() -> Scene {
    let script = "trap '' TERM; echo $$ > program; echo on; while :; do sleep 0.05; done";
    Scene::new().script("stubborn", script).variable("STOPOVER_GRACE", "1h")
}

/// Asks by force, as an operator whose own grace is short.
fn force(scene: &Scene, verb: &str) -> crate::support::scene::Ended {
    let arguments = [verb, "stubborn", "--force", "--confirm", "stubborn", "--operator", "grace"];
    let mut command = scene.command(&arguments);
    crate::support::scene::Ended::of(&command.env("STOPOVER_GRACE", "1ms").output().unwrap())
}

fn told(run: &serde_json::Value) -> Vec<(&str, &str)> {
    let events = run["events"].as_array().unwrap();
    events.iter().map(|event| (event["kind"].as_str().unwrap(), event["text"].as_str().unwrap())).collect()
}

#[test]
fn a_worker_answers_that_it_has_heard() {
    let takes_its_time = format!("trap '{WAIT_FOR_GO}; exit 75' TERM; echo on; while :; do sleep 0.05; done");
    let scene = Scene::new().script("polite", &takes_its_time).variable("STOPOVER_GRACE", "5m");
    scene.launch(&["polite"]);
    until_printed(&scene, "polite", "on");
    scene.must(&["pause", "polite"]);
    eventually("it answers while its program stops", PATIENCE, || {
        let run = scene.run("polite");
        (run["state"] == "pausing" && run["wish"]["heardAt"].is_string()).then_some(())
    });
    super::go(&scene);
    let run = scene.until("polite", &["paused"]);
    let told = told(&run);
    let kinds: Vec<_> = told.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["launched", "claimed", "pauseRequested", "acknowledged", "paused"]);
    assert_eq!(told[3].1, "attempt 1 heard it: its program has 5 min to stop at a checkpoint");
}

#[test]
fn a_program_that_does_not_stop_in_time_is_ended_by_force() {
    let scene = stubborn();
    scene.launch(&["stubborn"]);
    until_printed(&scene, "stubborn", "on");
    let ended = force(&scene, "cancel");
    assert_eq!(ended.status, 7, "nobody asked it yet: {}", ended.stderr);
    scene.must(&["cancel", "stubborn"]);
    let ended = scene.stopover(&["cancel", "stubborn", "--force", "--confirm", "stubborn"]);
    assert_eq!(ended.status, 7, "{}", ended.stderr);
    assert!(ended.stderr.contains("left to stop at a checkpoint"), "{}", ended.stderr);
    let ended = scene.stopover(&["cancel", "stubborn", "--force", "--confirm", "another"]);
    assert!(ended.status == 7 && ended.stderr.contains("the name typed is not `stubborn`"), "{}", ended.stderr);
    let ended = scene.stopover(&["cancel", "stubborn", "--force"]);
    assert!(ended.status == 7 && ended.stderr.contains("--confirm stubborn"), "{}", ended.stderr);

    eventually("the worker has heard the first", PATIENCE, || {
        told(&scene.run("stubborn")).iter().any(|(kind, _)| *kind == "acknowledged").then_some(())
    });
    let ended = force(&scene, "cancel");
    assert_eq!(ended.status, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("is forced to stop") && ended.stdout.contains("is cancelled"), "{}", ended.stdout);
    let run = scene.run("stubborn");
    assert_eq!((&run["state"], &run["reason"]), (&"cancelled".into(), &"cancelled by ada".into()));
    until_dead("the program", number_in(&scene, "program"));
    let kinds: Vec<_> = told(&run).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds[2..4], ["cancelRequested", "acknowledged"]);
    assert!(kinds.contains(&"forceRequested") && kinds.last() == Some(&"cancelled"), "{kinds:?}");
    let said = lines(&scene, &run, "system").join("\n");
    assert!(said.contains("an operator forces it to cancel"), "{said}");
}

#[test]
fn a_pause_by_force_leaves_a_run_that_can_be_resumed() {
    let scene = stubborn();
    scene.launch(&["stubborn"]);
    until_printed(&scene, "stubborn", "on");
    scene.must(&["pause", "stubborn"]);
    let ended = force(&scene, "pause");
    assert_eq!(ended.status, 0, "{}{}", ended.stdout, ended.stderr);
    assert_eq!(scene.run("stubborn")["state"], "paused");
}

#[test]
fn a_frozen_worker_is_cancelled_by_force_once_its_lease_is_over() {
    let scene = stubborn().variable("STOPOVER_LEASE", "4s");
    scene.launch(&["stubborn"]);
    let worker = worker_of(&until_printed(&scene, "stubborn", "on"));
    signal(worker, Signal::STOP);
    scene.must(&["cancel", "stubborn"]);
    let ended = force(&scene, "cancel");
    assert_eq!(ended.status, 0, "{}{}", ended.stdout, ended.stderr);
    assert_eq!(scene.run("stubborn")["state"], "cancelled");
    until_dead("the program", number_in(&scene, "program"));
    until_dead("the worker", worker);
}

fn children_of(parent: i32) -> Vec<i32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn comm(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}
