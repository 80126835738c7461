//! Runs that go on without an operator: what a pod does about what another one, or an earlier container of its own, left behind.

use std::fs::{self, File};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stopover::process::ProcessIdentity;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::mongo::Database;
use crate::support::scene::{PATIENCE, Scene};
use crate::support::server::{SECRET, Server};
use crate::support::steady::{PROGRAM, STEADY, go};

/// A pod with an empty catalog of its own, whose migrations go on by themselves.
fn bare_pod(name: &str, ledger: &str) -> Scene {
    let scene = Scene::new().variable("STOPOVER_POD", name).variable("STOPOVER_LEDGER", ledger);
    let catalog = "catalog:\n  - files: migrations/*\n    resume: auto\n";
    fs::write(scene.path().join("stopover.yaml"), catalog).unwrap();
    scene
}

/// The same with a migration.
fn pod(name: &str, ledger: &str) -> Scene {
    bare_pod(name, ledger).script(STEADY, PROGRAM)
}

/// A ledger that pods share as they would a volume.
fn shared() -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let ledger = format!("sqlite:{}", directory.path().join("ledger.db").display());
    (directory, ledger)
}

/// The role of a pod that looks after runs; its output is the pod's.
struct Recoverer<'a> {
    scene: &'a Scene,
    process: Child,
}

impl<'a> Recoverer<'a> {
    fn start(scene: &'a Scene) -> Self {
        Self::start_with(scene, &[])
    }

    fn start_with(scene: &'a Scene, arguments: &[&str]) -> Self {
        let output = File::create(scene.path().join("output")).unwrap();
        let mut command = scene.command(&[&["recover"], arguments].concat());
        let process = command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        Self { scene, process }
    }

    fn output(&self) -> String {
        fs::read_to_string(self.scene.path().join("output")).unwrap()
    }

    #[track_caller]
    fn until_said(&self, text: &str) -> String {
        eventually(&format!("it says `{text}`"), PATIENCE, || Some(self.output()).filter(|said| said.contains(text)))
    }

