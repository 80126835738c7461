//! Those who work in a pod from outside when it ends.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use crate::process::ProcessIdentity;

use super::send;

/// How long somebody who was asked to leave is waited for.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// Those who work here from outside: consoles, followers of logs, scripts.
#[derive(Default)]
pub struct Guests {
    met: Vec<Guest>,
}

struct Guest {
    process: ProcessIdentity,
    met: Instant,
    asked: Option<Instant>,
}

impl Guests {
    /// Remembers somebody, and asks them to leave some time after they were met first.
    pub fn meet(&mut self, process: ProcessIdentity, after: Duration) {
        let now = Instant::now();
        match self.met.iter_mut().find(|guest| guest.process == process) {
            None => self.met.push(Guest { process, met: now, asked: None }),
            Some(guest) if guest.asked.is_none() && now >= guest.met + after => {
                send(process, Signal::TERM);
                guest.asked = Some(now);
            }
            Some(_) => {}
        }
    }

    /// Whether any of them is still waited for. A console puts its terminal in order before it leaves; one that cannot is not waited for long.
    #[must_use]
    pub fn are_waited_for(&self, now: Instant) -> bool {
        let is_waited_for = |asked: Option<Instant>| asked.is_none_or(|asked| now < asked + LEAVE_WITHIN);
        self.met.iter().any(|guest| is_waited_for(guest.asked) && guest.process.is_alive())
    }
}
