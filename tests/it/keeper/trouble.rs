//! A state directory that cannot be used: the pod stays, so that somebody can look.

use crate::support::pod::Pod;
use crate::support::scene::{STOPOVER, Scene};

/// A pod with something mounted at its state directory.
fn with_state<'a>(scene: &'a Scene, prepare: &str) -> Pod<'a> {
    std::fs::create_dir_all(scene.state()).unwrap();
    let script = format!("set -e; {prepare}; exec \"$0\" keep --grace 10s");
    Pod::of(scene, &["sh", "-c", &script, STOPOVER]).ready()
}

#[test]
fn a_read_only_state_directory_is_a_warning_and_the_pod_can_be_attached_to() {
    let scene = Scene::new().script("fine", "true");
    let mut pod = with_state(&scene, "mount -t tmpfs -o ro none state");
    assert!(pod.output().contains("warning: ") && pod.output().contains("Read-only file system"), "{}", pod.output());
    assert_eq!(pod.stopover(&["list"]).status, 0);
    assert_eq!(pod.stopover(&["doctor", "--probe"]).status, 0, "found as the first process");
    let ready = pod.stopover(&["doctor", "--probe=ready"]);
    assert!(ready.status == 1 && ready.stderr.contains("cannot be written to"), "{ready:?}");
    pod.shut_down();
    assert!(pod.output().contains("the shutdown cannot be announced"), "{}", pod.output());
}

#[test]
fn a_full_state_directory_is_a_warning_and_workers_are_stopped_all_the_same() {
    let scene = Scene::new().script("polite", super::POLITE);
    // The ledger is elsewhere: its disk is another.
    let ledger = format!("sqlite:{}", scene.path().join("ledger.db").display());
    let scene = scene.variable("STOPOVER_LEDGER", ledger);
    let prepare = "mount -t tmpfs -o size=64k none state; mkdir state/runs state/workers";
    let mut pod = with_state(&scene, prepare);
    let run = pod.launch(&["polite"]);
    scene.until("polite", &["running"]);
    let mut fill = pod.exec(&["sh", "-c", "cd \"$0\"; cat /dev/zero > fill; df .", scene.state().to_str().unwrap()]);
    let fill = fill.output().unwrap();
    assert!(String::from_utf8_lossy(&fill.stdout).contains("100%"), "{fill:?}");
    pod.shut_down();
    assert!(pod.output().contains("the shutdown cannot be announced"), "{}", pod.output());
    assert_eq!(scene.run("polite")["state"], "interrupted", "{run}: {}", pod.output());
}
