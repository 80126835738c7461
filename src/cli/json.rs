//! The shapes of `--json`. Scripts rely on them: fields are added, never changed or removed. Times are RFC 3339 in UTC.

use std::io::Write;

use color_eyre::Result;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::catalog::{Entry, MigrationId, Problem, ResumePolicy, Step, Work};
use crate::ledger::{
    EngineProgress, Event, FailureCause, History, MigrationState, Quarantined, Recovery, RecoveryOutcome, Resumed, Run,
    RunState, SpeedChange, Wish,
};
use crate::place::Actor;
use crate::time::Timestamp;

/// Prints a value as one JSON document.
pub fn print(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// A migration, as in `stopover list --json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationView<'a> {
    pub id: &'a MigrationId,
    pub state: MigrationState,
    /// Empty when the manifest has none, or cannot be read.
    pub description: &'a str,
    pub owner: Option<&'a str>,
    pub tags: &'a [String],
    pub requires: &'a [MigrationId],
    /// Relative to `stopover.yaml`; null when the migration is not in this image.
    pub file: Option<String>,
    pub checksum: Option<&'a str>,
    /// `auto` or `manual`: who continues a run that was interrupted or lost; null when it is not in this image.
    pub resume: Option<ResumePolicy>,
    /// The program and its arguments, as declared; null when it is none.
    pub command: Option<&'a [String]>,
    /// What Stopover executes itself; empty for a program.
    pub steps: Vec<StepView<'a>>,
    /// Why the migration is broken; empty otherwise.
    pub problems: Vec<ProblemView<'a>>,
    /// The latest run, or null.
    pub run: Option<RunView<'a>>,
}

/// A step that Stopover executes itself.
#[derive(Serialize)]
pub struct StepView<'a> {
    /// `backfill`, `copy`, `createIndexes`, `dropIndexes` or `command`.
    pub kind: &'static str,
    /// The step in a few words.
    pub title: String,
    /// Null for the connection string's.
    pub database: Option<&'a str>,
    /// What it reads or changes; null for a command.
    pub collection: Option<&'a str>,
}

/// A mistake in a file of the catalog.
#[derive(Serialize)]
pub struct ProblemView<'a> {
    pub file: String,
    pub line: Option<u32>,
    pub column: Option<u32>,
    pub text: Option<&'a str>,
    pub message: &'a str,
    pub remedy: &'a str,
}

/// A run, as in every `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView<'a> {
    pub id: String,
    pub migration: &'a MigrationId,
    pub attempt: u32,
    /// A word of `queued running pausing cancelling lost paused interrupted failed cancelled succeeded`.
    pub state: &'static str,
    pub operator: &'a str,
    pub pod: &'a str,
    pub image: Option<&'a str>,
    pub version: &'a str,
    /// Null where the build did not know it.
    pub revision: Option<&'a str>,
    pub rerun: bool,
    pub forced: bool,
    /// The run whose quarantined documents are all that this one works on.
    pub quarantine_of: Option<String>,
    pub command: &'a [String],
    pub params: serde_json::Map<String, serde_json::Value>,
    pub checksum: &'a str,
    pub launched_at: String,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    pub updated_at: String,
    /// The latest renewal of the lease, while there is one.
    pub heartbeat_at: Option<String>,
    pub pid: Option<i32>,
    pub done: Option<i64>,
    pub total: Option<i64>,
    pub remaining: Option<i64>,
    pub message: Option<&'a str>,
    pub warnings: &'a [String],
    /// What operators set of its speed: `workers`, `pace`, or both.
    pub speed: Option<SpeedChange>,
    /// What native work tells beyond that; null for a program.
    pub engine: Option<EngineView<'a>>,
    /// The checkpoint that a resume continues from, as the program gave it.
    pub checkpoint: Option<Box<RawValue>>,
    /// Why it failed; null otherwise.
    pub error: Option<ErrorView<'a>>,
    /// One line on why it stands still, when that needs a reason.
    pub reason: Option<String>,
    /// What an operator asked of its worker, while that is at work.
    pub wish: Option<WishView<'a>>,
    /// Who asked for the current attempt; null for the first.
    pub resumed: Option<DeedView<'a>>,
    /// What pods did about it by themselves since an operator last launched or resumed it, oldest first.
    pub recoveries: Vec<RecoveryView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventView<'a>>>,
}

/// Who did something, when and from where.
#[derive(Serialize)]
pub struct DeedView<'a> {
    pub by: &'a str,
    pub pod: &'a str,
    pub at: String,
}

/// A pause or cancel that is asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WishView<'a> {
    /// `pause` or `cancel`.
    pub kind: &'static str,
    pub by: &'a str,
    pub pod: &'a str,
    pub at: String,
    /// When the worker heard it.
    pub heard_at: Option<String>,
    /// That it is asked for by force; null when it is not.
    pub force: Option<DeedView<'a>>,
}

