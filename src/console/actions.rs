//! Carrying out what an operator confirmed, by the same functions as the scripts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::access::{Access, Pen};
use super::message::Acted;
use crate::catalog::{Catalog, MigrationId};
use crate::config::Config;
use crate::diagnostics::CONSOLE;
use crate::launch::{self, Plan, ResumeRequest};
use crate::ledger::{self, Action, NewPassport, Run, RunId, SpeedChange, WishKind};

/// An action takes at most so long to be answered. What it asked for may still happen after; the table will show it.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What was confirmed.
pub enum Confirmed {
    /// Launch.
    Launch(Box<Plan>),
    /// Resume.
    Resume(Arc<Catalog>, Box<Run>, ResumeRequest),
    /// Pause or cancel.
    Stop {
        /// Which.
        run: RunId,
        /// Of which migration.
        migration: MigrationId,
        /// For a while, or for good.
        kind: WishKind,
        /// Whether its program is no longer left the time to stop.
        by_force: bool,
    },
    /// Set the speed.
    Tune(RunId, MigrationId, SpeedChange),
    /// Stamp.
    Stamp(Box<NewPassport>),
}

/// What it is, without anything that may be secret.
impl fmt::Display for Confirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Launch(plan) => write!(f, "launch {}", plan.migration.id),
            Self::Resume(_, run, _) => write!(f, "resume run {} of {}", run.id, run.migration),
            Self::Stop { run, migration, kind, by_force } => {
                write!(f, "{} run {run} of {migration}{}", kind.verb(), if *by_force { " by force" } else { "" })
            }
            Self::Tune(run, migration, speed) => write!(f, "set run {run} of {migration} to {speed}"),
            Self::Stamp(passport) => write!(f, "stamp the ledger as of environment {}", passport.environment),
        }
    }
}

/// Carries it out and says what came of it.
pub async fn carry_out(access: &Access, config: &Config, confirmed: Confirmed) -> Acted {
    let what = confirmed.to_string();
    tracing::info!(target: CONSOLE, "asked: {what}");
    let acted = answered(access, config, confirmed).await;
    match &acted {
        Acted::Done { text, .. } => tracing::info!(target: CONSOLE, "done: {what}: {text}"),
        Acted::Stamped(passport) => {
            tracing::info!(target: CONSOLE, "done: {what}: the ledger is of environment {}", passport.environment);
        }
        Acted::Refused(reason) => tracing::warn!(target: CONSOLE, "not done: {what}: {reason}"),
    }
    acted
}

async fn answered(access: &Access, config: &Config, confirmed: Confirmed) -> Acted {
    let Access::Operator(pen) = access else {
        return Acted::Refused("This console is read-only.".to_owned());
    };
    match tokio::time::timeout(ANSWER_WITHIN, attempt(pen, config, confirmed)).await {
        Ok(Ok(acted)) => acted,
        Ok(Err(reason)) => Acted::Refused(reason),
        Err(_) => Acted::Refused(format!(
            "The ledger did not answer within {} s. It may have happened nevertheless: look at the table before trying again.",
            ANSWER_WITHIN.as_secs()
        )),
    }
}

async fn attempt(pen: &Pen, config: &Config, confirmed: Confirmed) -> Result<Acted, String> {
    let ledger = pen.writer().await.map_err(|error| error.to_string())?;
    let ledger = ledger.as_ref();
    match confirmed {
        Confirmed::Launch(plan) => {
            let migration = plan.migration.id.clone();
            let run = launch::launch(ledger, config, *plan).await.map_err(|error| error.to_string())?;
            let text = format!("{migration} is launched as run {}.", run.id.short());
            Ok(Acted::Done { text, run: Some(Box::new(run)) })
        }
        Confirmed::Resume(catalog, run, request) => {
            let run =
                launch::resume(ledger, config, &catalog, &run, &request).await.map_err(|error| error.to_string())?;
            let text = format!("Run {} of {} goes on as attempt {}.", run.id.short(), run.migration, run.attempt);
            Ok(Acted::Done { text, run: Some(Box::new(run)) })
        }
        Confirmed::Stop { run, migration, kind, by_force } => {
            match launch::stop(ledger, config, run, kind, by_force).await.map_err(|error| error.to_string())? {
                ledger::Acted::Changed(run) => {
                    let what = match (kind, run.lease().is_some()) {
                        (_, true) if run.is_forced() => "is forced to stop",
                        (WishKind::Pause, true) => "is asked to pause",
                        (WishKind::Cancel, true) => "is asked to cancel",
                        (WishKind::Pause, false) => "is paused",
                        (WishKind::Cancel, false) => "is cancelled",
                    };
                    let text = format!("Run {} of {migration} {what}.", run.id.short());
                    Ok(Acted::Done { text, run: Some(run) })
                }
                ledger::Acted::Already(text) => Ok(Acted::Done { text, run: None }),
            }
        }
        Confirmed::Tune(run, migration, speed) => {
            launch::check_environment(ledger, config).await.map_err(|error| error.to_string())?;
            let action = Action::Tune { by: config.actor.clone(), speed };
            match ledger.act(run, action).await.map_err(|error| error.to_string())? {
                ledger::Acted::Changed(run) => {
                    let text = format!("Run {} of {migration} is set to {speed}.", run.id.short());
                    Ok(Acted::Done { text, run: Some(run) })
                }
                ledger::Acted::Already(text) => Ok(Acted::Done { text, run: None }),
            }
        }
        Confirmed::Stamp(passport) => {
            ledger.stamp(*passport).await.map(Acted::Stamped).map_err(|error| error.to_string())
        }
    }
}
