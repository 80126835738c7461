//! `stopover pause` and `stopover cancel`: asking a run, wherever it is, to stop; and by force when it does not.

use color_eyre::Result;

use crate::launch;
use crate::ledger::{Acted, LedgerWriter, Run, RunId, Standing, WishKind};

use super::run::confirm_name;
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
    /// For a run that was asked to stop and has not within its grace: end its program at once, and wait until the run stands still
    #[arg(long)]
    force: bool,
    /// With --force: the migration's name once more, in place of typing it at the prompt
    #[arg(long = "confirm", value_name = "NAME", requires = "force")]
    confirmed: Option<String>,
}

/// Asks; the worker, wherever it is, reads the wish with its next heartbeat.
pub async fn run(context: &Context, kind: WishKind, args: Args) -> Result<Exit> {
    let ledger = context.writer().await?;
    let found = context.find_run(&*ledger, &args.run).await?.value;
    if args.force {
        let what = "This ends the program at once, wherever it is";
        confirm_name(what, &found.migration, args.confirmed.as_deref())?;
    }
    say(launch::stop(&*ledger, &context.config, found.id, kind, args.force).await?, &*ledger).await?;
    if !args.wait && !args.force {
        return Ok(Exit::Fine);
    }
    let wanted = match kind {
        WishKind::Pause => Standing::Paused,
        WishKind::Cancel => Standing::Cancelled,
    };
    let standing = settle(context, &*ledger, found.id, kind, args.force).await?;
    // It may have come to its end before it could stop.
    Ok(match standing {
        standing if standing == wanted => Exit::Fine,
        Standing::Lost if args.force => Exit::StandsStill,
        _ => Exit::Failed,
    })
}

async fn say(acted: Acted, ledger: &dyn LedgerWriter) -> Result<()> {
    match acted {
        Acted::Already(text) => println!("{text}"),
        Acted::Changed(run) => println!("run {} {}", run.id, is_asked(&run, run.standing(ledger.now().await?))),
    }
    Ok(())
}

fn is_asked(run: &Run, standing: Standing) -> String {
    match (standing, run.lease().filter(|_| run.is_forced())) {
        (Standing::Pausing | Standing::Cancelling, Some(lease)) => {
            format!("is forced to stop: its worker ends the program now, or its lease ends at {}", lease.expires_at)
        }
        (Standing::Pausing, None) => "is asked to pause at its checkpoint".to_owned(),
        (Standing::Cancelling, None) => "is asked to cancel".to_owned(),
        _ => format!("is {standing}"),
    }
}

/// Waits until the run stands still, and ends it if it is to be cancelled and was lost on the way.
async fn settle(
    context: &Context,
    ledger: &dyn LedgerWriter,
    id: RunId,
    kind: WishKind,
    by_force: bool,
) -> Result<Standing> {
    let settled = super::run::settle(ledger, id).await?;
    let standing = settled.value.standing(settled.now);
    println!("run {id} is {standing}");
    if standing != Standing::Lost || !by_force {
        return Ok(standing);
    }
    match kind {
        // Its worker did not answer, and can do nothing any more: now it ends at once.
        WishKind::Cancel => {
            say(launch::stop(ledger, &context.config, id, kind, false).await?, ledger).await?;
            let settled = super::run::settle(ledger, id).await?;
            Ok(settled.value.standing(settled.now))
        }
        WishKind::Pause => {
            let short = id.short();
            eprintln!(
                "its worker did not answer; `stopover resume {short}` takes it over, `stopover cancel {short}` ends it"
            );
            Ok(standing)
        }
    }
}
