//! What the exit status says. Scripts rely on these numbers; they never change their meaning.

use std::process::ExitCode;

use color_eyre::Report;

use crate::config::ConfigError;
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
