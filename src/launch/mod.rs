//! How a run comes to be: decide ([`plan()`]), record it, and detach a worker that outlives everything here.
//!
//! The console and the scripts go through the same functions, so that neither can do what the other would refuse.

mod detach;
mod leftover;
mod plan;
mod refusal;

use std::time::{Duration, Instant};

use crate::catalog::{Catalog, Entry, MigrationId};
use crate::config::Config;
use crate::ledger::{
    Acted, Action, Launch, LaunchParam, LedgerError, LedgerWriter, NewPassport, NewRun, Passport, Resumer, Run, RunId,
    Seen, WishKind, WrongEnvironment,
};
use crate::notify::{Behalf, Told};
use crate::pod::Shutdown;
use crate::telemetry;
use crate::time::{Timestamp, short_duration};

pub use crate::worker::CLAIM_WITHIN;
pub use detach::{DetachError, HELPER_VERB, WORKER_VERB, WorkerTask, detach, leave};
use leftover::Leftover;
pub use plan::{Plan, Request, Resumption, plan, resumption};
pub use refusal::PlanRefusal;

/// How long an operator waits for backends and receivers to be told of what they cancelled.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// Why a launch or a resume did not happen.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// It was not allowed to.
    #[error(transparent)]
    Refused(#[from] PlanRefusal),
    /// The ledger belongs to another environment.
    #[error(transparent)]
    WrongEnvironment(#[from] WrongEnvironment),
    /// The ledger refused or was away.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is nowhere to keep the run's log.
    #[error("{} cannot be written to ({source}), and a run would have no log; set STOPOVER_STATE_DIR to a directory that can", .path.display())]
    StateDir {
        /// The state directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The pod ends: what is launched now would be stopped at once.
    #[error("this pod is being shut down ({} left) and launches nothing any more; launch from another pod", short_duration(*.left))]
    ShuttingDown {
        /// How long its workers may still live.
        left: std::time::Duration,
    },
    /// What a lost run has left in this pod cannot be killed, and no other worker may start beside it.
    #[error(
        "run {run} is lost, but its worker (pid {pid}) or something that it started still lives in this pod and cannot be killed: {source}; end it as the user that it belongs to, or restart the pod, and try again"
    )]
    LeftAlive {
        /// Short id.
        run: String,
        /// The worker's pid, which is also the session of all that it started.
        pid: i32,
        /// Why.
        source: std::io::Error,
    },
    /// The run is recorded, but its worker could not be started.
    #[error(
        "run {run} is recorded, but its worker could not be started: {source}; `stopover resume {run}` tries again"
    )]
    Detach {
        /// Short id.
        run: String,
        /// Why.
        source: DetachError,
    },
}

/// Makes sure that this process may write to this ledger. An embedded ledger that nobody has stamped is stamped on the way:
/// it can belong to nothing but this machine.
///
/// # Errors
/// [`LaunchError::WrongEnvironment`], or the ledger's error.
pub async fn check_environment(ledger: &dyn LedgerWriter, config: &Config) -> Result<Passport, LaunchError> {
    let mut passport = ledger.passport().await?;
    if passport.is_none() && config.ledger.is_embedded() {
        let environment = config.environment.clone().map_or_else(|| crate::ledger::EnvironmentName::new("local"), Ok);
        let environment = environment.expect("`local` is a valid name");
        let new = NewPassport { environment, protected: false, by: config.actor.clone(), restamp: false };
        passport = Some(ledger.stamp(new).await?);
    }
    let cluster = ledger.cluster().await?;
    Passport::check(passport.as_ref(), config.environment.as_ref(), cluster.as_deref())?;
    Ok(passport.expect("checked above"))
}

/// A worker copes with a disk that fills up, but a run is not begun where it can leave no trace.
fn check_state_dir(config: &Config) -> Result<(), LaunchError> {
    let path = config.state_dir.path();
    config.state_dir.prepare().map_err(|source| LaunchError::StateDir { path: path.to_owned(), source })
}

