//! Messages in a pod with a keeper.

use super::telling;
use crate::support::pod::Pod;
use crate::support::scene::Scene;
use crate::support::steady::{PROGRAM, STEADY, until_at_work};
use crate::support::webhook::{Answer, Webhook};

fn scene(webhook: &Webhook) -> Scene {
    let notify = format!("  - {{ name: ops, webhook: \"{}\", on: [stopped, lost], timeout: 20s }}\n", webhook.url("/"));
    telling(&notify).script(STEADY, PROGRAM)
}

/// Launches, and waits until its program handles SIGTERM.
#[track_caller]
fn launch(scene: &Scene, pod: &Pod<'_>) {
    pod.launch(&[STEADY]);
    until_at_work(scene, STEADY);
}

#[test]
fn the_end_of_a_pod_is_told_in_time() {
    let webhook = Webhook::new();
    let scene = scene(&webhook);
    let mut pod = Pod::new(&scene, &["--grace", "30s"]).ready();
    launch(&scene, &pod);
    pod.shut_down();
    let [stopped] = &webhook.received()[..] else { panic!("it is told before the pod is gone: {}", pod.output()) };
    assert_eq!((&stopped.body["event"], &stopped.body["state"]), (&"stopped".into(), &"interrupted".into()));
}

#[test]
fn a_pod_ends_in_time_although_a_receiver_hangs() {
    let webhook = Webhook::answering(&[Answer::Hang]);
    let scene = scene(&webhook);
    let mut pod = Pod::new(&scene, &["--grace", "20s"]).ready();
    launch(&scene, &pod);
    pod.shut_down();
    // A worker that stayed for its receiver would have had to be killed.
    assert!(!pod.output().contains("killed"), "{}", pod.output());
    assert_eq!(scene.run(STEADY)["state"], "interrupted");
    assert_eq!(webhook.events(), ["stopped"], "it was tried");
}

#[test]
fn a_keeper_has_lost_runs_told_without_any_that_goes_on_by_itself() {
    let webhook = Webhook::new();
    let scene = scene(&webhook).variable("STOPOVER_LEASE", "3s");
    let pod = Pod::new(&scene, &["--grace", "20s"]).ready();
    launch(&scene, &pod);
    pod.signal_within(scene.run(STEADY)["pid"].as_i64().unwrap(), "KILL");
    assert_eq!(webhook.until("lost").body["migration"], STEADY);
}
