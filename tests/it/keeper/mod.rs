//! The keeper, as PID 1 of a process namespace and as one process among others: real processes, real signals, real namespaces.

mod ecs;
mod guests;
mod idle;
mod killed;
mod listener;
mod metrics;
mod post;
mod probe;
mod reaping;
mod recovery;
mod shutdown;
mod trouble;

use std::fs;

use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};

/// A program that stops at its checkpoint when it is asked to.
const POLITE: &str = "trap 'echo \"::stopover {\\\"checkpoint\\\":{\\\"at\\\":8}}\"; exit 75' TERM; echo on; while :; do sleep 0.05; done";
/// A program that does not.
const RUDE: &str = "trap '' TERM; echo on; while :; do sleep 0.05; done";

/// A program that does not, but ends by itself after [`go`].
const STUBBORN: &str = "trap '' TERM; echo on; while [ ! -e go ]; do sleep 0.05; done; exit 75";

/// Lets programs go on that wait for it; they run in the directory of their file.
fn go(scene: &Scene) {
    fs::write(scene.path().join("migrations/go"), "").unwrap();
}

/// The log file of a run.
fn log(scene: &Scene, run: &str) -> String {
    fs::read_to_string(scene.state().join(format!("runs/{run}.log"))).unwrap_or_default()
}

/// Waits until a program has printed a line.
#[track_caller]
fn until_printed(scene: &Scene, run: &str, line: &str) {
    let record = format!(" stdout F {line}\n");
    eventually(&format!("{run} prints {line}"), PATIENCE, || log(scene, run).contains(&record).then_some(()));
}
