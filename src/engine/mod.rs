//! The native engine: executes the steps of a manifest against MongoDB, inside the worker.
//!
//! ```text
//! steps ──> backfill, copy ──> pass ──> lanes ──> batch: apply and checkpoint in one transaction
//!   |                           |  ^       ^
//!   |         preflight, walk ──┘  |       └ throttle <── governor <── the server's own figures
//!   |                              └ source (slices of `_id`s)
//!   └─────> indexes, command
//! ```
//!
//! The promise, of a backfill on a replica set: a batch and its checkpoint commit together or not at all, and only while this attempt holds the
//! run. So a worker may be killed, frozen or cut off at any point, and no document is left out or changed twice. See [`checkpoint`]. A copy is
//! repeatable, for it upserts by key; indexes and commands are looked for before they are made. A standalone server has no transactions: there a step
//! must say that it may be repeated.

mod answer;
pub mod apply;
mod backfill;
pub mod checkpoint;
pub mod command;
mod context;
pub mod copy;
mod copying;
mod count;
pub mod fault;
pub mod governor;
pub mod indexes;
pub mod json;
mod lane;
mod left;
pub mod observer;
pub mod pacer;
mod pass;
mod patience;
mod preflight;
mod quarantine;
pub mod site;
pub mod slice;
mod source;
mod sweep;
pub mod tally;
pub mod throttle;
pub mod tools;
pub mod transform;
mod update;
pub mod walk;
mod whole;
mod writing;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ChildStderr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use tokio_util::sync::CancellationToken;

use crate::catalog::{MigrationId, Step, Steps};
use crate::ledger::{LedgerWriter, RunId};
use crate::secret::Secret;

use context::Context;
use fault::Fault;
use governor::{Governor, OwnLoad};
use observer::{How, Observer, StepBegun, StepEnd};
use patience::Patience;
use site::Site;
use tally::{Report, Tally};
use throttle::Throttle;

/// What the engine is to do, and for whom.
pub struct Job {
    /// The database.
    pub database: Secret,
    /// The steps.
    pub steps: Arc<Steps>,
    /// The run.
    pub run: RunId,
    /// Its migration.
    pub migration: MigrationId,
    /// Its attempt.
    pub attempt: u32,
    /// Only the documents that this run left out.
    pub quarantine_of: Option<RunId>,
    /// The step that earlier attempts had come to, as the ledger has it, and the documents that were selected there.
    pub reached: Option<(u32, i64)>,
    /// Makes a text safe to be kept: no secret of the run is in it.
    pub mask: Arc<dyn Fn(&str) -> String + Send + Sync>,
    /// Where documents that are left out are recorded.
    pub ledger: Arc<dyn LedgerWriter>,
    /// How fast it may go.
    pub throttle: Throttle,
    /// Asks for a stop at the next checkpoint.
    pub stop: CancellationToken,
    /// Says of a stop that nothing will be resumed: the run is cancelled.
    pub for_good: CancellationToken,
    /// Tells the run's log.
    pub note: Arc<dyn Fn(String) + Send + Sync>,
    /// Tells the operator what should be known when the run is over.
    pub warn: Arc<dyn Fn(String) + Send + Sync>,
    /// Tells how far it is.
    pub publish: Arc<dyn Fn(Report) + Send + Sync>,
    /// Who measures.
    pub observer: Arc<dyn Observer>,
    /// The environment of a transform.
    pub environment: BTreeMap<OsString, OsString>,
    /// Who reads what a transform prints on standard error.
    pub stderr: Arc<dyn Fn(ChildStderr) -> Receiver<Vec<String>> + Send + Sync>,
}

/// How the steps ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is done.
    Done,
    /// It stopped at a checkpoint, for it was asked to.
    Stopped,
    /// A step cannot go on; it can be resumed.
    Failed {
        /// Which step.
        title: String,
        /// Why, and what to do.
        message: String,
    },
    /// A later attempt has taken over; nothing more was written.
    Fenced(String),
}

