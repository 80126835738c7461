//! A backfill: changes documents where they are.

use std::sync::Arc;

use crate::catalog::{Backfill, Change, Target};

use super::apply::Apply;
use super::checkpoint::Checkpoints;
use super::context::Context;
use super::fault::Fault;
use super::preflight;
use super::quarantine::Quarantine;
use super::sweep::{Aim, Sweep};
use super::transform::{Transform, TransformBatch};
use super::update::Update;

/// Executes the step.
///
/// # Errors
/// See [`Fault`].
pub async fn run(context: &Context, index: u32, title: &str, step: &Backfill) -> Result<(), Fault> {
    let transform = match &step.change {
        Change::Transform(template) => Some(context.transform(template)?),
        _ => None,
    };
    let of = |collection: &str| applier(context, step, collection, transform.as_ref());
    let apply = of(&step.target.collection)?;
    let database = step.target.database.as_deref();
    let checkpoints = Checkpoints::new(&context.site, database, context.run, index, context.attempt);
    let sweep = Sweep {
        context,
        target: &step.target,
        filter: &step.filter,
        hint: step.hint.as_ref(),
        aim: if step.idempotent { Aim::NothingLeft } else { Aim::Once },
        checkpoints: &checkpoints,
        apply: &*apply,
        quarantine: &Quarantine::new(context, index, &step.target, step.max_quarantined),
    };
    sweep.to_the_end(title, async || preflight::check(context, step, &checkpoints, &*apply, of).await).await
}

/// What applies the step's change to a collection of its database.
fn applier(
    context: &Context,
    step: &Backfill,
    collection: &str,
    transform: Option<&Arc<Transform>>,
) -> Result<Box<dyn Apply>, Fault> {
    let target = Target { collection: collection.to_owned(), ..step.target.clone() };
    let database = context.site.database(target.database.as_deref());
    match (Update::new(database, collection, &step.filter, &step.change), transform) {
        (Some(update), _) => Ok(Box::new(update)),
        (None, Some(transform)) => {
            Ok(Box::new(TransformBatch::new(&context.site, &target, step.filter.clone(), transform.clone())))
        }
        (None, None) => Err(Fault::Fatal("the step says neither what to change nor what computes it".to_owned())),
    }
}
