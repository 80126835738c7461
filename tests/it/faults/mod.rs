//! Everything that happens to a pod, produced for real. After each fault the [`checker`] looks at what is there: the ledger tells the truth, no second
//! worker ran, no line of output is missing from the file, nothing was left out or done twice, and a resume finishes the work.
//!
//! | fault | tests |
//! |---|---|
//! | worker killed, its whole session killed, worker frozen | `worker.rs`; `worker/guarding.rs`; steps: `engine/faults/killed.rs`, `frozen.rs` |
//! | program killed, out of memory in a cgroup | `worker.rs`, `memory.rs` |
//! | program that leaves daemons behind | `daemons.rs`; `worker/stopping.rs` |
//! | keeper killed, pod shut down | `keeper/killed.rs`, `keeper/shutdown.rs` |
//! | worker frozen and its guard killed | `worker/takeover.rs` |
//! | console killed, its terminal gone, nobody reading it | `console.rs`; `console/terminal.rs`, `worker/detached.rs` |
//! | ledger away for less and for more than the lease | `ledger_away.rs`; `mongodb/away.rs`; locked file: `worker/stopping.rs`; steps: `engine/faults/steered.rs` |
//! | primary steps down, majority lost | `replica_set.rs`; `engine/faults/failover.rs` |
//! | network cut between worker and ledger, not between its work and the data | `network.rs` |
//! | state directory full, read-only, deleted | `disk.rs`; `worker/log.rs` |
//! | log file deleted, or not writable | `disk.rs`; `worker/log.rs` |
//! | mirror's reader stalled, gone, never there | `mirror.rs`; `worker/mirror.rs` |
//! | system clock set back and forth | `clock.rs` |
//! | pid of a dead worker taken by another process | `pids.rs` |
//! | writer of an embedded ledger killed in the middle of a write | `ledger/race.rs` |
//! | ledger upgraded by a newer version during a run | `newer.rs`; `ledger/contract.rs` |
//! | lease messages lost, late and repeated, workers frozen at any point | `ledger/lease_model/` |

mod checker;
mod clock;
mod console;
mod daemons;
mod disk;
mod ledger_away;
mod memory;
mod mirror;
mod network;
mod newer;
mod pids;
mod replica_set;
mod worker;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stopover::process::ProcessIdentity;

use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};

use checker::Checker;
use checker::program::Diligent;

const NAME: &str = "20270201_diligent";
/// The shortest there is.
const LEASE: &str = "3s";

/// A diligent program in a pod.
struct Case {
    scene: Scene,
    program: Diligent,
}

impl Case {
    /// With an embedded ledger.
    fn new() -> Self {
        Self::of(Scene::new())
    }

    fn of(scene: Scene) -> Self {
        Self::with(scene, "", "")
    }

    /// With a program that does some more at its start, and after each item.
    fn with(scene: Scene, first: &str, each: &str) -> Self {
        let program = Diligent::new();
        let scene = scene.script(NAME, &program.script_with(first, each)).variable("STOPOVER_LEASE", LEASE);
        Self { scene, program }
    }

    /// Stamps a ledger that is not embedded.
    fn stamped(self) -> Self {
        self.scene.must(&["init", "--environment", "staging"]);
        self
    }

    /// Launches it, and waits until it works and the ledger knows.
    #[track_caller]
    fn start(&self) -> Value {
        self.scene.launch(&[NAME]);
        until_done(&self.scene, NAME, 3)
    }

    fn checker(&self) -> Checker<'_> {
        Checker { pods: vec![&self.scene], migration: NAME, program: Some(&self.program) }
    }

    /// See [`Checker::resume_and_check`].
    #[track_caller]
    fn resume_and_check(&self) -> Value {
        self.checker().resume_and_check()
    }

    fn log(&self, run: &Value) -> String {
        let bytes = fs::read(self.log_path(run)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_path(&self, run: &Value) -> PathBuf {
        self.scene.state().join("runs").join(format!("{}.log", run["id"].as_str().unwrap()))
    }

    #[track_caller]
    fn until_logged(&self, run: &Value, text: &str) {
        eventually(&format!("{text} in the log"), PATIENCE, || self.log(run).contains(text).then_some(()));
    }
}

/// Waits until the latest run of a migration shows that more is done, and returns it.
#[track_caller]
fn until_done(scene: &Scene, migration: &str, count: i64) -> Value {
    let mut seen = Value::Null;
    eventually("its progress is known", PATIENCE, || {
        let run = scene.run(migration);
        if run["state"] != seen {
            seen = run["state"].clone();
            eprintln!("{run:#}");
        }
        Some(run).filter(|run| run["done"].as_i64().is_some_and(|done| done >= count))
    })
}

fn worker_of(run: &Value) -> i32 {
    i32::try_from(run["pid"].as_i64().expect("a worker has claimed it")).unwrap()
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[track_caller]
fn until_dead(what: &str, pid: i32) {
    eventually(&format!("{what} is gone"), PATIENCE, || ProcessIdentity::of(pid).is_none().then_some(()));
}

/// Runs a tool of the system that must succeed; `package` has it.
#[track_caller]
fn tool(package: &str, words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output =
        output.unwrap_or_else(|error| panic!("{}: {error}; `apt-get install {package}` installs it", words[0]));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{}` fails: {complaint}this test needs root", words.join(" "));
}
