//! What a worker cannot tell any more is told by whoever records the end of its run.

use crate::support::eventually;
use crate::support::otlp::Receiver;
use crate::support::pod::Pod;
use crate::support::scene::PATIENCE;
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
