//! Whether a launch is allowed, and what exactly it would run: decided from the catalog and the ledger, without touching either.

use crate::catalog::{Catalog, Migration, MigrationId, ParamError, Params, Step, Work};
use crate::config::Config;
use crate::ledger::{Histories, MigrationState, NewContent, Run, RunId, Standing};
use crate::secret::Secret;
use crate::time::Timestamp;

use super::{PlanRefusal, ResumeRequest};

/// What an operator asks to launch.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which migration.
    pub migration: MigrationId,
    /// Run it again from the start, although it is applied (or has a checkpoint to continue from).
    pub rerun: bool,
    /// Run it although what it requires is not applied.
    pub force: bool,
    /// Run it again although its work changes documents again each time it is applied.
    pub repeat: bool,
    /// Only on the documents that this run of the migration left out.
    pub quarantine_of: Option<RunId>,
    /// Params as given, by name.
    pub params: Vec<(String, String)>,
}

/// A launch that is allowed: what will run, exactly.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The migration.
    pub migration: Migration,
    /// See [`Request::rerun`].
    pub rerun: bool,
    /// Whether a requirement or the guard against a second application is overridden.
    pub forced: bool,
    /// See [`Request::quarantine_of`].
    pub quarantine_of: Option<RunId>,
    /// The program and its arguments, filled in.
    pub command: Vec<String>,
    /// Every param with its value.
    pub params: Params,
}

impl Plan {
    /// The values of the secret params, by name.
    #[must_use]
    pub fn secrets(&self) -> Vec<(String, Secret)> {
        self.params.iter().filter_map(|(name, value)| Some((name.clone(), value.secret()?.clone()))).collect()
    }
}

/// Decides whether `request` may be launched at `now`, a time of the ledger's clock.
///
/// # Errors
/// See [`PlanRefusal`].
pub fn plan(
    catalog: &Catalog,
    histories: &Histories,
    now: Timestamp,
    config: &Config,
    request: &Request,
) -> Result<Plan, PlanRefusal> {
    let id = &request.migration;
    let history = histories.get(id);
    let latest = history.and_then(|history| history.latest.as_deref());
    let state = MigrationState::of(catalog.entry(id), history, now);
    // An open run is told before a broken or missing file: another image may be running it.
    if let Some(run) = latest {
        let operator = run.launch.by.operator.clone();
        let short = run.id.short();
        match run.standing(now) {
            standing if standing.is_live() => {
                return Err(PlanRefusal::AlreadyRunning {
                    migration: id.clone(),
                    state,
                    operator,
                    run: short,
                    since: run.created_at,
                    pod: run.place().pod.clone(),
                });
            }
            Standing::Paused | Standing::Interrupted | Standing::Lost => {
                return Err(PlanRefusal::Unfinished { migration: id.clone(), state, operator, run: short });
            }
            Standing::Failed if run.checkpoint.is_some() && !request.rerun && request.quarantine_of.is_none() => {
                return Err(PlanRefusal::HasCheckpoint { migration: id.clone(), run: short });
            }
            _ => {}
        }
    }
    let migration = super::ready(catalog, id)?;
    let applied = history.and_then(|history| history.applied.as_ref());
    let resumable = || latest.filter(|run| run.standing(now).is_resumable()).map(|run| run.id.short());
    if request.quarantine_of.is_some() && applied.is_none() {
        return Err(PlanRefusal::RestNotApplied { migration: id.clone(), resumable: resumable() });
    }
    // Once applied, always explicit: also after a rerun that failed or was cancelled.
    if let Some(success) = applied.filter(|_| !request.rerun && request.quarantine_of.is_none()) {
        let operator =
            latest.filter(|run| run.id == success.run).map_or("an earlier operator", |run| &run.launch.by.operator);
        return Err(PlanRefusal::AlreadyApplied {
            migration: id.clone(),
            state,
            at: success.at,
            operator: operator.to_owned(),
            run: success.run.short(),
        });
    }
    let begun = applied.map(|success| success.run).or(history.and_then(|history| history.begun));
    // What was left out was not changed: to try it again repeats nothing.
    let repeated = begun.filter(|_| request.quarantine_of.is_none() && changes_again(&migration.work));
    if let Some(run) = repeated.filter(|_| !(request.rerun && request.repeat)) {
        return Err(PlanRefusal::Repeats { migration: id.clone(), run: run.short(), resumable: resumable() });
    }
    let missing: Vec<_> = migration
        .requires
        .iter()
        .map(|required| (required.clone(), MigrationState::of(catalog.entry(required), histories.get(required), now)))
        .filter(|(required, state)| {
            // A requirement that is applied but no longer shipped is still applied.
            let applied_elsewhere = *state == MigrationState::Missing
                && histories
                    .get(required)
                    .and_then(|history| history.latest.as_ref())
                    .is_some_and(|run| run.standing(now) == Standing::Succeeded);
            !state.is_applied() && !applied_elsewhere
        })
        .collect();
    if !missing.is_empty() && !request.force {
        return Err(PlanRefusal::RequirementsNotMet { migration: id.clone(), missing });
    }
    if migration.needs_mongodb && config.database.is_none() {
        return Err(PlanRefusal::NeedsMongodb { migration: id.clone() });
    }
    let params = Params::resolve(&migration.params, &request.params)
        .map_err(|error| PlanRefusal::Param { migration: id.clone(), error })?;
    Ok(Plan {
        command: migration.work.words(id, request.rerun),
        migration: migration.clone(),
        rerun: request.rerun,
        forced: !missing.is_empty() || repeated.is_some(),
        quarantine_of: request.quarantine_of,
        params,
    })
}

