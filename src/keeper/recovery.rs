//! The child that reports what earlier pods left in the ledger, and resumes what may be resumed.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Config;
use crate::recovery;
use crate::voice::Voice;

use super::children;
use super::events::Death;

/// The first pause after it has failed; each is twice the one before.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest, and how long it must have lived to begin with the shortest again.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Keeps the child alive until it says that nothing is left to do.
pub struct Recovery<'a> {
    config: &'a Config,
    state: State,
    pause: Duration,
    /// The first failure is told; the ledger may be away for hours.
    told: bool,
}

enum State {
    /// It lives.
    Running { pid: i32, since: Instant },
    /// It failed, and is started again at this time.
    Waiting(Instant),
    /// Nothing is left to do.
    Done,
}

impl<'a> Recovery<'a> {
    /// Nothing is started yet.
    #[must_use]
    pub fn new(config: &'a Config) -> Self {
        Self { config, state: State::Done, pause: SHORTEST_PAUSE, told: false }
    }

    /// When it is to be started again.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(until) => Some(until),
            State::Running { .. } | State::Done => None,
        }
    }

    /// Starts it.
    pub fn start(&mut self, voice: &Voice) {
        match children::start(self.config, &[recovery::VERB.to_owned()]) {
            Ok(pid) => self.state = State::Running { pid, since: Instant::now() },
            Err(error) => self.fail(&error.to_string(), voice),
        }
    }

    /// Takes in who died.
    pub fn hear(&mut self, deaths: &[Death], voice: &Voice) {
        let State::Running { pid, since } = self.state else { return };
        let Some(death) = deaths.iter().find(|death| death.pid == pid) else { return };
        if death.is_clean() {
            self.state = State::Done;
            return;
        }
        if since.elapsed() >= LONGEST_PAUSE {
            self.pause = SHORTEST_PAUSE;
        }
        self.fail(&format!("it ended with {}", death.describe()), voice);
    }

    fn fail(&mut self, reason: &str, voice: &Voice) {
        if !std::mem::replace(&mut self.told, true) {
            voice.warn(format_args!(
                "what earlier pods left in the ledger is not looked after: {reason}; it is tried again"
            ));
        }
        self.state = State::Waiting(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
