//! Why a launch is not allowed, and what to do instead.

use crate::catalog::{Catalog, MigrationId, ParamError};
use crate::ledger::MigrationState;
use crate::time::Timestamp;

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
    /// A second application would change documents again that a first one has changed.
    #[error(
        "{migration} has a step that is not idempotent, and run {run} has applied it already, in whole or in part: a second application would change documents again{}; `stopover run {migration} --rerun --force` does so deliberately, and it is recorded",
        resumed(.resumable.as_deref())
    )]
    Repeats {
        /// Which.
        migration: MigrationId,
        /// Short id of the run that has applied it.
        run: String,
        /// Short id of the run that goes on where it stopped, if one can.
        resumable: Option<String>,
    },
    /// What was left out cannot be retried yet.
    #[error(
        "{migration} was never applied, and what a run left out is retried when all else is done: {}",
        .resumable.as_ref().map_or_else(|| format!("`stopover run {}` runs it", .migration), |run| format!("`stopover resume {run}` continues it"))
    )]
    RestNotApplied {
        /// Which.
        migration: MigrationId,
        /// Short id of the run that goes on where it stopped, if one can.
        resumable: Option<String>,
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

fn resumed(run: Option<&str>) -> String {
    run.map_or_else(String::new, |run| format!("; `stopover resume {run}` goes on where that stopped"))
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
