//! `stopover runs`: runs, newest first.

use color_eyre::Result;

use crate::catalog::MigrationId;
use crate::ledger::RunQuery;

use super::json::{self, RunView};
use super::list::{ago, took};
use super::{Context, Exit, UserError, table};

/// Arguments of `stopover runs`.
#[derive(clap::Args)]
pub struct Args {
    /// Only runs of this migration
    migration: Option<String>,
    /// At most so many; 0 is all
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// Prints the runs.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let migration = args.migration.map(MigrationId::new).transpose().map_err(UserError::Usage)?;
    let ledger = context.reader().await?;
    let seen = ledger.runs(RunQuery { migration, limit: (args.limit > 0).then_some(args.limit) }).await?;
    if args.json {
        let views: Vec<_> = seen.value.iter().map(|run| RunView::new(run, seen.now)).collect();
        json::print(&views)?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<_> = seen
        .value
        .iter()
        .map(|run| {
            [
                run.standing(seen.now).to_string(),
                run.id.to_string(),
                run.migration.to_string(),
                run.attempt.to_string(),
                ago(run.created_at, seen.now),
                took(run, seen.now).unwrap_or_default(),
                run.launch.by.operator.clone(),
                run.place().pod.clone(),
                run.reason().unwrap_or_default(),
            ]
        })
        .collect();
    table::print(["STATE", "RUN", "MIGRATION", "ATTEMPT", "LAUNCHED", "TOOK", "BY", "POD", "NOTE"], &rows)?;
    Ok(Exit::Fine)
}
