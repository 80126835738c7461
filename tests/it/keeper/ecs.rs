//! In the Elastic Common Schema the whole output of a pod is in it: the keeper's, its children's and the runs'.

use serde_json::{Map, Value};

use super::{RUDE, until_printed};
use crate::support::ecs;
use crate::support::pod::Pod;
use crate::support::scene::Scene;

fn scene() -> Scene {
    Scene::new().variable("STOPOVER_LOG_FORMAT", "ecs").variable("STOPOVER_MIRROR", "auto")
}

#[track_caller]
fn the<'l>(lines: &'l [Map<String, Value>], part: &str) -> &'l Map<String, Value> {
    lines
        .iter()
        .find(|line| line["message"].as_str().unwrap().contains(part))
        .unwrap_or_else(|| panic!("{part}: {lines:?}"))
}

#[test]
fn all_that_a_pod_prints_from_its_start_to_its_end_keeps_to_the_schema() {
    let scene = scene().script("rude", RUDE);
    let mut pod = Pod::new(&scene, &["--grace", "8s"]).ready();
    pod.says("no run is unfinished");
    let run = pod.launch(&["rude"]);
    until_printed(&scene, &run, "on");
    pod.says("\"message\":\"on\"");
    // Its keeper has to kill it, and a child of the keeper to report it.
    pod.signal_within(scene.run("rude")["pid"].as_i64().unwrap(), "STOP");
    pod.shut_down();
    let lines = ecs::read_all(&pod.output());
    for line in &lines {
        let is_of_run = line["event.dataset"] == "stopover.run";
        assert!(is_of_run || line["event.dataset"] == "stopover.pod", "{line:?}");
        assert_eq!((&line["service.name"], &line["service.node.name"]), (&"stopover".into(), &"pod-a".into()));
        assert!(!is_of_run || line["trace.id"] == run.replace('-', ""), "{line:?}");
    }
    assert_eq!(the(&lines, "it reaps what is orphaned")["log.level"], "info");
    assert_eq!(the(&lines, "it reaps what is orphaned").get("trace.id"), None);
    for part in ["did not stop in time", "was killed after", "is recorded as interrupted"] {
        let line = the(&lines, part);
        assert_eq!((&line["log.level"], &line["event.dataset"]), (&"warn".into(), &"stopover.pod".into()));
        assert_eq!(
            (&line["trace.id"], &line["labels.stopover_run"]),
            (&run.replace('-', "").into(), &run.clone().into())
        );
    }

    let mut pod = Pod::new(&scene, &[]).ready();
    pod.says("is interrupted");
    pod.shut_down();
    let lines = ecs::read_all(&pod.output());
    let line = the(&lines, "is interrupted");
    assert_eq!((&line["log.level"], &line["labels.stopover_run"]), (&"warn".into(), &run.into()));
}

#[test]
fn a_keeper_that_cannot_begin_says_so_in_the_schema() {
    let scene = scene();
    let pod = Pod::new(&scene, &[]).ready();
    let ended = pod.stopover(&["keep"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (7, ""));
    let lines = ecs::read_all(&ended.stderr);
    assert_eq!(lines[0]["log.level"], "error");
    assert!(lines.len() == 1 && lines[0]["message"].as_str().unwrap().starts_with("a keeper is at work here already"));
}
