//! What must hold after any fault, read from what is there: the run's events, its log files, and what its program wrote down itself.
//!
//! - *The ledger tells the truth*: the events of a run replay to the state that it shows; each attempt is claimed once, none before the one before it was
//!   over, and nothing follows a final state (`history.rs`).
//! - *No second worker ran*: the programs of a migration wrote into their journal one after the other, never in turns (`journal.rs`).
//! - *No output line was lost*: what a program says it printed is in the log file once and in order, up to what the worker had not yet read when it was killed;
//!   a gap in between stands where the log itself says so (`log.rs`).
//! - *No item was left out*: each attempt goes on where its checkpoint says.

mod history;
mod journal;
mod log;
pub mod program;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};

use history::History;
use log::Logs;
use program::Diligent;

/// How often, and how soon, what does not hold is looked at again.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// Something that does not hold.
#[derive(Clone, Debug)]
pub enum Violation {
    /// Work or output is missing.
    Lost(String),
    /// Something was done twice, or by two at once.
    Twice(String),
    /// The ledger or a log says what is not so.
    Untrue(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Lost(what) | Self::Twice(what) | Self::Untrue(what)) = self;
        f.write_str(what)
    }
}

/// A migration that was through something, and the pods that it may have been in.
pub struct Checker<'a> {
    /// All of one ledger. The last one is asked.
    pub pods: Vec<&'a Scene>,
    /// Its name.
    pub migration: &'a str,
    /// What it runs, unless it is steps.
    pub program: Option<&'a Diligent>,
}

impl Checker<'_> {
    /// Fails when anything does not hold, and returns the latest run.
    #[track_caller]
    pub fn check(&self) -> Value {
        let (run, violations) = self.look();
        let told: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "{}\n{run:#}", told.join("\n"));
        run
    }

    /// What does not hold, and the latest run. What is at work while it is looked at is looked at again: a violation stays.
    pub fn look(&self) -> (Value, Vec<Violation>) {
        let (mut run, mut violations) = self.look_once();
        for _ in 0..LOOKS {
            if violations.is_empty() {
                break;
            }
            std::thread::sleep(PAUSE);
            (run, violations) = self.look_once();
        }
        (run, violations)
    }

    /// As [`Checker::check`]; then has the work done that is left, by a resume if there must be one, and checks again.
    #[track_caller]
    pub fn resume_and_check(&self) -> Value {
        self.check();
        self.finish();
        let run = self.check();
        assert_eq!(run["state"], "succeeded", "{run:#}");
        run
    }

    /// Has the work done that is left: resumes the latest run whenever it stands still, until it has succeeded.
    #[track_caller]
    pub fn finish(&self) {
        if let Some(program) = self.program {
            program.go();
        }
        let pod = self.pods.last().unwrap();
        eventually(&format!("{} has succeeded", self.migration), 4 * PATIENCE, || {
            let run = self.latest();
            match run["state"].as_str().unwrap() {
                "succeeded" => return Some(()),
                "lost" | "paused" | "interrupted" | "failed" => {
                    // Another may have been first, or the worker has just come back.
                    pod.stopover(&["resume", run["id"].as_str().unwrap()]);
                }
                _ => {}
            }
            None
        });
        if let Some(program) = self.program {
            program.hold();
        }
    }

    /// The ledger first, then the logs, then what the programs say: each is ahead of the one before.
    fn look_once(&self) -> (Value, Vec<Violation>) {
        let shown = self.shown();
        let runs = shown["runs"].as_array().unwrap();
        let mut violations = Vec::new();
        let mut histories = Vec::new();
        for run in runs {
            match History::replay(run) {
                Ok(history) => histories.push((run, history)),
                Err(violation) => violations.push(violation),
            }
        }
        let open = runs.iter().filter(|run| history::is_open(run)).count();
        if open > 1 {
            violations.push(Violation::Twice(format!("{open} runs of {} are open at once", self.migration)));
        }
        if let Some(program) = self.program {
            let logs: Vec<Logs> =
                histories.iter().map(|(run, _)| Logs::read(self.pods.iter().map(|pod| log_path(pod, run)))).collect();
            match program.journal() {
                Err(violation) => violations.push(violation),
                Ok(journal) => {
                    for ((run, history), logs) in histories.iter().zip(&logs) {
                        violations.extend(journal.disagreements(run, history));
                        violations.extend(logs.disagreements(&journal, run, history));
                    }
                }
            }
        }
        (runs[0].clone(), violations)
    }

    /// The latest run.
    pub fn latest(&self) -> Value {
        self.shown()["runs"][0].clone()
    }

    /// What the ledger shows, as soon as it answers.
    fn shown(&self) -> Value {
        let pod = self.pods.last().unwrap();
        eventually("the ledger answers", 2 * PATIENCE, || {
            let shown = pod.stopover(&["show", self.migration, "--json"]);
            (shown.status == 0).then(|| serde_json::from_str(&shown.stdout).unwrap())
        })
    }
}

fn log_path(pod: &Scene, run: &Value) -> PathBuf {
    pod.state().join("runs").join(format!("{}.log", run["id"].as_str().unwrap()))
}
