//! `stopover tune`: how fast a run of steps goes.

use color_eyre::Result;

use crate::catalog::{Entry, Speed, Work};
use crate::launch;
use crate::ledger::{Acted, Action, SpeedChange, SpeedError};

use super::{Context, Exit, UserError};

/// Arguments of `stopover tune`.
#[derive(clap::Args)]
pub struct Args {
    /// A run's id or its last digits, or a migration's name for its latest run
    #[arg(value_name = "RUN|NAME")]
    run: String,
    #[command(flatten)]
    speed: Parts,
}

/// What is set; at least one.
#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Parts {
    /// Batches under way at once, 1 to 16
    #[arg(long, value_name = "N", value_parser = SpeedChange::parse_workers)]
    workers: Option<u8>,
    /// The share of the time in which there is a batch under way at all, e.g. 50%
    #[arg(long, value_name = "PERCENT", value_parser = SpeedChange::parse_pace)]
    pace: Option<u8>,
}

/// Sets the speed; the worker, wherever it is, learns of it with its next heartbeat. Prints the speed that holds now.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let usage = |error: SpeedError| UserError::Usage(error.to_string());
    let speed = SpeedChange::new(args.speed.workers, args.speed.pace).map_err(usage)?;
    let ledger = context.writer().await?;
    let found = context.find_run(&*ledger, &args.run).await?.value;
    if !found.is_native() {
        return Err(UserError::Refused(format!(
            "run {} of {} is a program: only native steps have a speed",
            found.id.short(),
            found.migration
        ))
        .into());
    }
    launch::check_environment(&*ledger, &context.config).await?;
    match ledger.act(found.id, Action::Tune { by: context.config.actor.clone(), speed }).await? {
        Acted::Already(text) => println!("{text}"),
        Acted::Changed(run) => {
            let set = run.speed().unwrap_or(speed);
            let all = declared(context, &run.migration).map_or(set, |declared| set.over(declared).into());
            println!("run {} is set to {all}", run.id);
        }
    }
    Ok(Exit::Fine)
}

/// What the manifest says, where this image has it.
fn declared(context: &Context, migration: &crate::catalog::MigrationId) -> Option<Speed> {
    match context.catalog().entry(migration) {
        Some(Entry::Ready(migration)) => match &migration.work {
            Work::Steps(steps) => Some(steps.speed),
            Work::Executable(_) => None,
        },
        _ => None,
    }
}
