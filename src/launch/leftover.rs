//! What is left in this pod of a lost run's worker.
//!
//! A lost run is taken over because nobody can live that may write for it: a worker stops its program before its lease ends, and its
//! guard ends both if it cannot. But the ledger may have come to that by a clock that was set forward (an embedded ledger has only this
//! machine's), or somebody may have killed the guard. Here, where the processes can be seen, nothing is left to that: they are killed
//! before the next attempt starts.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::ledger::{Run, Standing};
use crate::place::Place;
use crate::process::{self, ProcessIdentity};
use crate::time::Timestamp;
use crate::worker::strays::Mark;

/// Processes of a lost attempt that still live.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leftover {
    worker: ProcessIdentity,
    /// The whole session of a living worker is its own. Of a dead one, whose pid may be anybody's by now, only what carries its mark.
    is_worker_alive: bool,
}

impl Leftover {
    /// What is left of `run`, as it was read at `now`, if it is lost and its worker was of this pod.
    pub fn find(run: &Run, now: Timestamp, here: &Place) -> Option<Self> {
        let worker = run.worker.as_ref().filter(|worker| worker.place.pod == here.pod)?;
        if run.standing(now) != Standing::Lost {
            return None;
        }
        let worker = worker.process;
        let found = Self { worker, is_worker_alive: worker.is_alive() };
        (!found.members().is_empty()).then_some(found)
    }

    /// All of it.
    pub fn pids(self) -> Vec<i32> {
        self.members()
    }

    /// The pid of the worker.
    pub fn pid(self) -> i32 {
        self.worker.pid
    }

    /// Whether this process may kill all of it.
    ///
    /// # Errors
    /// When the system says that it may not.
    pub fn check(self) -> io::Result<()> {
        for pid in self.members().into_iter().filter_map(Pid::from_raw) {
            match test_kill_process(pid) {
                // It has ended meanwhile.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Kills it and waits until it is gone.
    ///
    /// # Errors
    /// When something of it lives on.
    pub async fn end(self) -> io::Result<()> {
        tokio::task::spawn_blocking(move || process::end_all(|| self.members())).await.map_err(io::Error::other)?
    }

    /// The worker first: it must not report the death of its program as the program's own.
    fn members(self) -> Vec<i32> {
        let Self { worker, is_worker_alive } = self;
        let mut members = Mark::of(worker).carriers();
        if is_worker_alive {
            members.extend(process::members_of_session(worker.pid));
        }
        members.sort_unstable_by_key(|&pid| (pid != worker.pid, pid));
        members.dedup();
        members
    }
}
