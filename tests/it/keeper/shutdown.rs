//! The end of a pod: every run is interrupted, none is lost.

use std::process::Stdio;

use rustix::process::Signal;

use super::{POLITE, RUDE, STUBBORN, go, log, until_printed};
use crate::support::eventually;
use crate::support::pod::Pod;
use crate::support::scene::{PATIENCE, STOPOVER, Scene};

#[test]
fn ten_workers_of_all_kinds_are_interrupted_and_every_line_of_theirs_is_in_the_log() {
    // Asked, it prints a thousand lines and then stops at its checkpoint.
    let talks = "trap 'seq 1000; exit 75' TERM; echo on; while :; do sleep 0.05; done";
    let dies = "echo on; exec sleep 1000";
    let mut scene = Scene::new();
    let names: Vec<String> = (0..10).map(|number| format!("m{number}")).collect();
    for (name, script) in names.iter().zip([POLITE, RUDE, talks, dies].into_iter().cycle()) {
        scene = scene.script(name, script);
    }
    let mut pod = Pod::new(&scene, &["--grace", "20s"]).ready();
    let runs: Vec<String> = names.iter().map(|name| pod.launch(&[name])).collect();
    for run in &runs {
        until_printed(&scene, run, "on");
    }
    pod.shut_down();
    for ((name, run), kind) in names.iter().zip(&runs).zip((0..4).cycle()) {
        let now = scene.run(name);
        assert_eq!(now["state"], "interrupted", "{name}: {now}\n{}", pod.output());
        assert_eq!(now["reason"], "its pod was shut down");
        let log = log(&scene, run);
        assert!(log.contains("SIGTERM to the program: the pod is being shut down; it has 1"), "{log}");
        assert!(log.trim_end().ends_with("interrupted: its pod was shut down"), "{log}");
        match kind {
            0 => assert_eq!(now["checkpoint"], serde_json::json!({ "at": 8 })),
            1 => assert!(log.contains("SIGKILL to the program: it did not end in time"), "{log}"),
            2 => assert!((1..=1000).all(|line| log.contains(&format!(" stdout F {line}\n"))), "{log}"),
            _ => {}
        }
        let digits = &run.replace('-', "")[24..];
        assert!(pod.output().contains(&format!("stopover: {name} (run {digits}) has stopped")), "{}", pod.output());
    }
    assert!(pod.output().contains("10 workers are asked to stop"), "{}", pod.output());
    assert!(pod.output().contains("stopover: 10 workers stopped in "), "{}", pod.output());
}

#[test]
fn launches_that_are_under_way_when_the_pod_ends_leave_no_run_behind_that_looks_alive() {
    let names: Vec<String> = (0..8).map(|number| format!("m{number}")).collect();
    let scene = names.iter().fold(Scene::new(), |scene, name| scene.script(name, POLITE));
    let mut pod = Pod::new(&scene, &["--grace", "30s"]).ready();
    pod.launch(&["m0"]);
    let launches: Vec<_> = names[1..]
        .iter()
        .map(|name| {
            let mut launch = pod.exec(&[STOPOVER, "run", name]);
            launch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    eventually("one of them is recorded", PATIENCE, || {
        let runs = scene.json(&["runs", "--json"]);
        (runs.as_array().unwrap().len() > 1).then_some(())
    });
    pod.shut_down();
    for (launch, name) in launches.into_iter().zip(&names[1..]) {
        let ended = launch.wait_with_output().unwrap();
        let runs = scene.json(&["show", name, "--json"])["runs"].clone();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        match runs.as_array().unwrap().as_slice() {
            [] => assert!(!ended.status.success(), "{name}: {said}"),
            [run] => assert_eq!(run["state"], "interrupted", "{name}: {said}{}", pod.output()),
            more => panic!("{more:?}"),
        }
    }
}

#[test]
fn a_pod_that_is_being_shut_down_launches_and_resumes_nothing_and_says_where_to() {
    let scene = Scene::new().script("stubborn", STUBBORN).script("parts", "exit 75").script("other", "true");
    let mut pod = Pod::new(&scene, &["--grace", "60s"]).ready();
    pod.launch(&["parts"]);
    scene.until("parts", &["interrupted"]);
    let run = pod.launch(&["stubborn"]);
    until_printed(&scene, &run, "on");
    pod.signal(Signal::TERM);
    pod.says("this pod is being shut down");
    for command in [["run", "other"], ["resume", "parts"]] {
        let ended = pod.stopover(&command);
        assert_eq!(ended.status, 7, "{ended:?}");
        assert!(ended.stderr.contains("being shut down") && ended.stderr.contains("from another pod"), "{ended:?}");
    }
    pod.signal(Signal::TERM);
    pod.says("SIGTERM again: the pod is being shut down already");
    pod.signal(Signal::INT);
    pod.says("SIGINT again: the pod is being shut down already");
    go(&scene);
    assert!(pod.ends().success(), "{}", pod.output());
    assert_eq!(scene.run("stubborn")["state"], "interrupted");
    // The next pod has the same state directory and is not bound by what the last one announced.
    let next = Pod::new(&scene, &[]).ready();
    assert_eq!(next.stopover(&["run", "other", "--wait"]).status, 0);
}

#[test]
fn a_storm_of_dying_processes_does_not_keep_the_keeper_from_stopping_workers() {
    let scene = Scene::new().script("polite", POLITE);
    let mut pod = Pod::new(&scene, &["--grace", "30s"]).ready();
    let run = pod.launch(&["polite"]);
    until_printed(&scene, &run, "on");
    // It ends with the pod.
    let mut storm = pod.exec(&["sh", "-c", "echo on; while :; do ( : & ); done"]);
    let mut storm = storm.stdout(Stdio::piped()).spawn().unwrap();
    std::io::Read::read_exact(storm.stdout.as_mut().unwrap(), &mut [0; 3]).unwrap();
    pod.shut_down();
    assert_eq!(scene.run("polite")["state"], "interrupted", "{}", pod.output());
    storm.wait().unwrap();
}

#[test]
fn an_idle_pod_ends_at_once() {
    let scene = Scene::new();
    let mut pod = Pod::new(&scene, &["--grace", "1h"]).ready();
    pod.signal(Signal::INT);
    assert!(pod.ends().success());
    assert!(
        pod.output().contains("SIGINT: this pod is being shut down") && pod.output().contains("no worker is at work")
    );
    assert!(!scene.state().join("keeper.pid").exists() && !scene.state().join("shutdown.json").exists());
}

#[test]
fn a_pause_with_a_long_grace_is_cut_short_by_the_end_of_the_pod() {
    let scene = Scene::new().script("rude", RUDE).variable("STOPOVER_GRACE", "10m");
    let mut pod = Pod::new(&scene, &["--grace", "8s"]).ready();
    let run = pod.launch(&["rude"]);
    until_printed(&scene, &run, "on");
    scene.must(&["pause", &run]);
    eventually("it is asked to pause", PATIENCE, || {
        log(&scene, &run).contains("asked it to pause; it has 10 min").then_some(())
    });
    pod.shut_down();
    let log = log(&scene, &run);
    assert!(log.contains("the pod is being shut down; it has only"), "{log}");
    assert_eq!(scene.run("rude")["state"], "paused", "what the operator asked for holds\n{log}");
}
