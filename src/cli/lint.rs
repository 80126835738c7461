//! `stopover lint`: everything that is wrong with the catalog, for people and for CI. It needs no ledger.

use std::io::Write;

use color_eyre::Result;

use crate::catalog::lint::render;

use super::json::{self, ProblemView};
use super::{Context, Exit};

/// Arguments of `stopover lint`.
#[derive(clap::Args)]
pub struct Args {
    /// One JSON array of problems, empty when there are none
    #[arg(long)]
    json: bool,
}

/// Prints every problem; fails if there is one.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let file = context.config.catalog.clone();
    let catalog = tokio::task::spawn_blocking(move || crate::catalog::Catalog::load(&file)).await?;
    let problems = catalog.distinct_problems();
    if args.json {
        json::print(&problems.iter().map(|problem| ProblemView::new(problem)).collect::<Vec<_>>())?;
    } else {
        let mut out = std::io::stdout().lock();
        for problem in &problems {
            writeln!(out, "{}", render(problem))?;
        }
        writeln!(out, "{}", catalog.verdict())?;
    }
    Ok(if problems.is_empty() { Exit::Fine } else { Exit::Failed })
}