fn check_pod(config: &Config) -> Result<(), LaunchError> {
    Shutdown::under_way(&config.state_dir)
        .map_or(Ok(()), |shutdown| Err(LaunchError::ShuttingDown { left: shutdown.left() }))
}

/// Records the planned run and starts its worker. When this returns, the run is in the ledger and its worker is on its own.
///
/// # Errors
/// See [`LaunchError`]; only [`LaunchError::Detach`] leaves a run behind.
pub async fn launch(ledger: &dyn LedgerWriter, config: &Config, plan: Plan) -> Result<Run, LaunchError> {
    check_environment(ledger, config).await?;
    check_state_dir(config)?;
    check_pod(config)?;
    let secrets = plan.secrets();
    let params = plan
        .params
        .iter()
        .map(|(name, value)| LaunchParam {
            name: name.clone(),
            value: value.display().to_owned(),
            secret: value.is_secret(),
        })
        .collect();
    let new = NewRun {
        id: RunId::generate(),
        migration: plan.migration.id.clone(),
        launch: Launch {
            by: config.actor.clone(),
            rerun: plan.rerun,
            forced: plan.forced,
            command: plan.command,
            params,
            checksum: plan.migration.checksum.clone(),
            resume: plan.migration.resume,
            quarantine_of: plan.quarantine_of,
        },
        lease: CLAIM_WITHIN,
    };
    // An answer may be lost while the run is recorded; asking again with the same id finds it.
    let run = match ledger.open(new.clone()).await {
        Err(error) if error.is_transient() => ledger.open(new).await?,
        recorded => recorded?,
    };
    detach(config, &WorkerTask { run: run.id, attempt: run.attempt, migration: run.migration.clone(), secrets })
        .map_err(|source| LaunchError::Detach { run: run.id.short(), source })?;
    Ok(run)
}

/// What an operator says with a resume.
#[derive(Clone, Debug, Default)]
pub struct ResumeRequest {
    /// The secret params again: the ledger does not keep them.
    pub params: Vec<(String, String)>,
    /// Continue although the migration's content is not what was launched; recorded with the run.
    pub accept_changed: bool,
}

/// Opens the next attempt of a run and starts its worker. What a lost attempt has left in this pod is killed before.
///
/// # Errors
/// See [`LaunchError`].
pub async fn resume(
    ledger: &dyn LedgerWriter,
    config: &Config,
    catalog: &Catalog,
    run: &Run,
    request: &ResumeRequest,
) -> Result<Run, LaunchError> {
    next_attempt(ledger, config, catalog, run, request, Resumer::Operator(config.actor.clone())).await
}

/// As [`resume`], for a pod that acts by itself: with what was launched and nothing else.
///
/// # Errors
/// See [`LaunchError`]; the rules of recovery are among those of the ledger.
pub async fn recover(
    ledger: &dyn LedgerWriter,
    config: &Config,
    catalog: &Catalog,
    run: &Run,
) -> Result<Run, LaunchError> {
    let by = Resumer::Recovery(config.actor.place.clone());
    next_attempt(ledger, config, catalog, run, &ResumeRequest::default(), by).await
}

async fn next_attempt(
    ledger: &dyn LedgerWriter,
    config: &Config,
    catalog: &Catalog,
    run: &Run,
    request: &ResumeRequest,
    by: Resumer,
) -> Result<Run, LaunchError> {
    check_environment(ledger, config).await?;
    check_state_dir(config)?;
    check_pod(config)?;
    let Resumption { secrets, content } = resumption(catalog, config, run, request)?;
    let leftover = leftover(ledger, config, run.id).await?;
    let pid = leftover.map(Leftover::pid);
    let action = Action::Resume { by, lease: CLAIM_WITHIN, content, leftover: pid };
    let run = match act(ledger, config, run.id, action, leftover).await? {
        Acted::Changed(run) => *run,
        Acted::Already(_) => unreachable!("a resume either changes the run or is refused"),
    };
    // The record comes first: it takes the right to write from the old worker, and from whoever else would take over now.
    end(leftover, run.id).await?;
    detach(config, &WorkerTask { run: run.id, attempt: run.attempt, migration: run.migration.clone(), secrets })
        .map_err(|source| LaunchError::Detach { run: run.id.short(), source })?;
    Ok(run)
}

