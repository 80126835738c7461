//! The ledger goes away while a migration runs: for a moment, and for longer than its right to run.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use stopover::process::ProcessIdentity;

use super::{STEADY, go, pod, stamp};
use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};
use crate::support::server::{SECRET, Server};

/// Short enough to wait for its end.
const LEASE: &str = "4s";

const NAME: &str = "20261102_counts";

/// Prints numbers until the file `go` is there.
const COUNTS: &str =
    "i=0; until [ -e ../go ]; do i=$((i+1)); echo \"line $i\"; sleep 0.02; done; echo \"counted to $i\"";

fn counting(pod_name: &str, server: &Server) -> Scene {
    pod(pod_name, server.writer()).script(NAME, COUNTS)
}

fn log_file(scene: &Scene, run: &Value) -> PathBuf {
    scene.state().join("runs").join(format!("{}.log", run["id"].as_str().unwrap()))
}

/// Waits until the log of a run has a text in its file.
#[track_caller]
fn until_in_file(scene: &Scene, run: &Value, text: &str) {
    let path = log_file(scene, run);
    eventually(&format!("{text} in the log"), PATIENCE, || {
        fs::read_to_string(&path).ok().filter(|log| log.contains(text)).map(|_| ())
    });
}

/// Waits until a counting program has printed so many more lines.
#[track_caller]
fn until_counted(scene: &Scene, run: &Value, more: usize) {
    let count = || fs::read_to_string(log_file(scene, run)).unwrap_or_default().lines().count();
    let before = count();
    eventually("the program goes on", PATIENCE, || (count() >= before + more).then_some(()));
}

#[tokio::test]
async fn a_run_outlasts_a_ledger_that_is_away_for_less_than_its_lease_and_loses_no_line() {
    let mut server = Server::start().await;
    let (a, b) = (counting("pod-a", &server), counting("pod-b", &server));
    stamp(&a);
    a.launch(&[NAME]);
    let run = a.until(NAME, &["running"]);
    until_counted(&a, &run, 10);
    let seen_there = b.path().join("seen");
    let file = fs::File::create(&seen_there).unwrap();
    let mut follower = b.command(&["logs", NAME, "-f"]).stdout(file).stderr(Stdio::null()).spawn().unwrap();
    eventually("the follower follows", PATIENCE, || (fs::metadata(&seen_there).unwrap().len() > 0).then_some(()));
    server.freeze();
    until_counted(&a, &run, 100);
    server.thaw();
    server.kill();
    until_counted(&a, &run, 100);
    server.start_again();
    eventually("the ledger is back", PATIENCE, || (b.stopover(&["list"]).status == 0).then_some(()));
    until_counted(&a, &run, 10);
    go(&a);
    let run = a.until(NAME, &["succeeded"]);
    assert_eq!(run["attempt"], 1);

    let file = a.must(&["logs", NAME]);
    let printed: Vec<_> =
        file.lines().filter(|line| line.starts_with("line ") || line.starts_with("counted")).collect();
    let mut expected: Vec<_> = (1..printed.len()).map(|number| format!("line {number}")).collect();
    expected.push(format!("counted to {}", printed.len() - 1));
    assert_eq!(printed, expected);
    eventually("the archive has every line, too", PATIENCE, || (b.must(&["logs", NAME]) == file).then_some(()));
    assert!(follower.wait().unwrap().success());
    let seen = fs::read_to_string(&seen_there).unwrap();
    assert!(file.starts_with(&seen) && seen.contains("counted to"), "{seen}");
}

#[tokio::test]
async fn a_run_is_stopped_before_its_lease_ends_and_resumed_when_the_ledger_is_back() {
    let mut server = Server::start().await;
    let scene = pod("pod-a", server.writer()).variable("STOPOVER_LEASE", LEASE);
    stamp(&scene);
    scene.launch(&[STEADY]);
    let run = scene.until(STEADY, &["running"]);
    until_in_file(&scene, &run, "attempt 1");
    server.kill();
    until_in_file(&scene, &run, " stdout F stopped");
    let lease_ended = {
        let elsewhere = server.start_elsewhere();
        lease_end(&onlooker(&elsewhere).until(STEADY, &["lost"]))
    };
    let log = fs::read_to_string(log_file(&scene, &run)).unwrap();
    let last_word = log.lines().find(|line| line.ends_with(" stdout F stopped")).unwrap();
    let stopped: DateTime<Utc> = last_word[..24].parse().unwrap();
    assert!(stopped < lease_ended, "stopped at {stopped}, its lease ended at {lease_ended}");
    assert!(log.contains("the ledger cannot be reached, and the right to run will end"), "{log}");
    assert!(!log.contains(SECRET), "{log}");

    server.start_again();
    let run = scene.until(STEADY, &["interrupted"]);
    assert_eq!(run["checkpoint"]["at"], 7, "what was said while the ledger was away is not lost");
    go(&scene);
    scene.must(&["resume", STEADY, "--wait"]);
    let run = scene.run(STEADY);
    assert_eq!((&run["state"], &run["attempt"]), (&"succeeded".into(), &2.into()));
    assert!(scene.must(&["logs", STEADY]).contains("attempt 2 from {\"at\":7}"));
}

