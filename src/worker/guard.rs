//! What ends a program when its worker dies.
//!
//! A worker that is killed can stop nothing any more, yet its run will be resumed elsewhere once its lease is over: a program
//! left behind would then do the work a second time, at the same time. So each worker posts a guard, a small process that does
//! nothing but wait for the end of a pipe whose other end only the worker holds. A pipe that ends without a word means that the worker is
//! dead, however it died; the guard then kills everything left in the worker's session. (`PR_SET_PDEATHSIG` would reach the first
//! process only, not what that has started, and follows a thread.)

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, getsid, kill_process, setsid};

use crate::process;

/// The hidden verb of this role.
pub const VERB: &str = "guard";

/// A guard on its post.
pub struct Guard(Child);

impl Guard {
    /// Posts a guard. The worker becomes the leader of a session of its own first, so that the guard can tell what belongs to it.
    ///
    /// # Errors
    /// When the system refuses; a worker without a guard must not start anything.
    pub fn post() -> io::Result<Self> {
        if getsid(None)? != getpid() {
            setsid().map_err(|_| {
                io::Error::other(
                    "a worker cannot be started from a shell's job control; use `stopover run` or `stopover resume`",
                )
            })?;
        }
        let mut command = Command::new(process::own_binary());
        command.arg(VERB).env_clear().current_dir("/").process_group(0);
        Ok(Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?))
    }

    /// Sends it home: the program has ended.
    pub fn relieve(mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            let _ = pipe.write_all(b".");
        }
        let _ = self.0.wait();
    }
}

/// The guard's own part: waits for the word, or for the end without one.
///
/// # Errors
/// When its pipe cannot be read.
pub fn watch() -> io::Result<()> {
    let mut word = Vec::new();
    io::stdin().lock().read_to_end(&mut word)?;
    if word.is_empty() {
        end_session()?;
    }
    Ok(())
}

/// Kills everything in this session but this process itself. What it forks meanwhile is found in the next round.
fn end_session() -> io::Result<()> {
    let session = getsid(None)?.as_raw_nonzero().get();
    let me = getpid();
    for _ in 0..100 {
        let others: Vec<Pid> = process::members_of_session(session)
            .into_iter()
            .filter_map(Pid::from_raw)
            .filter(|&pid| pid != me)
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        for pid in others {
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::other("processes of a dead worker are left and cannot be killed"))
}
