//! `stopover quarantine`: the documents that a run of steps left out, and a new run on just these.

use std::sync::Arc;

use color_eyre::Result;

use crate::launch::{self, Request};
use crate::ledger::{LedgerReader, LedgerWriter, Quarantined, Run};
use crate::logs::sanitise;

use super::context::histories_of;
use super::json::{self, QuarantinedView};
use super::run::{After, Confirm, announce, confirm, hold_sigterm, parse_param};
use super::{Context, Exit, UserError, table};

/// Documents that are asked for at a time.
const PAGE: u32 = 1_000;

/// Arguments of `stopover quarantine`.
#[derive(clap::Args)]
pub struct Args {
    /// A run's id or its last digits, or a migration's name for its latest run
    #[arg(value_name = "RUN|NAME")]
    run: String,
    /// One JSON array
    #[arg(long, conflicts_with = "retry")]
    json: bool,
    /// Launch a new run of the migration on just these documents; prints its id
    #[arg(long)]
    retry: bool,
    /// With --retry: a param, where it is not what that run was given; a secret one must be given again
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = parse_param, requires = "retry")]
    params: Vec<(String, String)>,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    after: After,
}

impl Args {
    /// Whether it launches a run, and does not only look.
    pub fn retries(&self) -> bool {
        self.retry
    }
}

/// Lists, or launches the retry.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    if args.retry {
        let ledger = context.writer().await?;
        return retry(context, ledger, args).await;
    }
    let ledger = context.reader().await?;
    let run = context.find_run(&*ledger, &args.run).await?.value;
    let left_out = all(&*ledger, &run).await?;
    if args.json {
        json::print(&left_out.iter().map(QuarantinedView::new).collect::<Vec<_>>())?;
        return Ok(Exit::Fine);
    }
    if left_out.is_empty() {
        println!("{}", nothing(&run));
        return Ok(Exit::Fine);
    }
    let rows: Vec<_> = left_out
        .iter()
        .map(|left| {
            [
                (left.step + 1).to_string(),
                format!("{}.{}", left.database, left.collection),
                sanitise::plain(left.document.as_bytes()),
                sanitise::plain(left.error.as_bytes()),
            ]
        })
        .collect();
    table::print(["STEP", "COLLECTION", "DOCUMENT", "ERROR"], &rows)?;
    Ok(Exit::Fine)
}

async fn retry(context: &Context, ledger: Arc<dyn LedgerWriter>, args: Args) -> Result<Exit> {
    let of = context.find_run(&*ledger, &args.run).await?.value;
    let passport = launch::check_environment(&*ledger, &context.config).await?;
    if ledger.quarantined(of.id, None, 1).await?.is_empty() {
        return Err(UserError::Refused(format!("{}; there is nothing to retry", nothing(&of))).into());
    }
    let id = of.migration.clone();
    let catalog = context.catalog();
    let requires = launch::ready(&catalog, &id).map_or(&[][..], |migration| &migration.requires);
    let seen = histories_of(&*ledger, std::iter::once(&id).chain(requires)).await?;
    let request = Request {
        migration: id.clone(),
        rerun: false,
        force: false,
        repeat: false,
        quarantine_of: Some(of.id),
        params: params(&of, args.params)?,
    };
    let plan = launch::plan(&catalog, &seen.value, seen.now, &context.config, &request)?;
    confirm(&passport, &id, &args.confirm)?;
    let _not_halfway = hold_sigterm()?;
    let run = launch::launch(&*ledger, &context.config, plan).await?;
    announce(context, &run)?;
    args.after.finish(context, ledger, &run).await
}

/// What the run was launched with, unless it is given anew.
fn params(of: &Run, given: Vec<(String, String)>) -> Result<Vec<(String, String)>> {
    let secret = of.launch.params.iter().filter(|param| param.secret).map(|param| param.name.as_str());
    let mut params = super::secrets::complete(given, secret)?;
    for kept in of.launch.params.iter().filter(|param| !param.secret) {
        if !params.iter().any(|(name, _)| *name == kept.name) {
            params.push((kept.name.clone(), kept.value.clone()));
        }
    }
    Ok(params)
}

async fn all(ledger: &dyn LedgerReader, run: &Run) -> Result<Vec<Quarantined>> {
    let mut left_out: Vec<Quarantined> = Vec::new();
    loop {
        let after = left_out.last().map(Quarantined::position);
        let page = ledger.quarantined(run.id, after, PAGE).await?;
        if page.is_empty() {
            return Ok(left_out);
        }
        left_out.extend(page);
    }
}

fn nothing(run: &Run) -> String {
    let earlier = run
        .launch
        .quarantine_of
        .map_or_else(String::new, |earlier| format!(" (it worked on what run {} left out)", earlier.short()));
    format!("run {} of {} has left out no document{earlier}", run.id.short(), run.migration)
}
