//! The workers of a pod that ends.

use std::fmt::Display;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::catalog::MigrationId;
use crate::events::{Level, Subject};
use crate::keeper::children::Attempt;
use crate::keeper::events::Death;
use crate::keeper::neighbours::Task;
use crate::process::{self, ProcessIdentity};
use crate::time::short_duration;
use crate::voice::Voice;
use crate::worker::strays::Mark;

use super::send;

/// The workers that were met, and what became of them.
#[derive(Default)]
pub struct Ward {
    workers: Vec<Patient>,
    /// Who comes now comes late.
    announced: bool,
}

struct Patient {
    process: ProcessIdentity,
    task: Task,
    met: Instant,
    state: State,
    /// It said itself that all is reported: it ended with status 0.
    is_clean: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Met,
    Asked,
    Killed,
    Gone { killed: bool },
}

impl Ward {
    /// Takes somebody in, unless they were met before.
    pub fn admit(&mut self, process: ProcessIdentity, task: Task) {
        if !self.workers.iter().any(|patient| patient.process == process) {
            let met = Instant::now();
            self.workers.push(Patient { process, task, met, state: State::Met, is_clean: false });
        }
    }

    /// Asks those who were not to stop, for this signal and within this time, and says so.
    pub fn ask(&mut self, signal: &str, left: Duration, voice: &Voice) {
        let is_first = !std::mem::replace(&mut self.announced, true);
        if is_first {
            self.announce(signal, left, voice);
        }
        for patient in self.workers.iter_mut().filter(|patient| patient.state == State::Met) {
            if !is_first {
                patient.task.tell(voice, Level::Info, "was being launched, and is asked to stop, too");
            }
            send(patient.process, Signal::TERM);
            patient.state = State::Asked;
        }
    }

    fn announce(&self, signal: &str, left: Duration, voice: &Voice) {
        let work = match self.workers.len() {
            0 => "no worker is at work".to_owned(),
            count => format!("{} asked to stop within {}", is_or_are(count), short_duration(left)),
        };
        voice.say(format_args!("{signal}: this pod is being shut down and launches nothing any more; {work}"));
    }

    /// Notices who has ended.
    pub fn look(&mut self, voice: &Voice) {
        for patient in &mut self.workers {
            let killed = match patient.state {
                State::Gone { .. } => continue,
                State::Killed => true,
                State::Met | State::Asked => false,
            };
            if patient.process.is_alive() {
                continue;
            }
            // Unless it ended in order, what it has started must be gone, too, before anybody says that its run has ended: the next pod
            // may resume it at once.
            if !patient.is_clean && !belongings(patient.process).is_empty() {
                continue;
            }
            patient.state = State::Gone { killed };
            let (level, how) = if killed { (Level::Warn, "was killed") } else { (Level::Info, "has stopped") };
            patient.task.tell(voice, level, format_args!("{how} after {}", tenths(patient.met.elapsed())));
        }
    }

    /// Ends those who are left, with everything they have started: the worker first, which must not take this for its program's own end.
    pub fn kill(&mut self, voice: &Voice) {
        for patient in &mut self.workers {
            if !matches!(patient.state, State::Gone { .. } | State::Killed) {
                patient.task.tell(voice, Level::Warn, "did not stop in time");
                patient.state = State::Killed;
            }
            if patient.state == State::Killed {
                send(patient.process, Signal::KILL);
                for pid in belongings(patient.process).into_iter().filter_map(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
        }
    }

    /// Takes in who died.
    pub fn hear(&mut self, deaths: &[Death]) {
        for death in deaths.iter().filter(|death| death.is_clean()) {
            if let Some(patient) = self.workers.iter_mut().find(|patient| patient.process.pid == death.pid) {
                patient.is_clean = true;
            }
        }
    }

    /// Whether any of them still lives, or what a killed one has started.
    #[must_use]
    pub fn is_anybody_left(&self) -> bool {
        self.workers.iter().any(|patient| !matches!(patient.state, State::Gone { .. }))
    }

    /// The attempts of those who are gone and may not have reported it.
    #[must_use]
    pub fn silent(&self) -> Vec<Attempt> {
        let gone = self.workers.iter().filter(|patient| matches!(patient.state, State::Gone { .. }));
        gone.filter(|patient| !patient.is_clean).map(|patient| patient.task.attempt).collect()
    }

    /// What became of them all.
    #[must_use]
    pub fn summary(&self, took: Duration) -> String {
        let count = |state: State| self.workers.iter().filter(|patient| patient.state == state).count();
        let (stopped, killed) = (count(State::Gone { killed: false }), count(State::Gone { killed: true }));
        let left = self.workers.len() - stopped - killed;
        let part = |count, what| if count > 0 { format!(", {count} {what}") } else { String::new() };
        format!(
            "{} stopped in {}{}{}",
            workers(stopped),
            tenths(took),
            part(killed, "killed"),
            part(left, "could not be ended")
        )
    }
}

impl Task {
    /// Says what becomes of it.
    fn tell(&self, voice: &Voice, level: Level, what: impl Display) {
        let Attempt { run, number } = self.attempt;
        let migration = self.migration.as_deref().and_then(|name| MigrationId::new(name).ok());
        let subject = Subject { run, migration, attempt: Some(number) };
        voice.tell(level, Some(&subject), format_args!("{} {what}", self.name()));
    }

    fn name(&self) -> String {
        let run = self.attempt.run.short();
        self.migration.as_ref().map_or_else(|| format!("run {run}"), |migration| format!("{migration} (run {run})"))
    }
}

fn workers(count: usize) -> String {
    if count == 1 { "1 worker".to_owned() } else { format!("{count} workers") }
}

fn is_or_are(count: usize) -> String {
    format!("{} {}", workers(count), if count == 1 { "is" } else { "are" })
}

/// What a worker has started and still lives: its session, and the daemons that have left it.
fn belongings(worker: ProcessIdentity) -> Vec<i32> {
    let mut pids = process::members_of_session(worker.pid);
    pids.extend(Mark::of(worker).carriers());
    pids
}

fn tenths(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
