//! Steps that are one call to the server, or wait for one: indexes and commands. Each does nothing where it is done already, so that a crash
//! in the middle of one needs no more than to ask again.

use crate::catalog::{CreateIndexes, Step};

use super::checkpoint::{Checkpoints, StepRecord};
use super::context::Context;
use super::fault::Fault;
use super::{command, indexes};

/// Executes the step, and records that it is complete.
///
/// # Errors
/// See [`Fault`].
pub async fn run(context: &Context, index: u32, title: &str, step: &Step) -> Result<(), Fault> {
    let database = match step {
        Step::Command(step) => step.database.as_deref(),
        _ => step.target().and_then(|target| target.database.as_deref()),
    };
    let checkpoints = Checkpoints::new(&context.site, database, context.run, index, context.attempt);
    let record = context.patiently(|| checkpoints.claim(context.migration.as_str(), title)).await?;
    if record.complete {
        return Ok(());
    }
    let call = || {
        context.with_tools(async |tools| match step {
            Step::CreateIndexes(step) => indexes::create(&tools, step).await,
            Step::DropIndexes(step) => indexes::drop(&tools, step).await,
            Step::Command(step) => command::run(&tools, step).await,
            Step::Backfill(_) | Step::Copy(_) => Err(Fault::Fatal("it is executed in batches".to_owned())),
        })
    };
    let called = context.patiently(call).await;
    if let (Err(Fault::Stopped), Step::CreateIndexes(step)) = (&called, step) {
        leave_or_end(context, step).await;
    }
    called?;
    let done = StepRecord { epoch: context.attempt, complete: true, ..record.clone() };
    context.patiently(|| checkpoints.plan(&record, &done, &[])).await.map(|_| ())
}

/// What becomes of the build of indexes that a stopping run has asked for: it is of no use to a run that is cancelled, and costs the server
/// as much as before.
async fn leave_or_end(context: &Context, step: &CreateIndexes) {
    let ended = context.with_tools(async |tools| {
        if context.for_good.is_cancelled() {
            return indexes::abort(&tools, step).await;
        }
        indexes::leave(&tools, step);
        Ok(())
    });
    if let Err(Fault::Fatal(reason) | Fault::Passing(reason) | Fault::TooMuch(reason) | Fault::Poison(reason)) =
        ended.await
    {
        context.warn(format!(
            "the server goes on building what was cancelled: {reason}; to end it, drop the indexes that the step names"
        ));
    }
}
