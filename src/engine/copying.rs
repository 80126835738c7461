//! A copy: writes documents of another shape into another collection.

use crate::catalog::{Copy, Step};

use super::checkpoint::{Checkpoints, Plan};
use super::context::Context;
use super::copy::{CopyBatch, check};
use super::count;
use super::fault::Fault;
use super::preflight;
use super::quarantine::Quarantine;
use super::sweep::{Aim, Sweep};

/// Executes the step. The checkpoints are in the database that is written to. `before` are the steps that have made what this one needs.
///
/// # Errors
/// See [`Fault`].
pub async fn run(context: &Context, index: u32, title: &str, step: &Copy, before: &[Step]) -> Result<(), Fault> {
    let apply = CopyBatch::new(&context.site, step);
    let sweep = Sweep {
        context,
        target: &step.source,
        filter: &step.filter,
        hint: None,
        index,
        aim: Aim::Copied,
        checkpoints: &Checkpoints::new(
            &context.site,
            step.into.database.as_deref(),
            context.run,
            index,
            context.attempt,
        ),
        apply: &apply,
        quarantine: &Quarantine::new(context, index, &step.source, step.max_quarantined),
    };
    let plan = async || {
        context.say("checking the step");
        for warning in context.patiently(|| check(&context.site, step, before)).await? {
            context.warn(warning);
        }
        context.say("counting what there is to do");
        let (total, estimated) = count::total(&context.site, &step.source, &step.filter, None, None).await;
        let most = preflight::most(preflight::size(&context.site, &step.source).await.as_ref());
        Ok(Plan { total, estimated, most, ..Plan::default() })
    };
    // Writing a document again as it is changes nothing.
    sweep.to_the_end(title, plan, async || Ok(())).await
}
