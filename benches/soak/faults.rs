//! What happens to a run.

use std::fs;
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stopover::logs::record::{Stream, push_prefix};
use stopover::process::members_of_session;
use stopover::time::Timestamp;

use crate::random::Random;
use crate::support::scene::Scene;
use crate::world::Place;

/// Longer than a lease, at most.
const LONG: Duration = Duration::from_secs(6);
/// How long a worker may take to post another guard: it looks once a second.
const GUARD_WITHIN: Duration = Duration::from_millis(2_500);

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    WorkerKilled,
    SessionKilled,
    WorkerFrozen,
    WorkerHeldStill,
    ProgramKilled,
    GuardKilled,
    WorkerAskedToEnd,
    Paused,
    Cancelled,
    LogDeleted,
    LedgerHeldUp,
    LedgerBrokenOff,
}

impl Fault {
    /// One that can happen to a program, or to steps.
    pub fn any(random: &mut Random, program: bool) -> Self {
        match random.below(if program { 12 } else { 10 }) {
            0 => Self::WorkerKilled,
            1 => Self::SessionKilled,
            2 => Self::WorkerFrozen,
            3 => Self::WorkerHeldStill,
            4 => Self::GuardKilled,
            5 => Self::WorkerAskedToEnd,
            6 => Self::Paused,
            7 => Self::LogDeleted,
            8 => Self::LedgerHeldUp,
            9 => Self::LedgerBrokenOff,
            10 => Self::ProgramKilled,
            // Seldom: it ends the run.
            _ if random.below(3) == 0 => Self::Cancelled,
            _ => Self::ProgramKilled,
        }
    }

    /// Its name, of many.
    pub fn word(self) -> &'static str {
        match self {
            Self::WorkerKilled => "workers killed",
            Self::SessionKilled => "sessions killed",
            Self::WorkerFrozen => "workers frozen",
            Self::WorkerHeldStill => "workers held still for a moment",
            Self::ProgramKilled => "programs killed",
            Self::GuardKilled => "guards killed",
            Self::WorkerAskedToEnd => "workers asked to end",
            Self::Paused => "pauses",
            Self::Cancelled => "cancels",
            Self::LogDeleted => "logs deleted",
            Self::LedgerHeldUp => "ledgers held up",
            Self::LedgerBrokenOff => "ledgers broken off",
        }
    }
}

/// A run at work.
pub struct Victim<'a> {
    pub place: &'a Place,
    pub name: &'a str,
    pub run: &'a Value,
}

