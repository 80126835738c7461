//! What `stopover doctor` says of runs, from wherever it is asked.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::scene::Scene;

const NAME: &str = "20261101_steady";
/// Works until it is asked to stop, with a checkpoint.
const PROGRAM: &str =
    "trap 'echo \"::stopover {\\\"checkpoint\\\":{\\\"at\\\":7}}\"; exit 75' TERM; while :; do sleep 0.05; done";

fn scene() -> Scene {
    Scene::new().script(NAME, PROGRAM).variable("STOPOVER_LEASE", "3s").variable("STOPOVER_NAMESPACE", "payments")
}

fn explained(scene: &Scene, pod: &str) -> Value {
    let output = scene.command(&["doctor", NAME, "--json"]).env("STOPOVER_POD", pod).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["runs"][0].clone()
}

fn told(scene: &Scene, pod: &str) -> String {
    let output = scene.command(&["doctor", NAME]).env("STOPOVER_POD", pod).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn signal(run: &Value, signal: Signal) {
    kill_process(Pid::from_raw(run["pid"].as_i64().unwrap().try_into().unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn a_run_at_work_is_alive_and_guarded_here_and_cannot_be_seen_from_elsewhere() {
    let scene = scene();
    scene.launch(&[NAME]);
    let run = scene.until(NAME, &["running"]);
    let here = explained(&scene, "pod-a");
    let worker = &here["worker"];
    assert_eq!((&worker["place"], &worker["isAlive"], &worker["pid"]), (&"here".into(), &true.into(), &run["pid"]));
    assert_eq!((&here["lease"]["isOver"], &here["resume"]), (&false.into(), &Value::Null));
    assert!(told(&scene, "pod-a").contains("is alive here; its guard is pid "));

    let there = explained(&scene, "pod-b");
    assert_eq!((&there["worker"]["place"], &there["worker"]["isAlive"]), (&"elsewhere".into(), &Value::Null));
    let text = told(&scene, "pod-b");
    assert!(text.contains("`kubectl get pod pod-a -n payments` tells whether that pod still exists"), "{text}");
    scene.must(&["cancel", NAME, "--wait"]);
}

#[test]
fn a_lost_run_says_that_its_process_is_gone_and_what_a_resume_would_do() {
    let scene = scene();
    scene.launch(&[NAME]);
    let run = scene.until(NAME, &["running"]);
    signal(&run, Signal::KILL);
    scene.until(NAME, &["lost"]);
    let lost = explained(&scene, "pod-a");
    assert_eq!((&lost["worker"]["place"], &lost["lease"]["isOver"]), (&"gone".into(), &true.into()));
    let resume = &lost["resume"];
    assert_eq!(
        (&resume["isPossible"], &resume["attempt"], &resume["isChanged"]),
        (&true.into(), &2.into(), &false.into())
    );
    let text = told(&scene, "pod-a");
    assert!(text.contains("would be attempt 2, from the start; this image has it unchanged"), "{text}");
    assert!(lost["policy"] == "manual" && text.contains("it waits for an operator"), "{text}");
    assert_eq!(scene.run(NAME)["attempt"], 1, "it was only looked at");
}

#[test]
fn a_resume_is_tried_out_with_what_it_needs() {
    let manifest = "command: [sh, -c, 'exit 75']\nparams: { token: { secret: true, required: true } }\n";
    let scene = Scene::new().manifest(NAME, manifest);
    scene.launch(&[NAME, "--param", "token=hush"]);
    scene.until(NAME, &["interrupted"]);
    let resume = explained(&scene, "pod-a")["resume"].clone();
    assert_eq!((&resume["isPossible"], &resume["secrets"]), (&true.into(), &serde_json::json!(["token"])));
    assert!(told(&scene, "pod-a").contains("`--param token=@FILE`"));

    let scene = scene.manifest(NAME, &format!("{manifest}# mended\n"));
    assert_eq!(explained(&scene, "pod-a")["resume"]["isChanged"], true);
    assert!(told(&scene, "pod-a").contains("needs `--changed`"));

    fs::remove_file(scene.path().join(format!("migrations/{NAME}.yaml"))).unwrap();
    let gone = explained(&scene, "pod-a");
    assert_eq!(gone["resume"]["isPossible"], false);
    assert!(gone["resume"]["refusal"].as_str().unwrap().contains("there is no migration"));

    let scene = scene.manifest(NAME, manifest).variable("STOPOVER_ENVIRONMENT", "production");
    let stray = explained(&scene, "pod-a");
    assert_eq!(stray["resume"]["isPossible"], false);
    assert!(stray["resume"]["refusal"].as_str().unwrap().contains("production"), "{stray}");
}

#[test]
fn a_run_that_was_asked_to_stop_says_by_whom() {
    let scene = Scene::new()
        .script(NAME, "trap '' TERM; echo on; while :; do sleep 0.05; done")
        .variable("STOPOVER_GRACE", "1h");
    scene.launch(&[NAME]);
    let run = scene.until(NAME, &["running"]);
    scene.must(&["pause", NAME, "--operator", "grace"]);
    let pausing = explained(&scene, "pod-a");
    assert_eq!((&pausing["wish"]["kind"], &pausing["wish"]["by"]), (&"pause".into(), &"grace".into()));
    let text = told(&scene, "pod-a");
    assert!(text.contains("grace asked it to pause") && text.contains("--force` ends its program"), "{text}");
    signal(&run, Signal::KILL);
}

#[test]
fn a_run_that_has_ended_is_explained_when_it_is_named_and_a_name_that_is_none_is_refused() {
    let scene = Scene::new().script(NAME, "true");
    scene.must(&["run", NAME, "--wait"]);
    assert_eq!(scene.json(&["doctor", "--json"])["runs"], serde_json::json!([]));
    assert_eq!(explained(&scene, "pod-a")["state"], "succeeded");
    let ended = scene.stopover(&["doctor", "nothing"]);
    assert!(ended.status == 7 && ended.stderr.contains("neither a run nor a migration"), "{}", ended.stderr);
}

#[test]
fn who_may_only_look_creates_nothing() {
    let scene = Scene::new().script(NAME, "true");
    let ended = scene.stopover(&["doctor", "--read-only"]);
    assert_eq!(ended.status, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(!scene.state().exists());
}