#[tokio::test]
async fn a_program_that_will_not_stop_is_killed_before_its_lease_ends() {
    let mut server = Server::start().await;
    let stubborn = "trap '' TERM; echo ready; while :; do date -u +%Y-%m-%dT%H:%M:%S.%NZ >>../alive; sleep 0.02; done";
    let scene = pod("pod-a", server.writer()).script(NAME, stubborn).variable("STOPOVER_LEASE", LEASE);
    stamp(&scene);
    scene.launch(&[NAME]);
    let run = scene.until(NAME, &["running"]);
    until_in_file(&scene, &run, "ready");
    server.kill();
    until_in_file(&scene, &run, "SIGKILL to the program");
    let lease_ended = {
        let elsewhere = server.start_elsewhere();
        lease_end(&onlooker(&elsewhere).until(NAME, &["lost"]))
    };
    let alive = fs::read_to_string(scene.path().join("alive")).unwrap();
    let last_alive: DateTime<Utc> = alive.lines().last().unwrap().parse().unwrap();
    assert!(last_alive < lease_ended, "alive at {last_alive}, its lease ended at {lease_ended}");
    server.start_again();
    scene.until(NAME, &["interrupted"]);
}

#[tokio::test]
async fn a_worker_that_comes_back_after_another_pod_took_over_changes_nothing() {
    let mut server = Server::start().await;
    let a = pod("pod-a", server.writer()).variable("STOPOVER_LEASE", LEASE);
    stamp(&a);
    a.launch(&[STEADY]);
    let worker = a.until(STEADY, &["running"]);
    until_in_file(&a, &worker, "attempt 1");
    server.kill();
    until_in_file(&a, &worker, " stdout F stopped");
    let taken_over = {
        let elsewhere = server.start_elsewhere();
        let b = onlooker(&elsewhere);
        b.until(STEADY, &["lost"]);
        go(&b);
        b.must(&["resume", STEADY, "--wait"]);
        b.run(STEADY)
    };
    assert_eq!((&taken_over["attempt"], &taken_over["state"]), (&2.into(), &"succeeded".into()));

    server.start_again();
    let pid = i32::try_from(worker["pid"].as_i64().unwrap()).unwrap();
    eventually("the worker that came back is gone", PATIENCE, || ProcessIdentity::of(pid).is_none().then_some(()));
    assert_eq!(a.run(STEADY), taken_over);
}

#[tokio::test]
async fn who_waits_for_a_run_is_told_once_that_the_ledger_is_away() {
    let mut server = Server::start().await;
    let scene = pod("pod-a", server.writer());
    stamp(&scene);
    let mut waiting = scene.command(&["run", STEADY, "--wait"]);
    let mut waiting = waiting.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let run = scene.until(STEADY, &["running"]);
    until_in_file(&scene, &run, "attempt 1");
    server.stop();
    let mut words = BufReader::new(waiting.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first = words.find(|line| line.starts_with("waiting: ")).unwrap();
    assert!(first.contains("cannot be reached") && !first.contains(SECRET), "{first}");
    // Long enough for it to look again, which takes 5 s.
    std::thread::sleep(Duration::from_secs(7));
    server.start_again();
    go(&scene);
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    let rest: Vec<_> = words.collect();
    assert!(!rest.iter().any(|line| line.starts_with("waiting: ")), "{rest:?}");
}

#[tokio::test]
async fn a_command_on_a_server_that_does_not_answer_ends_and_says_so() {
    let server = Server::start().await;
    let scene = pod("pod-a", server.writer());
    stamp(&scene);
    server.freeze();
    for arguments in [&["list"][..], &["run", STEADY]] {
        let start = Instant::now();
        let ended = scene.stopover(arguments);
        assert_eq!(ended.status, 6, "{ended:?}");
        assert!(ended.stderr.contains("***@127.0.0.1") && !ended.stderr.contains(SECRET), "{ended:?}");
        assert!(start.elapsed() < Duration::from_secs(15), "{arguments:?} took {:?}", start.elapsed());
    }
    server.thaw();
    assert!(scene.json(&["runs", "--json"]).as_array().unwrap().is_empty());
}

/// A pod that reaches the ledger where the worker does not, so that what it finds there stays.
fn onlooker(server: &Server) -> Scene {
    let pod = pod("pod-b", server.writer());
    eventually("the server is ready", PATIENCE, || (pod.stopover(&["list"]).status == 0).then_some(()));
    pod
}

/// Until when the lease of a run held, by what stands in the ledger.
fn lease_end(run: &Value) -> DateTime<Utc> {
    run["heartbeatAt"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(4)
}
