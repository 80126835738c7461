//! Lost runs are told by pods that look after runs.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::tell;
use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};
use crate::support::steady::{PROGRAM, STEADY, until_at_work};
use crate::support::webhook::{Answer, Webhook};

/// What looks after runs in a pod.
struct Looking<'a> {
    scene: &'a Scene,
    process: Child,
}

impl<'a> Looking<'a> {
    fn start(scene: &'a Scene) -> Self {
        let output = File::create(scene.path().join("output")).unwrap();
        let mut command = scene.command(&["recover"]);
        let process = command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        Self { scene, process }
    }

    fn output(&self) -> String {
        fs::read_to_string(self.scene.path().join("output")).unwrap()
    }

    /// Asks it to leave, which it does.
    #[track_caller]
    fn dismiss(mut self) -> String {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        let status = eventually("it leaves", PATIENCE, || self.process.try_wait().unwrap());
        assert!(status.success(), "{}", self.output());
        self.output()
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pod(name: &str, ledger: &str, notify: &str) -> Scene {
    let scene = Scene::new()
        .variable("STOPOVER_POD", name)
        .variable("STOPOVER_LEDGER", ledger)
        .variable("STOPOVER_LEASE", "3s")
        .script(STEADY, PROGRAM);
    tell(&scene, notify);
    scene
}

fn shared() -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let ledger = format!("sqlite:{}", directory.path().join("ledger.db").display());
    (directory, ledger)
}

/// Launches, and kills the worker.
#[track_caller]
fn lose(scene: &Scene) -> String {
    let id = scene.launch(&[STEADY]);
    until_at_work(scene, STEADY);
    scene.signal_worker(STEADY, Signal::KILL);
    scene.until(STEADY, &["lost"]);
    id
}

fn ops(webhook: &Webhook) -> String {
    format!("  - {{ name: ops, webhook: \"{}\", on: [lost], timeout: 1s }}\n", webhook.url("/"))
}

/// What the ledger knows of who told.
fn is_told(ledger: &str) -> bool {
    let file = rusqlite::Connection::open(ledger.strip_prefix("sqlite:").unwrap()).unwrap();
    let run: String = file.query_row("SELECT run FROM runs", [], |row| row.get(0)).unwrap();
    run.contains("\"delivered\":true")
}

#[test]
fn a_lost_run_is_told_once_by_all_pods_together_and_not_again_after_a_restart() {
    let webhook = Webhook::new();
    let (_volume, ledger) = shared();
    let pods: Vec<_> = ["pod-a", "pod-b", "pod-c"].map(|name| pod(name, &ledger, &ops(&webhook))).into();
    let looking: Vec<_> = pods.iter().map(Looking::start).collect();
    let run = lose(&pods[0]);
    let lost = webhook.until("lost");
    assert_eq!(lost.body["id"], format!("{run}/1/lost"));
    assert_eq!((&lost.body["state"], &lost.body["pod"]), (&"lost".into(), &"pod-a".into()));
    assert!(lost.body["text"].as_str().unwrap().contains("takes it over"), "{}", lost.body);
    eventually("the ledger knows", PATIENCE, || is_told(&ledger).then_some(()));
    for looking in looking {
        looking.dismiss();
    }
    // Who looks first at what is there, and then once more, has had every reason to tell it again.
    let again = Looking::start(&pods[1]);
    eventually("it has reported", PATIENCE, || again.output().contains("is lost").then_some(()));
    again.dismiss();
    assert_eq!(webhook.events(), ["lost"]);
    assert!(pods[0].run(STEADY)["events"].as_array().unwrap().len() == 2, "it is no part of the history");
    pods[0].must(&["cancel", STEADY]);
}

#[test]
fn a_loss_that_could_not_be_told_is_told_by_the_next() {
    let (deaf, webhook) = (Webhook::answering(&[Answer::Hang]), Webhook::new());
    let (_volume, ledger) = shared();
    let first = pod("pod-a", &ledger, &ops(&deaf));
    let looking = Looking::start(&first);
    lose(&first);
    eventually("it is tried", PATIENCE, || (deaf.connections() > 0).then_some(()));
    let said = looking.dismiss();
    assert!(said.contains("ops (http://127.0.0.1:") && said.contains("could not be told of a lost run"), "{said}");
    assert!(!is_told(&ledger));
    // The same pod, in its next container: it need not wait for itself.
    tell(&first, &ops(&webhook));
    let again = Looking::start(&first);
    webhook.until("lost");
    eventually("the ledger knows", PATIENCE, || is_told(&ledger).then_some(()));
    again.dismiss();
    first.must(&["cancel", STEADY]);
}

#[test]
fn a_loss_is_told_even_if_the_run_goes_on_by_itself() {
    let webhook = Webhook::new();
    let (_volume, ledger) = shared();
    let scene = pod("pod-a", &ledger, "");
    let project = format!("catalog:\n  - files: migrations/*\n    resume: auto\nnotify:\n{}", ops(&webhook));
    fs::write(scene.path().join("stopover.yaml"), project).unwrap();
    lose(&scene);
    let looking = Looking::start(&scene);
    let lost = webhook.until("lost");
    assert!(lost.body["text"].as_str().unwrap().contains("continues it by itself"), "{}", lost.body);
    eventually("it goes on", PATIENCE, || (scene.run(STEADY)["attempt"] == 2).then_some(()));
    crate::support::steady::go(&scene);
    scene.until(STEADY, &["succeeded"]);
    looking.dismiss();
}

#[test]
fn who_may_only_look_tells_nobody() {
    let webhook = Webhook::new();
    let (_volume, ledger) = shared();
    let scene = pod("pod-a", &ledger, &ops(&webhook));
    lose(&scene);
    let said = scene.must(&["recover", "--read-only"]);
    assert!(said.contains("is lost"), "{said}");
    assert_eq!(webhook.connections(), 0);
    scene.must(&["cancel", STEADY]);
}

#[test]
fn what_a_keeper_had_to_kill_is_told_on_its_behalf() {
    let webhook = Webhook::new();
    let scene = super::telling(&format!("  - {{ name: ops, webhook: \"{}\", on: [stopped] }}\n", webhook.url("/")))
        .script(STEADY, PROGRAM)
        .variable("STOPOVER_LEASE", "1m");
    let run = scene.launch(&[STEADY]);
    scene.until(STEADY, &["running"]);
    scene.signal_worker(STEADY, Signal::KILL);
    scene.must(&["interrupted", "--within", "30s", &format!("{run}:1")]);
    assert_eq!(webhook.until("stopped").body["state"], "interrupted");
    scene.must(&["cancel", STEADY]);
}

/// A receiver whose address is in a file beside the project.
fn from_a_file(name: &str, ledger: &str) -> (Scene, PathBuf) {
    let scene = pod(name, ledger, "  - { name: ops, webhook: \"${OPS_URL}\", on: [lost], timeout: 1s }\n");
    let file = scene.path().join("ops-url");
    let scene = scene.variable("OPS_URL_FILE", file.display().to_string());
    (scene, file)
}

#[test]
fn a_secret_that_comes_after_the_pod_has_started_is_found() {
    let webhook = Webhook::new();
    let (_volume, ledger) = shared();
    let (scene, file) = from_a_file("pod-a", &ledger);
    let looking = Looking::start(&scene);
    eventually("it says who is not told", PATIENCE, || {
        looking.output().contains("ops is not told of runs: OPS_URL_FILE names ").then_some(())
    });
    fs::write(&file, webhook.url("/")).unwrap();
    lose(&scene);
    webhook.until("lost");
    looking.dismiss();
    scene.must(&["cancel", STEADY]);
}

#[test]
fn a_secret_that_was_replaced_since_the_pod_started_is_read_again() {
    let (old, new) = (Webhook::answering(&[Answer::Status(404)]), Webhook::new());
    let (_volume, ledger) = shared();
    let (scene, file) = from_a_file("pod-a", &ledger);
    fs::write(&file, old.url("/")).unwrap();
    let looking = Looking::start(&scene);
    eventually("it looks", PATIENCE, || looking.output().contains("no run is unfinished").then_some(()));
    fs::write(&file, new.url("/")).unwrap();
    lose(&scene);
    new.until("lost");
    assert_eq!(old.connections(), 0);
    looking.dismiss();
    scene.must(&["cancel", STEADY]);
}

#[test]
fn a_receiver_that_refuses_for_good_is_done_with() {
    let (gone, webhook) = (Webhook::answering(&[Answer::Status(404)]), Webhook::new());
    let (_volume, ledger) = shared();
    let notify = format!("  - {{ name: gone, webhook: \"{}\", on: [lost] }}\n{}", gone.url("/"), ops(&webhook));
    let scene = pod("pod-a", &ledger, &notify);
    let looking = Looking::start(&scene);
    lose(&scene);
    eventually("nobody is left to tell", PATIENCE, || is_told(&ledger).then_some(()));
    let said = looking.dismiss();
    assert!(said.contains("gone (http://127.0.0.1:") && said.contains("it answered 404"), "{said}");
    assert_eq!((gone.connections(), webhook.events()), (1, vec!["lost".to_owned()]));
    scene.must(&["cancel", STEADY]);
}

#[test]
fn who_has_been_told_of_a_loss_is_not_told_again_by_the_next_although_another_was_not_reached() {
    let (deaf, first, second) = (Webhook::answering(&[Answer::Hang]), Webhook::new(), Webhook::new());
    let (_volume, ledger) = shared();
    let with =
        |url: String| format!("{}  - {{ name: other, webhook: \"{url}\", on: [lost], timeout: 20s }}\n", ops(&first));
    let scene = pod("pod-a", &ledger, &with(deaf.url("/")));
    let looking = Looking::start(&scene);
    lose(&scene);
    first.until("lost");
    eventually("the other is tried", PATIENCE, || (deaf.connections() > 0).then_some(()));
    looking.dismiss();
    assert!(!is_told(&ledger));
    tell(&scene, &with(second.url("/")));
    let again = Looking::start(&scene);
    second.until("lost");
    eventually("the ledger knows", PATIENCE, || is_told(&ledger).then_some(()));
    again.dismiss();
    assert_eq!((first.events(), second.events()), (vec!["lost".to_owned()], vec!["lost".to_owned()]));
    scene.must(&["cancel", STEADY]);
}
