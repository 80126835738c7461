//! `stopover doctor --probe`, as Kubernetes asks it.

use rustix::process::Signal;

use super::{STUBBORN, go, until_printed};
use crate::support::pod::Pod;
use crate::support::scene::Scene;

#[test]
fn the_probe_follows_the_life_of_the_keeper() {
    let scene = Scene::new().script("stubborn", STUBBORN);
    let ended = scene.stopover(&["doctor", "--probe"]);
    assert_eq!(ended.status, 1);
    assert!(ended.stderr.contains("no keeper lives here"), "{ended:?}");

    let mut pod = Pod::shared(&scene, &["--grace", "60s"]).ready();
    for probe in ["--probe", "--probe=live", "--probe=ready"] {
        let ended = pod.stopover(&["doctor", probe]);
        assert_eq!((ended.status, ended.stdout.lines().count()), (0, 1), "{ended:?}");
    }
    let run = pod.launch(&["stubborn"]);
    until_printed(&scene, &run, "on");
    pod.signal(Signal::TERM);
    pod.says("this pod is being shut down");
    let ready = pod.stopover(&["doctor", "--probe=ready"]);
    assert_eq!(ready.status, 1);
    assert!(ready.stderr.contains("the pod is being shut down"), "{ready:?}");
    assert_eq!(pod.stopover(&["doctor", "--probe"]).status, 0, "it still lives");
    go(&scene);
    assert!(pod.ends().success());
    assert_eq!(scene.stopover(&["doctor", "--probe"]).status, 1, "and now no more");
}

#[test]
fn a_probe_notices_a_keeper_that_was_killed() {
    let scene = Scene::new();
    let mut pod = Pod::shared(&scene, &[]).ready();
    pod.signal(Signal::KILL);
    pod.ends();
    assert!(scene.state().join("keeper.pid").exists());
    assert_eq!(scene.stopover(&["doctor", "--probe"]).status, 1);
}

#[test]
fn a_probe_asks_neither_the_ledger_nor_the_catalog_nor_for_secrets() {
    let scene = Scene::new();
    let pod = Pod::new(&scene, &[]).ready();
    let mut probe = pod.exec(&[crate::support::scene::STOPOVER, "doctor", "--probe=ready"]);
    probe.env("STOPOVER_CATALOG", "/nowhere").env("MONGODB_URI_FILE", "/nowhere").env("STOPOVER_LEDGER", "nonsense");
    let output = probe.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
