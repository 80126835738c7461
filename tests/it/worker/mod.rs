//! Workers end to end: the real binary, real processes, the embedded ledger.

mod archive;
mod detached;
mod ecs;
mod guarding;
mod lingering;
mod log;
mod mirror;
mod outcomes;
mod stopping;
mod takeover;
mod telling;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use stopover::process::ProcessIdentity;

use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};

/// What a script does to wait for [`go`].
const WAIT_FOR_GO: &str = "while [ ! -e go ]; do sleep 0.05; done";

/// Lets scripts go on that wait for it; they run in the directory of their file.
fn go(scene: &Scene) {
    fs::write(scene.path().join("migrations/go"), "").unwrap();
}

fn log_path(scene: &Scene, run: &Value) -> PathBuf {
    scene.state().join("runs").join(format!("{}.log", run["id"].as_str().unwrap()))
}

/// The log file of a run as it is.
fn log_text(scene: &Scene, run: &Value) -> String {
    String::from_utf8_lossy(&fs::read(log_path(scene, run)).unwrap_or_default()).into_owned()
}

/// The texts of the records of one stream.
fn lines(scene: &Scene, run: &Value, stream: &str) -> Vec<String> {
    let tag = format!(" {stream} F ");
    log_text(scene, run).lines().filter_map(|record| Some(record.split_once(&tag)?.1.to_owned())).collect()
}

/// Waits until a script has printed a line, and returns its run.
#[track_caller]
fn until_printed(scene: &Scene, migration: &str, line: &str) -> Value {
    let run = scene.until(migration, &["running"]);
    eventually(&format!("{migration} prints {line}"), PATIENCE, || {
        lines(scene, &run, "stdout").iter().any(|printed| printed == line).then_some(())
    });
    run
}

/// The number that a script has left in a file beside it.
#[track_caller]
fn number_in(scene: &Scene, file: &str) -> i32 {
    let path = scene.path().join("migrations").join(file);
    eventually(&format!("a number in {file}"), PATIENCE, || fs::read_to_string(&path).ok()?.trim().parse().ok())
}

#[track_caller]
fn until_dead(what: &str, pid: i32) {
    eventually(&format!("{what} is gone"), PATIENCE, || ProcessIdentity::of(pid).is_none().then_some(()));
}

fn worker_of(run: &Value) -> i32 {
    i32::try_from(run["pid"].as_i64().expect("a worker has claimed it")).unwrap()
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}
