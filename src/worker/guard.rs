//! What ends a program whose worker no longer watches over it.
//!
//! A worker that is killed, or frozen for longer than its lease, can stop nothing any more, yet its run may be resumed elsewhere once
//! the lease is over: a program left behind would then do the work a second time, at the same time. So each worker posts a guard, a
//! small process that waits at the end of a pipe whose other end only the worker holds. With every renewal of the lease the
//! worker tells it how long to wait; if that time passes, or the pipe ends without a word because the worker is dead, the guard kills
//! everything in the worker's session, the worker too. (`PR_SET_PDEATHSIG` would reach the first process only, not what that
//! has started, and follows a thread.)

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{getpid, getsid, setsid};
use tokio::time::Instant;

use crate::lease::LeaseTerms;
use crate::process::{self, ProcessIdentity};
use crate::time::since_boot;

/// The hidden verb of this role.
pub const VERB: &str = "guard";

/// How long a guard that was relieved may take to end.
const HOME_WITHIN: Duration = Duration::from_secs(1);
/// How often a guard with a deadline looks at the clock: `poll` does not count the time for which the machine is suspended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a guard is told; each order replaces the one before. It travels as one number, which a pipe never tears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// End everything when the worker dies.
    Wait,
    /// The same, and also at this time since boot, suspension included.
    WaitUntil(Duration),
    /// Nothing is left to guard.
    Home,
}

impl Order {
    fn encode(self) -> [u8; 8] {
        match self {
            Self::Home => 0,
            Self::Wait => u64::MAX,
            Self::WaitUntil(due) => u64::try_from(due.as_nanos()).unwrap_or(u64::MAX),
        }
        .to_le_bytes()
    }

    fn decode(bytes: [u8; 8]) -> Self {
        match u64::from_le_bytes(bytes) {
            0 => Self::Home,
            u64::MAX => Self::Wait,
            nanos => Self::WaitUntil(Duration::from_nanos(nanos)),
        }
    }
}

/// A guard on its post.
pub struct Guard {
    child: Child,
    pipe: ChildStdin,
    order: Order,
    /// The latest order did not get through: it is dead, or has not read for hours.
    deaf: bool,
}

impl Guard {
    /// Posts a guard. The worker becomes the leader of a session of its own first, so that the guard can tell what belongs to it.
    ///
    /// # Errors
    /// When the system refuses; a worker without a guard must not start anything.
    pub fn post() -> io::Result<Self> {
        if !process::leads_its_session()? {
            setsid().map_err(|_| {
                io::Error::other(
                    "a worker cannot be started from a shell's job control; use `stopover run` or `stopover resume`",
                )
            })?;
        }
        let mut command = Command::new(process::own_binary());
        command.arg(VERB).env_clear().current_dir("/").process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let pipe = child.stdin.take().expect("it is piped");
        // A guard that does not read must not hold its worker up.
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self { child, pipe, order: Order::Wait, deaf: false })
    }

    /// Tells it that the lease was renewed by a request sent at `renewed`. It leaves the worker the time to end the program itself.
    pub fn renew(&mut self, renewed: Instant, lease: LeaseTerms) {
        let left = (renewed + lease.guarded_until()).saturating_duration_since(Instant::now());
        self.tell(Order::WaitUntil(since_boot() + left));
    }

    /// Tells it that no program lives, so that the lease no longer matters.
    pub fn stand_down(&mut self) {
        self.tell(Order::Wait);
    }

    /// Replaces it if it is dead or deaf; whether it was.
    ///
    /// # Errors
    /// When it cannot be replaced; the program must be stopped then.
    pub fn keep_on_post(&mut self) -> io::Result<bool> {
        if !self.deaf && matches!(self.child.try_wait(), Ok(None)) {
            return Ok(false);
        }
        // Its pipe ends with it, and that must not look like the worker's death.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let order = self.order;
        *self = Self::post()?;
        self.tell(order);
        Ok(true)
    }

    /// Sends it home: the worker ends.
    pub fn relieve(mut self) {
        self.tell(Order::Home);
        let deadline = Instant::now() + HOME_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn tell(&mut self, order: Order) {
        self.order = order;
        self.deaf = rustix::io::write(&self.pipe, &order.encode()).is_err();
    }
}

/// The guard of a living worker, if it is on its post.
#[must_use]
pub fn of(worker: ProcessIdentity) -> Option<ProcessIdentity> {
    if !worker.is_alive() {
        return None;
    }
    let is_guard = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.strip_suffix(b"\0").and_then(|line| line.rsplit(|&byte| byte == 0).next()) == Some(VERB.as_bytes())
    };
    process::members_of_session(worker.pid).into_iter().find(is_guard).and_then(ProcessIdentity::of)
}

/// How a guard's watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The worker needs it no more.
    Relieved,
    /// The worker died. Everything in its session was killed.
    Died,
    /// The worker did not renew its lease in time. It was killed with everything in its session.
    Overdue,
}

/// The guard's own part: waits for the word to go, for the end without one, or for the time at which the lease was not renewed.
///
/// # Errors
/// When its pipe cannot be read, or something cannot be killed.
pub fn watch() -> io::Result<Watch> {
    let pipe = rustix::stdio::stdin();
    let mut due = None;
    loop {
        let left = due.map(|due: Duration| due.saturating_sub(since_boot()));
        let timeout = left.and_then(|left| Timespec::try_from(left.min(LOOK_EVERY)).ok());
        let mut fds = [PollFd::new(&pipe, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => {
                let mut orders = [0; 4096];
                let count = match rustix::io::read(pipe, &mut orders) {
                    Ok(0) => return end_session().map(|()| Watch::Died),
                    Ok(count) => count,
                    Err(Errno::INTR | Errno::AGAIN) => 0,
                    Err(error) => return Err(error.into()),
                };
                for order in orders[..count].as_chunks().0 {
                    due = match Order::decode(*order) {
                        Order::Home => return Ok(Watch::Relieved),
                        Order::Wait => None,
                        Order::WaitUntil(due) => Some(due),
                    };
                }
            }
            Err(error) => return Err(error.into()),
        }
        if due.is_some_and(|due| since_boot() >= due) {
            return end_session().map(|()| Watch::Overdue);
        }
    }
}

/// Kills everything in this session but this process itself. What it forks meanwhile is found in the next round.
fn end_session() -> io::Result<()> {
    let leader = getsid(None)?.as_raw_nonzero().get();
    let me = getpid().as_raw_nonzero().get();
    process::end_all(|| {
        let mut others = process::members_of_session(leader);
        others.retain(|&pid| pid != me);
        // The worker first, if it lives: it must not report this death of its program as the program's own.
        others.sort_by_key(|&pid| pid != leader);
        others
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_arrives_as_it_was_given() {
        for order in [Order::Home, Order::Wait, Order::WaitUntil(Duration::from_nanos(1_234_567_890_123))] {
            assert_eq!(Order::decode(order.encode()), order);
        }
    }
}
