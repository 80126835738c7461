//! How an attempt went, from what its work came to; in the ledger's words and in those of its log's last line.

use crate::engine;
use crate::events::Level;
use crate::ledger::{Failure, FailureCause, Interruption, Outcome, WishKind};

use super::outcome::{self, Stop};
use super::program::Exit;
use super::supervise::End;

/// How it went.
pub enum Course {
    /// There was no program. Says why.
    NotStarted(String),
    /// There was none, because the right to run it had as good as ended.
    TooLate,
    /// There was, and it has ended.
    Ended { end: End<Exit>, last_lines: Vec<String> },
    /// There were native steps, and they have ended.
    Stepped(End<Option<engine::End>>),
}

impl Course {
    /// What is reported of it, given what the operator wished last.
    pub fn outcome(&self, wish: Option<WishKind>) -> Outcome {
        match self {
            Self::NotStarted(message) => Outcome::Failed(Failure {
                cause: FailureCause::Start { message: message.clone() },
                last_lines: Vec::new(),
            }),
            Self::TooLate => Outcome::Interrupted(Interruption::LeaseLost),
            Self::Ended { end, last_lines } => outcome::of(&end.exit, end.stop, wish, last_lines),
            Self::Stepped(end) => outcome::of_steps(end.exit.as_ref(), end.stop, wish),
        }
    }

    /// Another attempt holds the run: says which.
    pub fn fenced(&self) -> Option<&str> {
        match self {
            Self::NotStarted(_) | Self::TooLate => None,
            Self::Ended { end, .. } => end.fenced.as_deref(),
            Self::Stepped(End { exit: Some(engine::End::Fenced(reason)), .. }) => Some(reason),
            Self::Stepped(end) => end.fenced.as_deref(),
        }
    }

    /// Why it was made to stop, if it was.
    pub fn stop(&self) -> Option<Stop> {
        match self {
            Self::NotStarted(_) => None,
            Self::TooLate => Some(Stop::LeaseLost),
            Self::Ended { end, .. } => end.stop,
            Self::Stepped(end) => end.stop,
        }
    }
}

/// How grave the last line of an attempt's log is.
pub fn gravity(outcome: &Outcome) -> Level {
    match outcome {
        Outcome::Succeeded | Outcome::Stopped => Level::Info,
        Outcome::Interrupted(_) => Level::Warn,
        Outcome::Failed(_) => Level::Error,
    }
}

/// The last line of an attempt's log.
pub fn describe(outcome: &Outcome, wish: Option<WishKind>) -> String {
    match (outcome, wish) {
        (Outcome::Succeeded, _) => "succeeded".to_owned(),
        (Outcome::Failed(failure), _) => format!("failed: {}", failure.cause),
        (Outcome::Stopped, Some(WishKind::Cancel)) => "cancelled".to_owned(),
        (Outcome::Stopped, _) => "paused".to_owned(),
        (Outcome::Interrupted(cause), _) => format!("interrupted: {}", cause.reason()),
    }
}