/// What a pod did about a run by itself.
#[derive(Serialize)]
pub struct RecoveryView<'a> {
    pub at: String,
    pub pod: &'a str,
    /// `resumed` or `declined`.
    pub outcome: &'static str,
    /// The attempt that it began.
    pub attempt: Option<u32>,
    /// Why it did not.
    pub reason: Option<&'a str>,
}

/// What native work tells of itself.
#[derive(Serialize)]
pub struct EngineView<'a> {
    /// From 1.
    pub step: u32,
    pub steps: u32,
    pub title: &'a str,
    pub estimated: bool,
    pub matched: i64,
    pub modified: i64,
    pub skipped: i64,
    pub quarantined: i64,
    pub retried: i64,
    pub hold: Option<&'a str>,
    pub batch: i64,
    pub speed: SpeedChange,
}

/// A document that a run left out, as in `stopover quarantine --json`.
#[derive(Serialize)]
pub struct QuarantinedView<'a> {
    /// From 1.
    pub step: u32,
    pub database: &'a str,
    pub collection: &'a str,
    /// The document's `_id` as canonical Extended JSON.
    #[serde(rename = "_id")]
    pub id: serde_json::Value,
    pub error: &'a str,
    pub attempt: u32,
    pub at: String,
}

/// Why a run failed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorView<'a> {
    pub message: String,
    /// `exit`, `signal`, `timeout`, `start`, `step` or `worker`.
    pub kind: &'static str,
    pub exit_status: Option<i32>,
    pub signal: Option<i32>,
    pub last_lines: &'a [String],
}

/// Something that happened to a run.
#[derive(Serialize)]
pub struct EventView<'a> {
    pub at: String,
    pub attempt: u32,
    pub kind: &'static str,
    pub by: Option<&'a str>,
    pub pod: Option<&'a str>,
    pub text: &'a str,
}

impl<'a> MigrationView<'a> {
    /// The view of a migration at `now`, a time of the ledger's clock.
    pub fn new(id: &'a MigrationId, entry: Option<&'a Entry>, history: Option<&'a History>, now: Timestamp) -> Self {
        let ready = match entry {
            Some(Entry::Ready(migration)) => Some(&**migration),
            _ => None,
        };
        let broken = match entry {
            Some(Entry::Broken(broken)) => Some(broken),
            _ => None,
        };
        let file = ready.map(|migration| &migration.file).or(broken.map(|broken| &broken.file));
        Self {
            id,
            state: MigrationState::of(entry, history, now),
            description: ready.map_or("", |migration| &migration.description),
            owner: ready.and_then(|migration| migration.owner.as_deref()),
            tags: ready.map_or(&[], |migration| &migration.tags),
            requires: ready.map_or(&[], |migration| &migration.requires),
            file: file.map(|file| file.display().to_string()),
            checksum: ready.map(|migration| migration.checksum.as_str()),
            resume: ready.map(|migration| migration.resume),
            command: ready.and_then(|migration| migration.work.program()).map(|template| &*template.argv),
            steps: match ready.map(|migration| &migration.work) {
                Some(Work::Steps(steps)) => steps.steps.iter().map(StepView::new).collect(),
                _ => Vec::new(),
            },
            problems: broken.map_or_else(Vec::new, |broken| broken.problems.iter().map(ProblemView::new).collect()),
            run: history.and_then(|history| history.latest.as_deref()).map(|run| RunView::new(run, now)),
        }
    }
}

impl<'a> StepView<'a> {
    fn new(step: &'a Step) -> Self {
        let target = step.target();
        Self {
            kind: step.kind(),
            title: step.title(),
            database: match step {
                Step::Command(command) => command.database.as_deref(),
                _ => target.and_then(|target| target.database.as_deref()),
            },
            collection: target.map(|target| &*target.collection),
        }
    }
}

impl<'a> ProblemView<'a> {
    pub fn new(problem: &'a Problem) -> Self {
        Self {
            file: problem.file.display().to_string(),
            line: problem.position.map(|(line, _)| line),
            column: problem.position.map(|(_, column)| column),
            text: problem.text.as_deref(),
            message: &problem.message,
            remedy: &problem.remedy,
        }
    }
}

