//! How the console and its ledger get on.

use std::time::Duration;

/// The connection's health, as the header shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// No answer yet.
    #[default]
    Connecting,
    /// The latest question was answered.
    Healthy {
        /// How long the answer took.
        latency: Duration,
    },
    /// The latest question was not answered; what is shown is what was known before.
    Away {
        /// Since when, in the console's uptime.
        since: Duration,
        /// What happened, in the ledger's words.
        reason: String,
    },
}

impl Link {
    /// Whether the ledger answers.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy { .. })
    }

    /// Whether the ledger was asked and did not answer.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// Without an answer for this long, one is overdue: it is asked for once a second, and then waited for.
    pub const SILENT: Duration = Duration::from_secs(3);

    /// An answer slower than this is worth a word.
    pub const SLOW: Duration = Duration::from_millis(250);
}
