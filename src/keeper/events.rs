//! What happens to a keeper: processes die, it is asked to end, a time has come.

use std::io;

use rustix::process::{WaitOptions, WaitStatus, wait};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// So many are reaped before anything else is looked at: a storm of dying processes must not keep the keeper from hearing SIGTERM.
const AT_ONCE: usize = 512;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// It is asked to end, by this signal.
    Asked(&'static str),
    /// Processes died and were reaped.
    Died(Vec<Death>),
    /// The time has come.
    Due,
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// What its pid was.
    pub pid: i32,
    status: WaitStatus,
}

impl Death {
    /// Whether it ended by itself and says that all is well.
    #[must_use]
    pub fn is_clean(self) -> bool {
        self.status.exit_status() == Some(0)
    }

    /// In words.
    #[must_use]
    pub fn describe(self) -> String {
        match (self.status.exit_status(), self.status.terminating_signal()) {
            (Some(status), _) => format!("status {status}"),
            (_, Some(signal)) => format!("signal {signal}"),
            _ => "an unknown status".to_owned(),
        }
    }
}

/// The source of all events, and the only place in this process that waits for others.
pub struct Events {
    terminate: Signal,
    interrupt: Signal,
    child: Signal,
    /// There may be more to reap, whether or not a signal says so.
    more: bool,
}

impl Events {
    /// Takes the signals over.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn take_over() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            child: signal(SignalKind::child())?,
            // What a shell had started before it became this process.
            more: true,
        })
    }

    /// Waits for the next one; for ever, unless a time is given.
    pub async fn next(&mut self, due: Option<Instant>) -> Event {
        loop {
            tokio::select! {
                biased;
                // Before all else: where processes die without end, the time would never come.
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return Event::Due,
                _ = self.terminate.recv() => return Event::Asked("SIGTERM"),
                _ = self.interrupt.recv() => return Event::Asked("SIGINT"),
                // Yielding lets the runtime look for signals before the next lot.
                () = tokio::task::yield_now(), if self.more => {}
                _ = self.child.recv() => {}
            }
            let deaths = self.reap();
            if !deaths.is_empty() {
                return Event::Died(deaths);
            }
        }
    }

    fn reap(&mut self) -> Vec<Death> {
        let mut deaths = Vec::new();
        // An error says that there is nothing to wait for.
        while deaths.len() < AT_ONCE
            && let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG)
        {
            deaths.push(Death { pid: pid.as_raw_nonzero().get(), status });
        }
        self.more = deaths.len() == AT_ONCE;
        deaths
    }
}