/// Executes the steps, from where earlier attempts have left them.
pub async fn execute(job: Job) -> End {
    let titles = job.steps.titles();
    let Job { steps, stop, note, publish, .. } = &job;
    let (steps, stop, note) = (steps.clone(), stop.clone(), note.clone());
    let tally = Tally::new(steps.steps.len(), publish.clone());
    let site = match connect(&job.database, &tally, &note, &stop).await {
        Ok(site) => site,
        Err(fault) => return end(fault, titles.first()),
    };
    if let Some(step) =
        steps.steps.iter().position(|step| !step.names_its_databases()).filter(|_| !site.names_database())
    {
        let reason = "MONGODB_URI names no database, and neither does the step; add its name to one of them, e.g. `mongodb://host/NAME`";
        return end(Fault::Fatal(reason.to_owned()), titles.get(step));
    }
    let throttle = job.throttle;
    let context = Context {
        site,
        run: job.run,
        migration: job.migration,
        attempt: job.attempt,
        quarantine_of: job.quarantine_of,
        reached: job.reached,
        ledger: job.ledger,
        mask: job.mask,
        tally: tally.clone(),
        throttle: throttle.clone(),
        own: OwnLoad::default(),
        batch: steps.batch,
        stop: stop.clone(),
        for_good: job.for_good,
        note: note.clone(),
        warn: job.warn,
        observer: job.observer.clone(),
        environment: job.environment,
        stderr: job.stderr,
    };
    let governed =
        Governor::new(context.site.clone(), throttle.clone(), steps.holds, context.own.clone(), note.clone());
    let over = CancellationToken::new();
    let _over = over.clone().drop_guard();
    tokio::select! {
        end = every_step(&context, &steps, &titles) => end,
        () = async { tokio::join!(governed.run(over), told(&throttle, &tally, &*job.observer)); } => unreachable!("both go on until this is dropped"),
    }
}

/// Tells how fast it may go, and why not faster.
async fn told(throttle: &Throttle, tally: &Tally, observer: &dyn Observer) {
    loop {
        let changed = throttle.changed();
        tally.throttled(throttle.reason(), throttle.speed());
        observer.throttled(&throttle.verdict());
        changed.await;
    }
}

async fn every_step(context: &Context, steps: &Steps, titles: &[String]) -> End {
    let (tally, note) = (&context.tally, &context.note);
    for (index, (step, title)) in (0..).zip(steps.steps.iter().zip(titles)) {
        tally.begin(index, title);
        context.observer.step_begins(&begun(&context.site, index, title, step));
        let done = match step {
            Step::Backfill(step) => backfill::run(context, index, title, step).await,
            Step::Copy(step) => copying::run(context, index, title, step, &steps.steps[..index as usize]).await,
            // A run on documents that another left out does the rest of that run's work not again.
            _ if context.quarantine_of.is_some() => Ok(()),
            Step::CreateIndexes(_) | Step::DropIndexes(_) | Step::Command(_) => {
                whole::run(context, index, title, step).await
            }
        };
        let totals = tally.totals();
        context.observer.step_ends(&StepEnd { totals, how: how(done.as_ref().err()) });
        if let Err(fault) = done {
            return end(fault, Some(title));
        }
        note(format!(
            "step {} of {}, {title}, is done: {} selected, {} changed, {} left alone, {} left out",
            index + 1,
            titles.len(),
            totals.matched,
            totals.modified,
            totals.skipped,
            totals.quarantined
        ));
    }
    End::Done
}

/// What is told of a step that begins.
fn begun<'a>(site: &'a Site, index: u32, title: &'a str, step: &'a Step) -> StepBegun<'a> {
    let target = step.target();
    let database = match step {
        Step::Command(command) => command.database.as_deref(),
        _ => target.and_then(|target| target.database.as_deref()),
    };
    let collection = target.map(|target| target.collection.as_str());
    StepBegun { index, title, kind: step.kind(), database: site.database_name(database), collection }
}

/// What is told of how it ended.
fn how(fault: Option<&Fault>) -> How<'_> {
    match fault {
        None => How::Done,
        Some(Fault::Stopped | Fault::Fenced(_)) => How::Stopped,
        Some(Fault::Fatal(why) | Fault::Passing(why) | Fault::TooMuch(why) | Fault::Poison(why)) => How::Failed(why),
    }
}

/// Connects, for as long as that takes.
async fn connect(
    database: &Secret,
    tally: &Tally,
    note: &Arc<dyn Fn(String) + Send + Sync>,
    stop: &CancellationToken,
) -> Result<Site, Fault> {
    let mut patience = Patience::default();
    loop {
        match Site::connect(database).await {
            Err(Fault::Passing(reason)) => {
                tally.say(Some(format!("trying again: {reason}")));
                note(format!("the database cannot be reached: {reason}; trying again"));
                patience.wait(&reason, stop).await?;
            }
            other => {
                tally.say(None);
                return other;
            }
        }
    }
}

fn end(fault: Fault, title: Option<&String>) -> End {
    match fault {
        Fault::Stopped => End::Stopped,
        Fault::Fenced(reason) => End::Fenced(reason),
        Fault::Fatal(message) | Fault::Passing(message) | Fault::TooMuch(message) | Fault::Poison(message) => {
            End::Failed { title: title.cloned().unwrap_or_default(), message }
        }
    }
}
