//! `stopover pause` and `stopover cancel`: asking a run, wherever it is, to stop.

use color_eyre::Result;

use crate::launch;
use crate::ledger::{Acted, Action, Standing, WishKind};

use super::{Context, Exit};

/// Arguments of `stopover pause` and `stopover cancel`.
#[derive(clap::Args)]
pub struct Args {
    /// A run's id or its last digits, or a migration's name for its latest run
    #[arg(value_name = "RUN|NAME")]
    run: String,
    /// Wait until the run stands still; fails when it does so in another way than asked for
    #[arg(long)]
    wait: bool,
}

/// Asks; the worker, wherever it is, reads the wish with its next heartbeat.
pub async fn run(context: &Context, kind: WishKind, args: Args) -> Result<Exit> {
    let ledger = context.writer().await?;
    let found = context.find_run(&*ledger, &args.run).await?.value;
    launch::check_environment(&*ledger, &context.config).await?;
    let action = Action::Stop { kind, by: context.config.actor.clone() };
    match ledger.act(found.id, action).await? {
        Acted::Already(text) => println!("{text}"),
        Acted::Changed(run) => match run.standing(ledger.now().await?) {
            Standing::Pausing => println!("run {} is asked to pause at its checkpoint", run.id),
            Standing::Cancelling => println!("run {} is asked to cancel", run.id),
            standing => println!("run {} is {standing}", run.id),
        },
    }
    if args.wait {
        let settled = super::run::settle(&*ledger, found.id).await?;
        let standing = settled.value.standing(settled.now);
        println!("run {} is {standing}", settled.value.id);
        let wanted = match kind {
            WishKind::Pause => Standing::Paused,
            WishKind::Cancel => Standing::Cancelled,
        };
        // It may have come to its end before it could stop.
        return Ok(if standing == wanted { Exit::Fine } else { Exit::Failed });
    }
    Ok(Exit::Fine)
}