/// Asks a run to stop, by force or without. A lost one ends at once when it is cancelled, and with it what it has left in this pod.
///
/// # Errors
/// See [`LaunchError`].
pub async fn stop(
    ledger: &dyn LedgerWriter,
    config: &Config,
    run: RunId,
    kind: WishKind,
    by_force: bool,
) -> Result<Acted, LaunchError> {
    check_environment(ledger, config).await?;
    let leftover = leftover(ledger, config, run).await?;
    let by = config.actor.clone();
    let action = if by_force { Action::Force { kind, by, grace: config.grace } } else { Action::Stop { kind, by } };
    let acted = act(ledger, config, run, action, leftover).await?;
    if let Acted::Changed(run) = &acted
        && run.ended_at().is_some()
    {
        end(leftover, run.id).await?;
        tell_end(config, ledger, run).await;
    }
    Ok(acted)
}

/// Tells those outside of an end that no worker can tell of.
async fn tell_end(config: &Config, ledger: &dyn LedgerWriter, run: &Run) {
    let people = Behalf::new(config, |Told { receiver, result, .. }| {
        if let Err(reason) = result {
            tracing::warn!("{receiver} could not be told of the end of a run: {reason}");
        }
    });
    people.tell_end(run);
    let until = Instant::now() + TOLD_WITHIN;
    tokio::join!(telemetry::tell_of(config, ledger, run, telemetry::Absent::Gone, TOLD_WITHIN), people.settle(until));
}

/// The processes in this pod that the next attempt of a lost run would kill before it starts.
#[must_use]
pub fn left_here(config: &Config, run: &Run, now: Timestamp) -> Vec<i32> {
    Leftover::find(run, now, &config.actor.place).map_or_else(Vec::new, Leftover::pids)
}

/// What a lost run has left in this pod, if this process may kill it.
async fn leftover(ledger: &dyn LedgerWriter, config: &Config, run: RunId) -> Result<Option<Leftover>, LaunchError> {
    let Seen { now, value: Some(run) } = ledger.run(run).await? else {
        return Ok(None);
    };
    let leftover = Leftover::find(&run, now, &config.actor.place);
    if let Some(leftover) = leftover {
        let refuse = |source| LaunchError::LeftAlive { run: run.id.short(), pid: leftover.pid(), source };
        leftover.check().map_err(refuse)?;
    }
    Ok(leftover)
}

/// As [`LedgerWriter::act`]. A lost worker that was stopped in the midst of a write holds the lock of an embedded ledger, and would so keep
/// itself from being taken over: if the run is lost still, the worker is killed first.
async fn act(
    ledger: &dyn LedgerWriter,
    config: &Config,
    run: RunId,
    action: Action,
    found: Option<Leftover>,
) -> Result<Acted, LaunchError> {
    match ledger.act(run, action.clone()).await {
        Err(error) if error.is_transient() && config.ledger.is_embedded() && found.is_some() => {
            end(leftover(ledger, config, run).await?, run).await?;
            Ok(ledger.act(run, action).await?)
        }
        acted => Ok(acted?),
    }
}

async fn end(leftover: Option<Leftover>, run: RunId) -> Result<(), LaunchError> {
    let Some(leftover) = leftover else { return Ok(()) };
    let refuse = |source| LaunchError::LeftAlive { run: run.short(), pid: leftover.pid(), source };
    leftover.end().await.map_err(refuse)
}

/// The migration with this id, if it is there and can be launched.
pub(crate) fn ready<'a>(catalog: &'a Catalog, id: &MigrationId) -> Result<&'a crate::catalog::Migration, PlanRefusal> {
    match catalog.entry(id) {
        Some(Entry::Ready(migration)) => Ok(migration),
        Some(Entry::Broken(broken)) => Err(PlanRefusal::Broken {
            migration: id.clone(),
            problem: broken.problems.first().map(ToString::to_string).unwrap_or_default(),
        }),
        None => Err(PlanRefusal::unknown(catalog, id)),
    }
}
