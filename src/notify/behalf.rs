//! Telling people of ends whose workers cannot: they were killed, or the run had none.

use std::time::Instant;

use crate::config::Config;
use crate::ledger::{EnvironmentName, Run};

use super::notice::Notice;
use super::receivers::Receivers;
use super::sender::{Sender, Told};

/// Tells everybody here who wants to know how runs have ended.
pub struct Behalf {
    sender: Sender,
    environment: Option<EnvironmentName>,
}

impl Behalf {
    /// `report` is told what became of each notice, as with [`Sender::start`]. Receivers that cannot be told are for `doctor` to name.
    #[must_use]
    pub fn new(config: &Config, report: impl Fn(Told) + Send + Sync + 'static) -> Self {
        let sender = Sender::start(Receivers::of_here(config).ready, report);
        Self { sender, environment: config.environment.clone() }
    }

    /// Hands over that `run` has come to stand still, if it has. Returns at once.
    pub fn tell_end(&self, run: &Run) {
        if let Some(notice) = Notice::ended(run, self.environment.as_ref()) {
            self.sender.tell(&notice, |_| true);
        }
    }

    /// Waits until everybody was told, at most until `end`.
    pub async fn settle(self, end: Instant) {
        self.sender.settle(|| end).await;
    }
}