impl<'a> RunView<'a> {
    /// The view of a run at `now`, a time of the ledger's clock, without its events.
    pub fn new(run: &'a Run, now: Timestamp) -> Self {
        let progress = &run.progress;
        Self {
            id: run.id.to_string(),
            migration: &run.migration,
            attempt: run.attempt,
            state: run.standing(now).word(),
            operator: &run.launch.by.operator,
            pod: &run.place().pod,
            image: run.place().image.as_deref(),
            version: &run.place().version,
            revision: run.place().revision.as_deref(),
            rerun: run.launch.rerun,
            forced: run.launch.forced,
            quarantine_of: run.launch.quarantine_of.map(|of| of.to_string()),
            command: &run.launch.command,
            params: run.launch.params.iter().map(|param| (param.name.clone(), param.value.clone().into())).collect(),
            checksum: run.launch.checksum.as_str(),
            launched_at: run.created_at.rfc3339(),
            started_at: run.started_at.map(Timestamp::rfc3339),
            ended_at: run.ended_at().map(Timestamp::rfc3339),
            updated_at: run.updated_at.rfc3339(),
            heartbeat_at: run.lease().map(|lease| lease.renewed_at.rfc3339()),
            pid: run.worker.as_ref().map(|worker| worker.process.pid),
            done: progress.done,
            total: progress.total,
            remaining: progress.remaining.as_ref().map(|remaining| remaining.count),
            message: progress.message.as_deref(),
            warnings: &progress.warnings,
            speed: run.speed(),
            engine: progress.engine.as_deref().map(EngineView::new),
            checkpoint: run
                .checkpoint
                .as_ref()
                .and_then(|checkpoint| RawValue::from_string(checkpoint.as_json().to_owned()).ok()),
            error: ErrorView::of(run),
            reason: run.reason(),
            wish: run.wish().map(WishView::new),
            resumed: run.resumed.as_ref().map(|Resumed { by, at }| DeedView::new(by, *at)),
            recoveries: run.recoveries.iter().map(RecoveryView::new).collect(),
            events: None,
        }
    }

    /// The same with everything that happened to it.
    pub fn with_events(mut self, events: &'a [Event]) -> Self {
        self.events = Some(events.iter().map(EventView::new).collect());
        self
    }
}

impl<'a> DeedView<'a> {
    fn new(by: &'a Actor, at: Timestamp) -> Self {
        Self { by: &by.operator, pod: &by.place.pod, at: at.rfc3339() }
    }
}

impl<'a> WishView<'a> {
    /// The view of a wish.
    pub fn new(wish: &'a Wish) -> Self {
        Self {
            kind: wish.kind.verb(),
            by: &wish.by.operator,
            pod: &wish.by.place.pod,
            at: wish.at.rfc3339(),
            heard_at: wish.heard_at.map(Timestamp::rfc3339),
            force: wish.force.as_ref().map(|force| DeedView::new(&force.by, force.at)),
        }
    }
}

impl<'a> RecoveryView<'a> {
    /// The view of what a pod did.
    pub fn new(recovery: &'a Recovery) -> Self {
        let (outcome, attempt, reason) = match &recovery.outcome {
            RecoveryOutcome::Resumed { attempt } => ("resumed", Some(*attempt), None),
            RecoveryOutcome::Declined { reason } => ("declined", None, Some(reason.as_str())),
        };
        Self { at: recovery.at.rfc3339(), pod: &recovery.pod, outcome, attempt, reason }
    }
}

impl<'a> EngineView<'a> {
    fn new(engine: &'a EngineProgress) -> Self {
        Self {
            step: engine.step.saturating_add(1),
            steps: engine.steps,
            title: &engine.title,
            estimated: engine.estimated,
            matched: engine.matched,
            modified: engine.modified,
            skipped: engine.skipped,
            quarantined: engine.quarantined,
            retried: engine.retried,
            hold: engine.hold.as_deref(),
            batch: engine.batch,
            speed: engine.speed.into(),
        }
    }
}

impl<'a> QuarantinedView<'a> {
    pub fn new(left: &'a Quarantined) -> Self {
        Self {
            step: left.step.saturating_add(1),
            database: &left.database,
            collection: &left.collection,
            id: serde_json::from_str(&left.document).unwrap_or_else(|_| left.document.clone().into()),
            error: &left.error,
            attempt: left.attempt,
            at: left.at.rfc3339(),
        }
    }
}

impl<'a> ErrorView<'a> {
    fn of(run: &'a Run) -> Option<Self> {
        let RunState::Failed { failure, .. } = &run.state else {
            return None;
        };
        let (kind, exit_status, signal) = match &failure.cause {
            FailureCause::Exit { status } => ("exit", Some(*status), None),
            FailureCause::Signal { signal } => ("signal", None, Some(*signal)),
            FailureCause::Timeout { .. } => ("timeout", None, None),
            FailureCause::Start { .. } => ("start", None, None),
            FailureCause::Step { .. } => ("step", None, None),
            FailureCause::Worker { .. } => ("worker", None, None),
        };
        Some(Self { message: failure.cause.to_string(), kind, exit_status, signal, last_lines: &failure.last_lines })
    }
}

impl<'a> EventView<'a> {
    fn new(event: &'a Event) -> Self {
        Self {
            at: event.at.rfc3339(),
            attempt: event.attempt,
            kind: event.kind.word(),
            by: event.by.as_ref().map(|actor| actor.operator.as_str()),
            pod: event.by.as_ref().map(|actor| actor.place.pod.as_str()),
            text: &event.text,
        }
    }
}

/// Arguments as they would be typed into a shell.
pub fn shell_words(argv: &[String]) -> String {
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "_-./=:@%+,{}".contains(c));
    let quote = |word: &String| if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) };
    argv.iter().map(quote).collect::<Vec<_>>().join(" ")
}