    /// Waits until it leaves by itself, which it must do without an error.
    #[track_caller]
    fn until_left(&mut self) -> String {
        let status = eventually("it leaves", PATIENCE, || self.process.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", self.output());
        self.output()
    }

    /// Asks it to leave, as the keeper does when the pod is shut down.
    fn dismiss(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        self.until_left();
    }
}

impl Drop for Recoverer<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until an attempt of the migration is at work in a pod.
#[track_caller]
fn until_at_work(scene: &Scene, pod: &str, attempt: u32) -> Value {
    eventually(&format!("attempt {attempt} is at work in {pod}"), PATIENCE, || {
        let run = scene.run(STEADY);
        // Its first words are the proof that it handles SIGTERM.
        let said = format!("attempt {attempt} from");
        let is_there = run["state"] == "running" && run["pod"] == pod && run["attempt"] == attempt;
        Some(run).filter(|_| is_there && scene.must(&["logs", STEADY]).contains(&said))
    })
}

/// What the shutdown of its pod does to a worker.
#[track_caller]
fn interrupt(scene: &Scene, run: &Value) {
    signal(run, Signal::TERM);
    scene.until(STEADY, &["interrupted"]);
}

fn signal(run: &Value, signal: Signal) {
    let pid = i32::try_from(run["pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Launches in a pod, and leaves the run as the shutdown of that pod does.
#[track_caller]
fn interrupted_in(scene: &Scene, name: &str) -> Value {
    scene.launch(&[STEADY]);
    let run = until_at_work(scene, name, 1);
    interrupt(scene, &run);
    scene.run(STEADY)
}

/// Another migration, which asks once to be resumed: that it goes on is the proof that a pod has looked after its runs.
const OTHER: &str = "20261102_other";
const OTHER_PROGRAM: &str = "[ \"$STOPOVER_ATTEMPT\" -gt 1 ] || exit 75";

/// Has a pod with the other migration look after its runs.
fn looks_over(scene: &Scene) -> Recoverer<'_> {
    scene.launch(&[OTHER]);
    scene.until(OTHER, &["interrupted"]);
    let recoverer = Recoverer::start(scene);
    recoverer.until_said(&format!("{OTHER} run"));
    scene.until(OTHER, &["succeeded"]);
    recoverer
}

fn events<'r>(run: &'r Value, kind: &str) -> Vec<&'r Value> {
    run["events"].as_array().unwrap().iter().filter(|event| event["kind"] == kind).collect()
}

#[test]
fn a_run_that_the_old_pod_interrupts_goes_on_in_the_new_one() {
    let database = Database::new();
    let (old, new) = (pod("pod-old", &database.uri()), pod("pod-new", &database.uri()));
    old.must(&["init", "--environment", "staging"]);
    old.launch(&[STEADY]);
    let run = until_at_work(&old, "pod-old", 1);
    let recoverer = Recoverer::start(&new);
    recoverer.until_said("is running: attempt 1 is in pod pod-old");
    assert_eq!(new.json(&["list", "--json"])[0]["state"], old.json(&["list", "--json"])[0]["state"]);

    interrupt(&old, &run);
    let resumed = until_at_work(&new, "pod-new", 2);
    recoverer.until_said("was interrupted and goes on here by itself, as attempt 2, from its checkpoint");
    assert_eq!(resumed["recoveries"][0]["outcome"], "resumed");
    assert_eq!((&resumed["resumed"]["by"], &resumed["resumed"]["pod"]), (&"recovery".into(), &"pod-new".into()));
    go(&new);
    let ended = old.until(STEADY, &["succeeded"]);
    assert_eq!(events(&ended, "claimed").len(), 2);
    assert_eq!(events(&ended, "resumed")[0]["text"], "pod pod-new, by itself, resumed it; it was interrupted");
    let log = old.must(&["logs", STEADY]);
    assert!(log.contains("attempt 2 from {\"at\":7}"), "{log}");
    recoverer.dismiss();
}

#[test]
fn a_run_that_a_new_pod_continued_is_controlled_from_the_old_one() {
    let (_volume, ledger) = shared();
    let (old, new) = (pod("pod-old", &ledger), pod("pod-new", &ledger));
    interrupted_in(&old, "pod-old");
    let recoverer = Recoverer::start(&new);
    until_at_work(&old, "pod-new", 2);
    old.must(&["pause", STEADY, "--wait"]);
    let paused = new.run(STEADY);
    assert_eq!((&paused["state"], &paused["pod"]), (&"paused".into(), &"pod-new".into()));
    // What an operator paused waits for an operator, whoever looks.
    let third = pod("pod-third", &ledger);
    let looks = Recoverer::start(&third);
    looks.until_said("is paused");
    let ended = third.stopover(&["resume", STEADY]);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let by_hand = until_at_work(&old, "pod-third", 3);
    assert_eq!(by_hand["recoveries"], serde_json::json!([]), "an operator has seen to it");
    go(&third);
    old.until(STEADY, &["succeeded"]);
    drop(recoverer);
}

#[test]
fn of_many_pods_that_look_at_once_one_continues_a_run() {
    let database = Database::new();
    let pods: Vec<_> = (0..4).map(|index| pod(&format!("pod-{index}"), &database.uri())).collect();
    pods[0].must(&["init", "--environment", "staging"]);
    interrupted_in(&pods[0], "pod-0");
    let recoverers: Vec<_> = pods[1..].iter().map(Recoverer::start).collect();
    let run = eventually("one continues it", PATIENCE, || Some(pods[0].run(STEADY)).filter(|run| run["attempt"] == 2));
    for pod in &pods {
        go(pod);
    }
    let ended = pods[0].until(STEADY, &["succeeded"]);
    assert_eq!((events(&ended, "claimed").len(), events(&ended, "resumed").len()), (2, 1));
    assert_eq!(ended["recoveries"].as_array().unwrap().len(), 1);
    assert_eq!(ended["recoveries"], run["recoveries"]);
    for recoverer in recoverers {
        recoverer.dismiss();
    }
}

#[test]
fn a_run_that_an_earlier_container_of_the_pod_lost_goes_on() {
    let (_volume, ledger) = shared();
    let scene = pod("pod-a", &ledger).variable("STOPOVER_LEASE", "3s");
    scene.launch(&[STEADY]);
    let run = until_at_work(&scene, "pod-a", 1);
    signal(&run, Signal::KILL);
    // It looks before the lease is over: what is lost shows by itself, without any change in the ledger.
    let recoverer = Recoverer::start(&scene);
    let resumed = until_at_work(&scene, "pod-a", 2);
    assert_eq!(events(&resumed, "takenOver").len(), 1);
    recoverer.until_said("was lost and goes on here by itself, as attempt 2, from the start");
    go(&scene);
    scene.until(STEADY, &["succeeded"]);
}

#[test]
fn a_worker_that_lives_here_is_left_to_an_operator_however_silent_it_is() {
    // Not a file: a process that is stopped as it writes holds the lock.
    let database = Database::new();
    let scene = pod("pod-a", &database.uri()).variable("STOPOVER_LEASE", "3s").script(OTHER, OTHER_PROGRAM);
    scene.must(&["init", "--environment", "staging"]);
    scene.launch(&[STEADY]);
    let run = until_at_work(&scene, "pod-a", 1);
    let worker = i32::try_from(run["pid"].as_i64().unwrap()).unwrap();
    signal(&run, Signal::STOP);
    for guard in stopover::process::members_of_session(worker) {
        if fs::read(format!("/proc/{guard}/cmdline")).is_ok_and(|line| line.ends_with(b"\0guard\0")) {
            kill_process(Pid::from_raw(guard).unwrap(), Signal::KILL).unwrap();
        }
    }
    scene.until(STEADY, &["lost"]);
    let _recoverer = looks_over(&scene);
    assert_eq!(scene.run(STEADY)["attempt"], 1);
    assert!(ProcessIdentity::of(worker).is_some());
    scene.must(&["cancel", STEADY]);
    assert!(ProcessIdentity::of(worker).is_none());
}

#[test]
fn a_cancel_that_a_dead_worker_could_not_fulfil_is_not_undone() {
    let (_volume, ledger) = shared();
    // The cancel must find a run that is not lost yet.
    let scene = pod("pod-a", &ledger).variable("STOPOVER_LEASE", "10s").script(OTHER, OTHER_PROGRAM);
    scene.launch(&[STEADY]);
    let run = until_at_work(&scene, "pod-a", 1);
    let worker = i32::try_from(run["pid"].as_i64().unwrap()).unwrap();
    let session = || stopover::process::members_of_session(worker).into_iter().filter_map(Pid::from_raw);
    for pid in session() {
        // What the program waits for may have ended by now.
        let _ = kill_process(pid, Signal::STOP);
    }
    scene.must(&["cancel", STEADY]);
    for pid in session() {
        // What is left of a session without its leader is woken and hung up by the kernel, and may be gone by now.
        let _ = kill_process(pid, Signal::KILL);
    }
    scene.until(STEADY, &["lost"]);
    let _recoverer = looks_over(&scene);
    assert_eq!((&scene.run(STEADY)["attempt"], &scene.run(STEADY)["state"]), (&1.into(), &"lost".into()));
    scene.must(&["cancel", STEADY]);
    assert_eq!(scene.run(STEADY)["state"], "cancelled");
}

#[test]
fn an_image_with_another_content_declines_and_one_with_the_same_goes_on() {
    let (_volume, ledger) = shared();
    let (old, same) = (pod("pod-old", &ledger), pod("pod-same", &ledger));
    let other = bare_pod("pod-other", &ledger).script(STEADY, &format!("{PROGRAM}# mended"));
    interrupted_in(&old, "pod-old");
    let declining = Recoverer::start(&other);
    declining.until_said("does not go on here by itself: 20261101_steady has changed since run");
    let declined = old.run(STEADY);
    assert_eq!((&declined["state"], &declined["attempt"]), (&"interrupted".into(), &1.into()));
    let recovery = &declined["recoveries"][0];
    assert_eq!((&recovery["pod"], &recovery["outcome"]), (&"pod-other".into(), &"declined".into()));
    let text = events(&declined, "declined")[0]["text"].as_str().unwrap();
    assert!(text.starts_with("pod pod-other did not resume it: 20261101_steady has changed"), "{text}");
    let shown = old.must(&["show", STEADY]);
    assert!(shown.contains("pod pod-other did not resume it"), "{shown}");

    let _recoverer = Recoverer::start(&same);
    until_at_work(&old, "pod-same", 2);
    go(&same);
    old.until(STEADY, &["succeeded"]);
}

#[test]
fn an_image_without_the_migration_or_with_a_broken_file_declines() {
    let (_volume, ledger) = shared();
    let old = pod("pod-old", &ledger);
    interrupted_in(&old, "pod-old");
    let without = bare_pod("pod-without", &ledger).script("20261102_other", "true");
    let missing = Recoverer::start(&without);
    missing.until_said("there is no migration `20261101_steady` in this catalog");
    let broken = bare_pod("pod-broken", &ledger).manifest(STEADY, "comand: [true]\n");
    let unreadable = Recoverer::start(&broken);
    unreadable.until_said("its file is broken");
    let run = old.run(STEADY);
    let pods: Vec<_> = run["recoveries"].as_array().unwrap().iter().map(|it| it["pod"].as_str().unwrap()).collect();
    assert_eq!(pods, ["pod-without", "pod-broken"]);
    assert_eq!(run["attempt"], 1);
}

#[test]
fn a_run_with_a_secret_param_waits_for_an_operator() {
    let (_volume, ledger) = shared();
    let manifest = "command: [sh, -c, 'exit 75']\nresume: auto\nparams: { token: { secret: true, default: other } }\n";
    let old = bare_pod("pod-old", &ledger).manifest("20261103_secret", manifest);
    old.launch(&["20261103_secret", "--param", "token=hush-hush"]);
    old.until("20261103_secret", &["interrupted"]);
    let new = bare_pod("pod-new", &ledger).manifest("20261103_secret", manifest);
    let recoverer = Recoverer::start(&new);
    recoverer.until_said("does not go on here by itself");
    let run = new.run("20261103_secret");
    let reason = run["recoveries"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("token") && !reason.contains("hush"), "{reason}");
    assert!(!recoverer.output().contains("hush"));
}

#[test]
fn what_waits_for_an_operator_is_reported_and_nothing_more() {
    let (_volume, ledger) = shared();
    let scene = Scene::new().script(STEADY, PROGRAM).variable("STOPOVER_LEDGER", ledger.as_str());
    let id = scene.launch(&[STEADY]);
    let run = until_at_work(&scene, "pod-a", 1);
    interrupt(&scene, &run);
    let said = Recoverer::start(&scene).until_left();
    let short = &id[id.len() - 8..];
    let line = format!("stopover: {STEADY} run {short} is interrupted: its pod was shut down, ");
    assert!(said.starts_with(&line) && said.contains(&format!("`stopover resume {short}` continues it")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let run = scene.run(STEADY);
    assert_eq!((&run["attempt"], &run["recoveries"]), (&1.into(), &serde_json::json!([])));
    scene.must(&["cancel", STEADY]);
    assert_eq!(Recoverer::start(&scene).until_left(), "stopover: no run is unfinished\n");
}

#[test]
fn who_may_only_look_reports_and_leaves() {
    let (_volume, ledger) = shared();
    let old = pod("pod-old", &ledger);
    interrupted_in(&old, "pod-old");
    let new = pod("pod-new", &ledger);
    let said = Recoverer::start_with(&new, &["--read-only"]).until_left();
    assert!(said.contains("is interrupted"), "{said}");
    assert_eq!(old.run(STEADY)["recoveries"], serde_json::json!([]));
}

#[test]
fn a_pod_of_another_environment_says_so_and_writes_nothing() {
    let (_volume, ledger) = shared();
    let old = pod("pod-old", &ledger);
    old.must(&["init", "--environment", "staging"]);
    interrupted_in(&old, "pod-old");
    let stray = pod("pod-stray", &ledger).variable("STOPOVER_ENVIRONMENT", "production");
    let recoverer = Recoverer::start(&stray);
    recoverer.until_said("does not go on here by itself");
    assert!(recoverer.output().contains("staging"), "{}", recoverer.output());
    let run = old.run(STEADY);
    assert_eq!((&run["recoveries"], &run["attempt"]), (&serde_json::json!([]), &1.into()));
    recoverer.dismiss();
}

#[test]
fn after_three_attempts_without_an_operator_a_run_waits_for_one() {
    let (_volume, ledger) = shared();
    let names = ["pod-0", "pod-1", "pod-2", "pod-3", "pod-4"];
    let pods = names.map(|name| pod(name, &ledger));
    interrupted_in(&pods[0], "pod-0");
    for (attempt, (name, scene)) in (2..).zip(names.iter().zip(&pods).skip(1).take(3)) {
        let recoverer = Recoverer::start(scene);
        let run = until_at_work(scene, name, attempt);
        recoverer.dismiss();
        interrupt(scene, &run);
    }
    let last = Recoverer::start(&pods[4]);
    last.until_said("was resumed 3 times without an operator");
    let run = pods[4].run(STEADY);
    assert_eq!((&run["state"], &run["attempt"]), (&"interrupted".into(), &4.into()));
    assert_eq!(run["recoveries"][3]["outcome"], "declined");
}

#[tokio::test]
async fn a_ledger_that_is_away_is_waited_for_and_then_followed() {
    let mut server = Server::start().await;
    let (old, new) = (pod("pod-old", &server.writer()), pod("pod-new", &server.writer()));
    old.must(&["init", "--environment", "staging"]);
    interrupted_in(&old, "pod-old");
    server.stop();
    let recoverer = Recoverer::start(&new);
    recoverer.until_said("waiting for the ledger, to look after runs");
    server.start_again();
    recoverer.until_said("the ledger answers again");
    until_at_work(&old, "pod-new", 2);
    let said = recoverer.output();
    assert_eq!(said.matches("waiting for the ledger").count(), 1, "{said}");
    assert!(!said.contains(SECRET), "{said}");
    go(&new);
    old.until(STEADY, &["succeeded"]);
    recoverer.dismiss();
}
