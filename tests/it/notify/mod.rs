//! Who is told what happens to runs, by real messages of the real binary to a real server.

mod command;
mod events;
mod faults;
mod held;
mod lost;
mod pods;
mod secrets;
mod settings;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};

/// A scene whose `notify` is this, as lines of YAML.
fn telling(notify: &str) -> Scene {
    let scene = Scene::new();
    tell(&scene, notify);
    scene
}

/// Changes who is told.
fn tell(scene: &Scene, notify: &str) {
    let project = format!("catalog:\n  - files: migrations/*\nnotify:\n{notify}");
    fs::write(scene.path().join("stopover.yaml"), project).unwrap();
}

/// Waits until no process of this scene is left: a worker that lingers has ended then.
#[track_caller]
fn until_all_ended(scene: &Scene) {
    let state = scene.state().display().to_string();
    eventually("every worker has ended", PATIENCE * 2, || {
        let is_left = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let is = |file: &str, part: &str| {
                fs::read(entry.path().join(file)).is_ok_and(|text| String::from_utf8_lossy(&text).contains(part))
            };
            is("cmdline", "stopover") && is("environ", &state)
        });
        (!is_left).then_some(())
    });
}

/// Files below a directory that hold a text.
fn holding(directory: &Path, text: &str) -> String {
    let output = Command::new("grep").args(["-rlaF", "--", text]).arg(directory).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
