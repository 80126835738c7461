//! `stopover doctor`: checks everything here that a run depends on, and explains every unfinished run.

mod checks;
mod explain;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use color_eyre::Result;
use serde::Serialize;

use crate::config::StateDir;
use crate::keeper;
use crate::ledger::{LedgerReader, Run, Seen};

use super::{Context, Exit, UserError};
use checks::{
    Check, Verdict, check_build, check_catalog, check_ledger, check_mirror, check_passport, check_state_dir,
    check_telemetry,
};
use explain::{Explained, Surroundings};

/// Arguments of `stopover doctor`.
#[derive(clap::Args)]
pub struct Args {
    /// Explain only this run: its id or its last digits, or a migration's name for its latest run
    #[arg(value_name = "RUN|NAME")]
    run: Option<String>,
    /// One JSON object: `checks` and `runs`
    #[arg(long)]
    json: bool,
    /// Only whether this pod's keeper lives, or with `=ready` whether runs can be launched; for an exec probe: milliseconds, no ledger
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "live", conflicts_with = "json")]
    pub probe: Option<Probe>,
}

/// What an exec probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Probe {
    /// Does the keeper live?
    Live,
    /// Does it, and can runs be launched in this pod?
    Ready,
}

/// Answers a probe in one line.
pub fn probe(state: &StateDir, probe: Probe) -> Exit {
    let answer = match probe {
        Probe::Live => keeper::probe::live(state),
        Probe::Ready => keeper::probe::ready(state),
    };
    match answer {
        Ok(text) => {
            // Whoever asked may not have stayed for the words.
            let _ = writeln!(std::io::stdout(), "{text}");
            Exit::Fine
        }
        Err(text) => {
            eprintln!("{text}");
            Exit::Failed
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    checks: Vec<Check>,
    runs: Vec<Explained<'a>>,
}

/// Prints the report; fails when a check does.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let config = &context.config;
    let catalog = context.catalog();
    let mut checks = vec![
        check_build(config),
        check_catalog(&catalog, &config.catalog),
        check_state_dir(config),
        check_mirror(config),
        check_telemetry().await,
    ];
    let mut wrong_environment = None;
    let mut exit = Exit::Fine;
    let started = Instant::now();
    let seen = match look(context, args.run.as_deref()).await {
        Ok((ledger, seen)) => {
            checks.push(check_ledger(config, &*ledger, started));
            let passport = check_passport(config, &*ledger).await?;
            wrong_environment = (passport.verdict == Verdict::Failed).then(|| passport.text.clone());
            checks.push(passport);
            Some(seen)
        }
        // There is no such run: that is no matter of the ledger.
        Err(report) if report.is::<UserError>() => return Err(report),
        Err(report) => {
            exit = Exit::of(&report);
            checks.push(Check { name: "ledger", verdict: Verdict::Failed, text: report.to_string() });
            None
        }
    };
    if exit == Exit::Fine && checks.iter().any(|check| check.verdict == Verdict::Failed) {
        exit = Exit::Failed;
    }
    let surroundings = Surroundings { config, catalog: &catalog, wrong_environment };
    let runs = seen.iter().flat_map(|seen| seen.value.iter().map(|run| surroundings.explain(run, seen.now))).collect();
    let report = Report { checks, runs };
    if args.json {
        super::json::print(&report)?;
    } else {
        print(&report)?;
    }
    Ok(exit)
}

/// The ledger and the runs to explain: the one that is named, or all that have not come to their end.
async fn look(context: &Context, named: Option<&str>) -> Result<(Arc<dyn LedgerReader>, Seen<Vec<Run>>)> {
    let ledger = context.reader().await?;
    if let Some(text) = named {
        let Seen { now, value } = context.find_run(&*ledger, text).await?;
        return Ok((ledger, Seen { now, value: vec![value] }));
    }
    let Seen { now, value } = ledger.histories().await?;
    let latest = value.into_values().filter_map(|history| history.latest);
    let unfinished = latest.filter(|run| run.account(now).is_some()).map(|run| *run).collect();
    Ok((ledger, Seen { now, value: unfinished }))
}

fn print(report: &Report<'_>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for check in &report.checks {
        let mark = match check.verdict {
            Verdict::Ok => "ok      ",
            Verdict::Warning => "warning ",
            Verdict::Failed => "FAILED  ",
        };
        writeln!(out, "{mark} {:<10} {}", check.name, check.text)?;
    }
    for run in &report.runs {
        writeln!(out, "\n{} run {} is {}", run.migration, run.run, run.state)?;
        for (name, text) in run.lines() {
            writeln!(out, "  {name:<10} {text}")?;
        }
    }
    if report.runs.is_empty()
        && report.checks.iter().all(|check| check.name != "ledger" || check.verdict != Verdict::Failed)
    {
        writeln!(out, "\nno run is unfinished")?;
    }
    Ok(())
}
