//! Steps that are one call to the server, or wait for one: indexes and commands. Each does nothing where it is done already, so that a crash
//! in the middle of one needs no more than to ask again.

use crate::catalog::Step;

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
    context.patiently(call).await?;
    let done = StepRecord { epoch: context.attempt, complete: true, ..record.clone() };
    context.patiently(|| checkpoints.plan(&record, &done, &[])).await.map(|_| ())
}
