//! Two pods, each with its own files, and one ledger between them.

use serde_json::Value;

use super::{STEADY, go, pod, stamp};
use crate::support::eventually;
use crate::support::mongo::Database;
use crate::support::scene::{PATIENCE, Scene};

/// Waits until a pod shows all of these lines in the log of the migration's latest run, in this order.
#[track_caller]
fn until_logged(pod: &Scene, lines: &[&str]) {
    eventually(&format!("the log has {lines:?}"), PATIENCE, || {
        let log = pod.must(&["logs", STEADY]);
        let mut printed = log.lines();
        lines.iter().all(|line| printed.any(|printed| printed == *line)).then_some(())
    });
}

fn has_file(pod: &Scene, run: &Value) -> bool {
    pod.state().join("runs").join(format!("{}.log", run["id"].as_str().unwrap())).exists()
}

#[test]
fn a_run_is_paused_from_another_pod_and_goes_on_there_from_its_checkpoint() {
    let database = Database::new();
    let (a, b) = (pod("pod-a", database.uri()), pod("pod-b", database.uri()));
    stamp(&a);
    let id = a.launch(&[STEADY]);
    assert_eq!(b.until(STEADY, &["running"])["pod"], "pod-a");
    until_logged(&b, &["attempt 1 from the start"]);
    b.must(&["pause", STEADY, "--wait"]);
    let paused = a.run(STEADY);
    assert_eq!((&paused["state"], &paused["checkpoint"]["at"]), (&"paused".into(), &7.into()));
    assert!(has_file(&a, &paused) && !has_file(&b, &paused), "what pod-b shows of the log comes from the ledger");

    assert_eq!(b.must(&["resume", STEADY]).trim(), id);
    let resumed = b.until(STEADY, &["running"]);
    assert_eq!((&resumed["pod"], &resumed["attempt"]), (&"pod-b".into(), &2.into()));
    let both = ["attempt 1 from the start", "stopped", "attempt 2 from {\"at\":7}"];
    until_logged(&b, &both);
    until_logged(&a, &both);
    go(&b);
    assert_eq!(a.until(STEADY, &["succeeded"])["pod"], "pod-b");
    let whole = [&both[..], &["finished"]].concat();
    until_logged(&a, &whole);
    until_logged(&b, &whole);
    assert_eq!(a.json(&["list", "--json"])[0]["state"], "applied");
}

#[test]
fn a_run_is_cancelled_from_another_pod_which_is_recorded() {
    let database = Database::new();
    let (a, b) = (pod("pod-a", database.uri()), pod("pod-b", database.uri()));
    stamp(&b);
    a.launch(&[STEADY]);
    b.until(STEADY, &["running"]);
    until_logged(&b, &["attempt 1 from the start"]);
    b.must(&["cancel", STEADY, "--operator", "grace", "--wait"]);
    let run = a.run(STEADY);
    assert_eq!((&run["state"], &run["pod"]), (&"cancelled".into(), &"pod-a".into()));
    let wish = &run["events"][2];
    assert_eq!(
        (&wish["kind"], &wish["by"], &wish["pod"]),
        (&"cancelRequested".into(), &"grace".into(), &"pod-b".into())
    );
    until_logged(&b, &["attempt 1 from the start", "stopped"]);
}

#[test]
fn a_log_is_followed_from_another_pod_to_its_end() {
    let database = Database::new();
    let (a, b) = (pod("pod-a", database.uri()), pod("pod-b", database.uri()));
    stamp(&a);
    a.launch(&[STEADY]);
    until_logged(&b, &["attempt 1 from the start"]);
    let follower = b.command(&["logs", STEADY, "-f"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    go(&a);
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success());
    let log = String::from_utf8(output.stdout).unwrap();
    assert!(log.contains("attempt 1 from the start\n") && log.contains("finished\n"), "{log}");
}
