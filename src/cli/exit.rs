//! What the exit status says. Scripts rely on these numbers; they never change their meaning.

use std::process::ExitCode;

use color_eyre::Report;

use crate::config::ConfigError;
use crate::console::Ending;
use crate::keeper::KeeperError;
use crate::launch::{LaunchError, PlanRefusal};
use crate::ledger::{LedgerError, WrongEnvironment};
use crate::logs::reader::LogError;

/// The exit status of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for holds.
    Fine = 0,
    /// It failed: the run, the check or probe, or the command itself.
    Failed = 1,
    /// The command line or the environment cannot be understood.
    Usage = 2,
    /// The migration has an open run already: at work, paused, interrupted or lost.
    AlreadyRunning = 3,
    /// The migration is applied already and `--rerun` was not given.
    AlreadyApplied = 4,
    /// The ledger belongs to another environment, or to none yet.
    WrongEnvironment = 5,
    /// The ledger cannot be reached or used.
    LedgerUnreachable = 6,
    /// Refused for another reason: requirements, parameters, a broken or unknown migration, read-only, the run's state, a pod that is
    /// being shut down, a second keeper.
    Refused = 7,
    /// `--wait` or `--follow`: the run came to stand still without an end (paused, interrupted, lost).
    StandsStill = 8,
    /// `--wait` or `--follow`: the run was cancelled.
    Cancelled = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Exit> for i32 {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What was shown on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The console.
    Console,
    /// A wall display.
    Wall,
}

/// A mistake in how a command was called, or something it refuses; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// A mistake on the command line.
    #[error("{0}")]
    Usage(String),
    /// Understood, and refused.
    #[error("{0}")]
    Refused(String),
}

impl Exit {
    /// The status that belongs to the ending of what was shown on a terminal.
    #[must_use]
    pub fn of_ending(ending: Ending, shown: Shown) -> Self {
        match (ending, shown) {
            (Ending::Left, _) | (Ending::Asked | Ending::Gone, Shown::Console) => Self::Fine,
            // A wall display is in a loop that only who leaves it ends.
            (Ending::Asked | Ending::Gone, Shown::Wall) | (Ending::Silent(_), _) => Self::StandsStill,
        }
    }

    /// The status that belongs to an error.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        report
            .chain()
            .find_map(|error| {
                if let Some(error) = error.downcast_ref::<UserError>() {
                    return Some(match error {
                        UserError::Usage(_) => Self::Usage,
                        UserError::Refused(_) => Self::Refused,
                    });
                }
                if error.is::<ConfigError>() {
                    return Some(Self::Usage);
                }
                if error.is::<WrongEnvironment>() {
                    return Some(Self::WrongEnvironment);
                }
                if let Some(error) = error.downcast_ref::<LaunchError>() {
                    return Some(match error {
                        LaunchError::Refused(refusal) => Self::of_refusal(refusal),
                        LaunchError::WrongEnvironment(_) => Self::WrongEnvironment,
                        LaunchError::Ledger(error) => Self::of_ledger(error),
                        LaunchError::StateDir { .. }
                        | LaunchError::ShuttingDown { .. }
                        | LaunchError::LeftAlive { .. } => Self::Refused,
                        LaunchError::Detach { .. } => Self::Failed,
                    });
                }
                if let Some(error) = error.downcast_ref::<KeeperError>() {
                    return Some(match error {
                        KeeperError::Occupied { .. } => Self::Refused,
                        KeeperError::Listen { .. } | KeeperError::System { .. } => Self::Failed,
                    });
                }
                if let Some(refusal) = error.downcast_ref::<PlanRefusal>() {
                    return Some(Self::of_refusal(refusal));
                }
                if let Some(LogError::Ledger(error)) = error.downcast_ref::<LogError>() {
                    return Some(Self::of_ledger(error));
                }
                error.downcast_ref::<LedgerError>().map(Self::of_ledger)
            })
            .unwrap_or(Self::Failed)
    }

    fn of_refusal(refusal: &PlanRefusal) -> Self {
        match refusal {
            PlanRefusal::AlreadyRunning { .. } | PlanRefusal::Unfinished { .. } => Self::AlreadyRunning,
            PlanRefusal::AlreadyApplied { .. } => Self::AlreadyApplied,
            _ => Self::Refused,
        }
    }

    fn of_ledger(error: &LedgerError) -> Self {
        match error {
            LedgerError::Occupied { .. } => Self::AlreadyRunning,
            LedgerError::Superseded { .. } | LedgerError::Refused(_) | LedgerError::NoSuchRun(_) => Self::Refused,
            LedgerError::Unreachable { .. }
            | LedgerError::Forbidden { .. }
            | LedgerError::TooNew { .. }
            | LedgerError::Corrupt { .. } => Self::LedgerUnreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_console_that_nobody_answers_and_a_wall_that_nobody_left_stand_still() {
        let silent = Ending::Silent(Duration::from_secs(4));
        let of = |shown| {
            [Ending::Left, Ending::Asked, Ending::Gone, silent].map(|ending| i32::from(Exit::of_ending(ending, shown)))
        };
        assert_eq!(of(Shown::Console), [0, 0, 0, 8]);
        assert_eq!(of(Shown::Wall), [0, 8, 8, 8]);
    }
}
