//! Whether a launch is allowed, and what exactly it would run: decided from the catalog and the ledger, without touching either.

use crate::catalog::{Catalog, Migration, MigrationId, ParamError, Params};
use crate::config::Config;
use crate::ledger::{Histories, MigrationState, NewContent, Run, Standing};
use crate::secret::Secret;
use crate::time::Timestamp;

/// What an operator asks to launch.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which migration.
    pub migration: MigrationId,
    /// Run it again from the start, although it is applied (or has a checkpoint to continue from).
    pub rerun: bool,
    /// Run it although what it requires is not applied.
    pub force: bool,
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
    /// Requirements that are overridden.
    pub forced: bool,
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

/// Why a launch is not allowed. Every text says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanRefusal {
    /// No such migration in this image.
    #[error("there is no migration `{migration}` in this catalog{hint}")]
    Unknown {
        /// The name that was given.
        migration: MigrationId,
        /// What was perhaps meant.
        hint: String,
    },
    /// Its file cannot be understood.
    #[error("{migration} cannot be launched, its file is broken: {problem}")]
    Broken {
        /// Which.
        migration: MigrationId,
        /// The first problem.
        problem: String,
    },
    /// It is applied.
    #[error(
        "{migration} is applied already (at {at} by {operator}, run {run}){}; `stopover run {migration} --rerun` runs it again from the start",
        changed_since(*.state)
    )]
    AlreadyApplied {
        /// Which.
        migration: MigrationId,
        /// How it stands now: a rerun since may have failed.
        state: MigrationState,
        /// When.
        at: Timestamp,
        /// By whom.
        operator: String,
        /// Short id.
        run: String,
    },
    /// It is at work.
    #[error(
        "{migration} is {state} already: {operator} launched run {run} at {since}, it is at work in pod {pod}; `stopover logs {run} -f` follows it"
    )]
    AlreadyRunning {
        /// Which.
        migration: MigrationId,
        /// `running`, `pausing` or `cancelling`.
        state: MigrationState,
        /// By whom.
        operator: String,
        /// Short id.
        run: String,
        /// When it was launched.
        since: Timestamp,
        /// Where.
        pod: String,
    },
    /// It stands still and can be continued.
    #[error(
        "{migration} is {state} (run {run}, launched by {operator}): `stopover resume {run}` continues it from its checkpoint, `stopover cancel {run}` gives it up"
    )]
    Unfinished {
        /// Which.
        migration: MigrationId,
        /// `paused`, `interrupted` or `lost`.
        state: MigrationState,
        /// By whom.
        operator: String,
        /// Short id.
        run: String,
    },
    /// It failed with a checkpoint that a new run would throw away.
    #[error(
        "{migration} failed after a checkpoint (run {run}): `stopover resume {run}` continues from it, `stopover run {migration} --rerun` starts over"
    )]
    HasCheckpoint {
        /// Which.
        migration: MigrationId,
        /// Short id.
        run: String,
    },
    /// What it requires is not applied.
    #[error("{migration} requires {}, not applied yet; run those first, or override with --force", list(.missing))]
    RequirementsNotMet {
        /// Which.
        migration: MigrationId,
        /// What is missing, with its state.
        missing: Vec<(MigrationId, MigrationState)>,
    },
    /// A resume would execute other content than was launched.
    #[error(
        "{migration} has changed since run {run} was launched; `stopover resume {run} --changed` continues it with what the file says now, `stopover cancel {run}` gives it up"
    )]
    ContentChanged {
        /// Which.
        migration: MigrationId,
        /// Short id.
        run: String,
    },
    /// It needs a MongoDB.
    #[error("{migration} needs MongoDB and there is none: set MONGODB_URI (or MONGODB_URI_FILE) and try again")]
    NeedsMongodb {
        /// Which.
        migration: MigrationId,
    },
    /// A param is missing or wrong.
    #[error("{migration}: {error}")]
    Param {
        /// Which migration.
        migration: MigrationId,
        /// What is wrong.
        error: ParamError,
    },
}

fn changed_since(state: MigrationState) -> &'static str {
    if state == MigrationState::Changed { ", and its file has changed since" } else { "" }
}

fn list(missing: &[(MigrationId, MigrationState)]) -> String {
    missing.iter().map(|(id, state)| format!("{id} ({state})")).collect::<Vec<_>>().join(", ")
}

impl PlanRefusal {
    pub(super) fn unknown(catalog: &Catalog, id: &MigrationId) -> Self {
        let alike: Vec<_> = catalog
            .entries
            .iter()
            .map(|entry| entry.id().as_str())
            .filter(|name| name.contains(id.as_str()))
            .take(3)
            .map(|name| format!("`{name}`"))
            .collect();
        let hint = if alike.is_empty() {
            "; `stopover list` shows all".to_owned()
        } else {
            format!("; did you mean {}?", alike.join(" or "))
        };
        Self::Unknown { migration: id.clone(), hint }
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
            Standing::Failed if run.checkpoint.is_some() && !request.rerun => {
                return Err(PlanRefusal::HasCheckpoint { migration: id.clone(), run: short });
            }
            _ => {}
        }
    }
    let migration = super::ready(catalog, id)?;
    // Once applied, always explicit: also after a rerun that failed or was cancelled.
    if let Some(success) = history.and_then(|history| history.applied.as_ref()).filter(|_| !request.rerun) {
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
        forced: !missing.is_empty(),
        params,
    })
}

/// What the next attempt of a run needs beyond what the ledger kept.
pub(super) struct Resumption {
    /// The values of the secret params, by name: the ledger kept only that there were some.
    pub secrets: Vec<(String, Secret)>,
    /// What it executes from now on, where that has changed.
    pub content: Option<NewContent>,
}

/// Decides whether a run may be resumed from this image, with these params.
pub(super) fn resumption(
    catalog: &Catalog,
    run: &Run,
    given: &[(String, String)],
    accept_changed: bool,
) -> Result<Resumption, PlanRefusal> {
    let migration = super::ready(catalog, &run.migration)?;
    let changed = migration.checksum != run.launch.checksum;
    if changed && !accept_changed {
        return Err(PlanRefusal::ContentChanged { migration: run.migration.clone(), run: run.id.short() });
    }
    let content = changed.then(|| NewContent {
        command: migration.work.words(&migration.id, run.launch.rerun),
        checksum: migration.checksum.clone(),
    });
    Ok(Resumption { secrets: resume_secrets(migration, run, given)?, content })
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
