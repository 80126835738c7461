//! A migration's program: a process group that is started, stopped and never mistaken for another.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::sync::oneshot;

use crate::process;

use super::outcome::Stop;
use super::strays::Mark;
use super::supervise::Work;

/// How the program's first process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned a status, 0 to 255.
    Status(i32),
    /// A signal ended it.
    Signal(i32),
    /// The system does not tell; says why.
    Unknown(String),
}

/// A running program. Its first process is not reaped before [`Program::bury`], so that the pid, which is also the
/// number of its group, stays its own: a signal can never hit a stranger.
pub struct Program {
    child: Child,
    group: Pid,
    mark: Mark,
    exit: oneshot::Receiver<Exit>,
}

/// Its pipes.
pub type Output = (ChildStdout, ChildStderr);

impl Program {
    /// Starts `command` in `directory`, in a process group of its own, with nothing on its standard input.
    ///
    /// # Errors
    /// A sentence that names the program and the directory.
    pub fn start(
        command: &[String],
        directory: &Path,
        environment: &BTreeMap<OsString, OsString>,
    ) -> Result<(Self, Output), String> {
        let mark = Mark::of_this_worker();
        let mut child = process::start_group(command, directory, environment, |command| {
            command.stdout(Stdio::piped()).stderr(Stdio::piped())
        })?;
        let output = child.stdout.take().zip(child.stderr.take()).expect("both are piped");
        let group = Pid::from_child(&child);
        let (ended, exit) = oneshot::channel();
        thread::Builder::new()
            .name("wait".to_owned())
            .spawn(move || {
                let _ = ended.send(wait_without_reaping(group));
            })
            .map_err(|error| {
                let _ = kill_process_group(group, Signal::KILL);
                format!("nothing can wait for the program: {error}")
            })?;
        Ok((Self { child, group, mark, exit }, output))
    }

    fn signal(&self, signal: Signal) {
        // It fails only for a group without processes, which is what is wanted.
        let _ = kill_process_group(self.group, signal);
    }

    /// Ends what is left of it after its first process, daemons too: asks, waits for `grace`, kills. Says how many were left.
    pub async fn end_the_rest(&self, grace: Duration) -> usize {
        let left = || {
            let group = process::members_of_group(self.group.as_raw_nonzero().get());
            group.into_iter().chain(self.mark.carriers()).collect::<BTreeSet<i32>>().len()
        };
        let first = left();
        if first == 0 {
            return 0;
        }
        for signal in [Signal::TERM, Signal::CONT] {
            self.signal(signal);
            self.mark.signal(signal);
        }
        let patience = tokio::time::Instant::now() + grace;
        while left() > 0 && tokio::time::Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.signal(Signal::KILL);
        // What cannot be killed hangs in the kernel; nobody here can do more.
        let _ = self.mark.kill_all();
        first
    }

    /// Lets the system forget the first process, and with it the group's number.
    pub fn bury(mut self) {
        let _ = self.child.wait();
    }
}

impl Work for Program {
    type Exit = Exit;
    const ASKED: &'static str = "SIGTERM to the program";
    const KILLED: &'static str = "SIGKILL to the program";

    /// Waits for the first process.
    async fn ended(&mut self) -> Exit {
        (&mut self.exit).await.unwrap_or_else(|_| Exit::Unknown("the waiting thread is gone".to_owned()))
    }

    /// Asks the whole group; a stopped one is woken up to hear it.
    fn ask_to_stop(&mut self, _: Stop) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    /// Ends the whole group.
    fn kill(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn wait_without_reaping(pid: Pid) -> Exit {
    loop {
        return match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(status), _) => Exit::Status(status),
                (_, Some(signal)) => Exit::Signal(signal),
                _ => Exit::Unknown("its status is neither an exit nor a signal".to_owned()),
            },
            Ok(None) | Err(rustix::io::Errno::INTR) => continue,
            Err(error) => Exit::Unknown(std::io::Error::from(error).to_string()),
        };
    }
}
