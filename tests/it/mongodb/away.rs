//! The ledger goes away while a migration runs: for a moment, and for longer than its right to run.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{go, pod, stamp};
use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};
use crate::support::server::{PASSWORD, Server};

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
}

#[tokio::test]
async fn a_run_is_stopped_before_its_lease_ends_and_resumed_when_the_ledger_is_back() {
    let mut server = Server::start().await;
    let scene = pod("pod-a", server.writer()).variable("STOPOVER_LEASE", "4s");
    stamp(&scene);
    scene.launch(&["20261101_steady"]);
    let run = scene.until("20261101_steady", &["running"]);
    until_in_file(&scene, &run, "attempt 1");
    server.kill();
    until_in_file(&scene, &run, " stdout F stopped");
    {
        // What stands in the ledger, read where the worker cannot reach it to change it.
        let elsewhere = server.start_elsewhere();
        let onlooker = pod("pod-b", elsewhere.writer());
        let ledger_is_there = || (onlooker.stopover(&["list"]).status == 0).then_some(());
        eventually("the server reads its files", PATIENCE, ledger_is_there);
        let lost = onlooker.until("20261101_steady", &["lost"]);
        let renewed = chrono::DateTime::parse_from_rfc3339(lost["heartbeatAt"].as_str().unwrap()).unwrap();
        let log = fs::read_to_string(log_file(&scene, &run)).unwrap();
        let last_word = log.lines().find(|line| line.ends_with(" stdout F stopped")).unwrap();
        let stopped = chrono::DateTime::parse_from_rfc3339(&last_word[..24]).unwrap();
        assert!(stopped < renewed + chrono::TimeDelta::seconds(4), "stopped at {stopped}, renewed at {renewed}");
        assert!(log.contains("the ledger cannot be reached, and the right to run will end"), "{log}");
        assert!(!log.contains(PASSWORD), "{log}");
    }
    server.start_again();
    let run = scene.until("20261101_steady", &["interrupted"]);
    assert_eq!(run["checkpoint"]["at"], 7, "what was said while the ledger was away is not lost");
    go(&scene);
    scene.must(&["resume", "20261101_steady", "--wait"]);
    let run = scene.run("20261101_steady");
    assert_eq!((&run["state"], &run["attempt"]), (&"succeeded".into(), &2.into()));
    assert!(scene.must(&["logs", "20261101_steady"]).contains("attempt 2 from {\"at\":7}"));
}

#[tokio::test]
async fn a_program_that_will_not_stop_is_killed_before_its_lease_ends() {
    let server = Server::start().await;
    let scene = pod("pod-a", server.writer())
        .script(NAME, "trap '' TERM; echo ready; while :; do date +%s.%N >../alive; sleep 0.02; done")
        .variable("STOPOVER_LEASE", "4s");
    stamp(&scene);
    scene.launch(&[NAME]);
    let run = scene.until(NAME, &["running"]);
    until_in_file(&scene, &run, "ready");
    server.freeze();
    until_in_file(&scene, &run, "SIGKILL to the program");
    let lease_ends_at_the_earliest = std::time::Duration::from_secs(4);
    let worker = i32::try_from(run["pid"].as_i64().unwrap()).unwrap();
    eventually("only the worker and its guard are left", lease_ends_at_the_earliest, || {
        let path = scene.path().join("alive");
        let before = fs::read_to_string(&path).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
        (fs::read_to_string(&path).unwrap() == before).then_some(())
    });
    assert!(stopover::process::ProcessIdentity::of(worker).is_some(), "the worker waits to report");
    server.thaw();
    scene.until(NAME, &["interrupted"]);
}
