//! `stopover list`: every migration with its state.

use std::collections::BTreeSet;

use color_eyre::Result;

use crate::ledger::{Histories, MigrationState, Run};
use crate::time::{Timestamp, short_duration};

use super::json::{self, MigrationView};
use super::{Context, Exit, table};

/// Arguments of `stopover list`.
#[derive(clap::Args)]
pub struct Args {
    /// Only migrations in one of these states, e.g. `pending,failed`
    #[arg(long, value_delimiter = ',', value_name = "STATE")]
    state: Vec<String>,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// Prints the list.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let states = wanted(&args.state)?;
    // The ledger answers while the files are read.
    let file = context.config.catalog.clone();
    let catalog = tokio::task::spawn_blocking(move || crate::catalog::Catalog::load(&file));
    let ledger = context.reader().await?;
    let seen = ledger.histories().await?;
    let catalog = catalog.await?;

    let ids: BTreeSet<_> = catalog.entries.iter().map(crate::catalog::Entry::id).chain(seen.value.keys()).collect();
    let views: Vec<_> = ids
        .into_iter()
        .map(|id| MigrationView::new(id, catalog.entry(id), seen.value.get(id), seen.now))
        .filter(|view| states.is_empty() || states.contains(&view.state))
        .collect();
    if args.json {
        json::print(&views)?;
    } else {
        let rows: Vec<_> = views.iter().map(|view| row(view, &seen.value, seen.now)).collect();
        table::print(["STATE", "MIGRATION", "WHEN", "TOOK", "BY", "REMAINING", "NOTE"], &rows)?;
    }
    for problem in &catalog.problems {
        eprintln!("warning: {problem}");
    }
    // A list without any catalog tells nothing about what is pending: a script must notice.
    let is_blind = catalog.entries.is_empty() && !catalog.problems.is_empty();
    Ok(if is_blind { Exit::Failed } else { Exit::Fine })
}

fn wanted(words: &[String]) -> Result<Vec<MigrationState>> {
    words
        .iter()
        .map(|word| {
            MigrationState::ALL.into_iter().find(|state| state.word() == word).ok_or_else(|| {
                let all = MigrationState::ALL.map(MigrationState::word).join(", ");
                super::UserError::Usage(format!("--state takes {all}, not `{word}`")).into()
            })
        })
        .collect()
}

fn row(view: &MigrationView<'_>, histories: &Histories, now: Timestamp) -> [String; 7] {
    let run = histories.get(view.id).and_then(|history| history.latest.as_deref());
    [
        view.state.to_string(),
        view.id.to_string(),
        run.map_or_else(String::new, |run| ago(run.ended_at().or(run.started_at).unwrap_or(run.created_at), now)),
        run.and_then(|run| took(run, now)).unwrap_or_default(),
        run.map_or_else(String::new, |run| run.launch.by.operator.clone()),
        run.and_then(|run| run.progress.remaining.as_ref())
            .map_or_else(String::new, |remaining| remaining.count.to_string()),
        note(view, run),
    ]
}

fn note(view: &MigrationView<'_>, run: Option<&Run>) -> String {
    if let Some(problem) = view.problems.first() {
        return problem.message.to_owned();
    }
    let left = run.and_then(|run| run.progress.remaining.as_ref()).map_or(0, |remaining| remaining.count);
    if view.state.is_applied() && left > 0 {
        return format!("succeeded, yet {left} remain");
    }
    run.and_then(|run| run.reason().or_else(|| run.progress.message.clone())).unwrap_or_default()
}

/// `3 min 20 s ago`.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", short_duration(std::time::Duration::from_secs(now.since(then).as_secs())))
}

/// From the first start to the end, or to now.
pub fn took(run: &Run, now: Timestamp) -> Option<String> {
    Some(short_duration(run.ended_at().unwrap_or(now).since(run.started_at?)))
}
