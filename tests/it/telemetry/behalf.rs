//! What a worker cannot tell any more is told by whoever records the end of its run.

use std::fs;
use std::process::Command;

use rstest::rstest;

use crate::support::eventually;
use crate::support::otlp::Receiver;
use crate::support::pod::Pod;
use crate::support::scene::{PATIENCE, STOPOVER, Scene};
use crate::support::steady::{PROGRAM, STEADY};

use super::{of, one, telling};

#[test]
fn a_run_that_is_cancelled_while_it_is_paused_ends_its_trace() {
    let backend = Receiver::http();
    let scene = telling(&backend).script(STEADY, PROGRAM);
    scene.launch(&[STEADY]);
    scene.until(STEADY, &["running"]);
    scene.must(&["pause", STEADY, "--wait"]);
    eventually("the attempt is told of", PATIENCE, || {
        Some(()).filter(|()| backend.received().named("attempt 1").len() == 1)
    });
    scene.must(&["cancel", STEADY]);
    let told = backend.received();
    let root = one(&told, STEADY);
    assert_eq!(of(root)["stopover.state"], "cancelled");
    let attempt = one(&told, "attempt 1");
    assert_eq!((&attempt.parent_span_id, of(attempt)["stopover.state"].as_str()), (&root.span_id, "paused"));
}

#[test]
fn an_attempt_that_was_killed_with_its_pod_is_told_of_by_the_keeper() {
    let backend = Receiver::http();
    let scene = telling(&backend).script("frozen", "echo on; exec sleep 1000");
    let mut pod = Pod::shared(&scene, &["--grace", "8s"]).ready();
    pod.launch(&["frozen"]);
    let run = scene.until("frozen", &["running"]);
    pod.signal_within(run["pid"].as_i64().unwrap(), "STOP");
    pod.shut_down();
    assert_eq!(scene.run("frozen")["state"], "interrupted");
    let told = backend.received();
    let attempt = one(&told, "attempt 1");
    assert_eq!(of(attempt)["stopover.state"], "interrupted");
    assert!(attempt.end_time_unix_nano > attempt.start_time_unix_nano);
    assert_eq!(told.named("frozen").len(), 0, "the run is not over");
}

#[test]
fn a_backend_that_is_away_does_not_keep_an_operator_from_cancelling() {
    let backend = Receiver::http();
    let scene = telling(&backend).script(STEADY, PROGRAM);
    scene.launch(&[STEADY]);
    scene.until(STEADY, &["running"]);
    scene.must(&["pause", STEADY, "--wait"]);
    drop(backend);
    scene.must(&["cancel", STEADY]);
    assert_eq!(scene.run(STEADY)["state"], "cancelled");
}

#[rstest]
fn an_operator_cancels_where_a_container_may_have_no_more_threads(#[values(5, 6, 7, 8, 9)] threads: u32) {
    let scene = Scene::new()
        .script(STEADY, PROGRAM)
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    scene.launch(&[STEADY]);
    scene.until(STEADY, &["running"]);
    scene.must(&["pause", STEADY, "--wait"]);
    // All is given to a user who has processes and threads of its own: nothing that goes on here counts.
    let binary = scene.path().join("stopover");
    fs::copy(STOPOVER, &binary).unwrap();
    let user = (1_000_000 + 16 * std::process::id() + threads).to_string();
    let owner = format!("{user}:{user}");
    assert!(
        Command::new("chown").arg("-R").arg(owner).arg(scene.path()).status().unwrap().success(),
        "tests are root's"
    );
    let cancelled = Command::new("setpriv")
        .args(["--reuid", &user, "--regid", &user, "--clear-groups", "prlimit", &format!("--nproc={threads}")])
        .arg(&binary)
        .args(["cancel", STEADY])
        .env_clear()
        .envs(scene.environment())
        .output()
        .expect("`apt-get install util-linux` installs setpriv and prlimit, which this test needs, and root");
    let told = String::from_utf8_lossy(&cancelled.stderr);
    assert!(cancelled.status.success() && !told.contains("panicked"), "{told}");
    assert_eq!(scene.run(STEADY)["state"], "cancelled");
}
