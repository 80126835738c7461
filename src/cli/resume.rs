//! `stopover resume`: the next attempt of a run that stands still, or the takeover of a lost one.

use color_eyre::Result;

use crate::launch::{self, ResumeRequest};

use super::run::{After, Confirm, announce, confirm, hold_sigterm, parse_param};
use super::{Context, Exit};

/// Arguments of `stopover resume`.
#[derive(clap::Args)]
pub struct Args {
    /// A run's id or its last digits, or a migration's name for its latest run
    #[arg(value_name = "RUN|NAME")]
    run: String,
    /// Secret params again (the ledger does not keep them), as KEY=@FILE, or in the variable `STOPOVER_PARAM_KEY`
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = parse_param)]
    params: Vec<(String, String)>,
    /// Continue although the migration's file has changed since the launch; recorded with the run
    #[arg(long)]
    changed: bool,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    after: After,
}

/// Resumes, and prints the run's id.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let ledger = context.writer().await?;
    let found = context.find_run(&*ledger, &args.run).await?.value;
    let catalog = context.catalog();
    let passport = launch::check_environment(&*ledger, &context.config).await?;
    confirm(&passport, &found.migration, &args.confirm)?;
    let secret = found.launch.params.iter().filter(|param| param.secret).map(|param| param.name.as_str());
    let params = super::secrets::complete(args.params, secret)?;
    let request = ResumeRequest { params, accept_changed: args.changed };
    let _not_halfway = hold_sigterm()?;
    let run = launch::resume(&*ledger, &context.config, &catalog, &found, &request).await?;
    announce(context, &run)?;
    args.after.finish(context, ledger, &run).await
}