impl Victim<'_> {
    /// Has it happen; whether it could.
    pub fn suffers(&self, fault: Fault, random: &mut Random) -> bool {
        match fault {
            Fault::WorkerKilled => self.worker().is_some_and(|pid| signal(pid, Signal::KILL)),
            Fault::SessionKilled => self.worker().is_some_and(|pid| {
                let killed = members_of_session(pid).into_iter().filter(|&pid| signal(pid, Signal::KILL));
                killed.count() > 0
            }),
            Fault::WorkerFrozen => self.worker().is_some_and(|pid| signal(pid, Signal::STOP)),
            Fault::WorkerHeldStill => self.worker().is_some_and(|pid| {
                let stopped = signal(pid, Signal::STOP);
                sleep(random.within(LONG));
                // Its guard may have ended it meanwhile.
                if self.worker_in(|state| state == 'T') == Some(pid) {
                    signal(pid, Signal::CONT);
                }
                stopped
            }),
            Fault::ProgramKilled => self.below(|line| !line.contains("guard")),
            Fault::GuardKilled => {
                let killed = self.below(|line| line.contains("guard"));
                // A worker that stands still before it has posted another has nothing that ends its program.
                sleep(GUARD_WITHIN);
                killed
            }
            Fault::WorkerAskedToEnd => self.worker().is_some_and(|pid| signal(pid, Signal::TERM)),
            Fault::Paused => self.operator("pause", random),
            Fault::Cancelled => self.operator("cancel", random),
            Fault::LogDeleted => self.delete_log(),
            Fault::LedgerHeldUp => self.way(random, true),
            Fault::LedgerBrokenOff => self.way(random, false),
        }
    }

    /// The worker, if it lives and is not frozen: what is, is left to its guard, which nothing may happen to any more.
    fn worker(&self) -> Option<i32> {
        self.worker_in(|state| state != 'T')
    }

    /// The worker, if it lives in such a state.
    fn worker_in(&self, like: impl Fn(char) -> bool) -> Option<i32> {
        let pid = i32::try_from(self.run["pid"].as_i64()?).ok()?;
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        let is_it = memchr::memmem::find(&words, self.run["id"].as_str()?.as_bytes()).is_some();
        (is_it && like(state)).then_some(pid)
    }

    /// Kills one process of its session that is like this.
    fn below(&self, like: impl Fn(&str) -> bool) -> bool {
        let Some(worker) = self.worker() else { return false };
        members_of_session(worker).into_iter().filter(|&pid| pid != worker).any(|pid| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            like(&String::from_utf8_lossy(&words)) && signal(pid, Signal::KILL)
        })
    }

    /// Deletes the log that is written, and waits until its worker has seen it, which it looks for once a second.
    fn delete_log(&self) -> bool {
        let Some(pod) = self.place.pod(self.run["pod"].as_str().unwrap_or_default()) else { return false };
        let log = pod.state().join("runs").join(format!("{}.log", self.run["id"].as_str().unwrap()));
        if fs::remove_file(&log).is_err() {
            return false;
        }
        sleep(Duration::from_secs(3));
        // With no worker that could tell, the one who did it does.
        if let Ok(mut file) = fs::OpenOptions::new().append(true).create_new(true).open(&log) {
            let mut record = Vec::new();
            push_prefix(&mut record, Timestamp::of_this_machine(), Stream::System, false);
            record.extend_from_slice(b"the log file was removed or replaced during the run by a soak\n");
            let _ = file.write_all(&record);
        }
        true
    }

    fn operator(&self, verb: &str, random: &mut Random) -> bool {
        let pod = &self.place.pods[usize::try_from(random.below(self.place.pods.len() as u64)).unwrap()];
        pod.stopover(&[verb, self.name]).status == 0
    }

    /// The way to the ledger of one pod is held up or broken off; or the file is locked.
    fn way(&self, random: &mut Random, held_up: bool) -> bool {
        let time = random.within(LONG);
        if self.place.ways.is_empty() {
            return self.lock(time);
        }
        let way = &self.place.ways[usize::try_from(random.below(self.place.ways.len() as u64)).unwrap()];
        if held_up {
            way.hold_up();
        } else {
            way.break_off();
        }
        sleep(time);
        way.mend();
        true
    }

    fn lock(&self, time: Duration) -> bool {
        let file = self.place.pods[0].state().join("ledger.db");
        let Ok(ledger) = rusqlite::Connection::open(file) else { return false };
        let deadline = Instant::now() + LONG;
        while Instant::now() < deadline {
            if ledger.execute_batch("BEGIN IMMEDIATE").is_ok() {
                sleep(time);
                return ledger.execute_batch("ROLLBACK").is_ok();
            }
            sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Place {
    /// The pod of a name.
    fn pod(&self, name: &str) -> Option<&Scene> {
        let is_named = |pod: &&Scene| {
            let last = pod.environment().into_iter().rfind(|(variable, _)| variable == "STOPOVER_POD");
            last.is_some_and(|(_, pod)| pod == name)
        };
        self.pods.iter().find(is_named)
    }

    /// All its ways are open.
    pub fn mend(&self) {
        for way in &self.ways {
            way.mend();
        }
    }
}

/// Sends a signal to a process that may be gone; whether it was there.
fn signal(pid: i32, signal: Signal) -> bool {
    kill_process(Pid::from_raw(pid).unwrap(), signal).is_ok()
}
