//! Daemons of a program: processes that have left its process group and its session, and would work on when the run is long over.
//!
//! They are found by a mark that every process inherits from the program in its environment: which worker started it. What clears its environment is
//! not found. Nor is this binary itself ever taken for one: a program may launch other migrations, whose workers inherit the mark, too.

use std::{fs, io};

use rustix::process::{Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal};

use crate::process::{self, ProcessIdentity};

/// What all processes of one worker's program have in their environment.
#[derive(Clone, Debug)]
pub struct Mark(String);

impl Mark {
    /// The variable that holds it.
    pub const VARIABLE: &str = "STOPOVER_WORKER";

    /// Of this worker.
    #[must_use]
    pub fn of_this_worker() -> Self {
        Self::of(ProcessIdentity::current())
    }

    /// Of the worker that posted this process as its guard; `None` when it is dead already.
    #[must_use]
    pub fn of_parent() -> Option<Self> {
        let parent = getppid()?.as_raw_nonzero().get();
        ProcessIdentity::of(parent).map(Self::of)
    }

    /// Of a worker.
    #[must_use]
    pub fn of(worker: ProcessIdentity) -> Self {
        Self(format!("{}.{}", worker.pid, worker.start_ticks))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The living processes that carry it.
    #[must_use]
    pub fn carriers(&self) -> Vec<i32> {
        process::pids().filter(|&pid| self.is_on(pid)).collect()
    }

    /// Sends a signal to all that carry it.
    pub fn signal(&self, signal: Signal) {
        for pid in self.carriers() {
            let Some(pid) = Pid::from_raw(pid) else { continue };
            // The descriptor stays with the process; looked at once more, it cannot be a stranger that got the pid meanwhile.
            if let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
                && self.is_on(pid.as_raw_nonzero().get())
            {
                let _ = pidfd_send_signal(handle, signal);
            }
        }
    }

    /// Kills all that carry it, and what they fork meanwhile.
    ///
    /// # Errors
    /// When something lives on after a second.
    pub fn kill_all(&self) -> io::Result<()> {
        process::end_all(|| self.carriers())
    }

    fn is_on(&self, pid: i32) -> bool {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
        let marked = environment.split(|&byte| byte == 0).any(|variable| {
            let value = variable.strip_prefix(Self::VARIABLE.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            value == Some(self.0.as_bytes())
        });
        marked && !process::is_own_binary(pid)
    }
}