/// Whether a second application of the work changes documents again.
fn changes_again(work: &Work) -> bool {
    match work {
        Work::Steps(steps) => {
            steps.steps.iter().any(|step| matches!(step, Step::Backfill(backfill) if !backfill.idempotent))
        }
        Work::Executable(_) => false,
    }
}

/// What the next attempt of a run needs beyond what the ledger kept.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// The values of the secret params, by name: the ledger kept only that there were some.
    pub secrets: Vec<(String, Secret)>,
    /// What it executes from now on, where that has changed.
    pub content: Option<NewContent>,
}

/// Decides whether a run may be resumed from this image. Touches nothing: it serves to look as well as to act.
///
/// # Errors
/// See [`PlanRefusal`].
pub fn resumption(
    catalog: &Catalog,
    config: &Config,
    run: &Run,
    request: &ResumeRequest,
) -> Result<Resumption, PlanRefusal> {
    let migration = super::ready(catalog, &run.migration)?;
    if migration.needs_mongodb && config.database.is_none() {
        return Err(PlanRefusal::NeedsMongodb { migration: run.migration.clone() });
    }
    let changed = migration.checksum != run.launch.checksum;
    if changed && !request.accept_changed {
        return Err(PlanRefusal::ContentChanged { migration: run.migration.clone(), run: run.id.short() });
    }
    let content = changed.then(|| NewContent {
        command: migration.work.words(&migration.id, run.launch.rerun),
        checksum: migration.checksum.clone(),
    });
    Ok(Resumption { secrets: resume_secrets(migration, run, &request.params)?, content })
}

fn resume_secrets(
    migration: &Migration,
    run: &Run,
    given: &[(String, String)],
) -> Result<Vec<(String, Secret)>, PlanRefusal> {
    let refuse = |error| PlanRefusal::Param { migration: run.migration.clone(), error };
    for (name, _) in given {
        if !run.launch.params.iter().any(|param| param.secret && param.name == *name) {
            return Err(refuse(ParamError::FixedAtLaunch { name: name.clone() }));
        }
    }
    run.launch
        .params
        .iter()
        .filter(|param| param.secret)
        .map(|param| {
            let value = given
                .iter()
                .find(|(name, _)| *name == param.name)
                .map(|(_, value)| value.clone())
                .or_else(|| {
                    let spec = migration.params.iter().find(|spec| spec.name == param.name)?;
                    spec.default.as_ref().map(|value| value.expose().to_owned())
                })
                .ok_or_else(|| refuse(ParamError::SecretNotStored { name: param.name.clone() }))?;
            Ok((param.name.clone(), Secret::new(value)))
        })
        .collect()
}
