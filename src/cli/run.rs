//! `stopover run NAME`: launches a migration and, if asked to, stays to watch it.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use color_eyre::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::catalog::{Entry, MigrationId, ParamSpec};
use crate::launch::{self, Request};
use crate::ledger::{LedgerError, LedgerReader, LedgerWriter, Passport, Run, RunId, RunState, Seen, Standing};

use super::context::histories_of;
use super::{Context, Exit, UserError};

/// Arguments of `stopover run`.
#[derive(clap::Args)]
pub struct Args {
    /// The migration's name
    #[arg(value_name = "NAME")]
    migration: String,
    /// Run it again from the start, although it is applied
    #[arg(long)]
    rerun: bool,
    /// Run it although what it requires is not applied or, with --rerun, although it changes documents again each time; recorded with the run
    #[arg(long)]
    force: bool,
    /// A param of the manifest; a secret one is better given as KEY=@FILE, or in the variable `STOPOVER_PARAM_KEY`
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = parse_param)]
    params: Vec<(String, String)>,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    after: After,
}

/// How a launch in a protected environment is confirmed.
#[derive(clap::Args)]
pub struct Confirm {
    /// In a protected environment: the migration's name once more, in place of typing it at the prompt
    #[arg(long = "confirm", value_name = "NAME")]
    name: Option<String>,
}

/// What to do once the run is launched.
#[derive(clap::Args)]
pub struct After {
    /// Wait for the end; the exit status is the run's outcome
    #[arg(long)]
    wait: bool,
    /// Show the log until the end; the exit status is the run's outcome
    #[arg(long, short)]
    follow: bool,
}

/// `KEY=VALUE`
pub fn parse_param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        // The text may be a secret typed without its name: it is not repeated.
        _ => Err("a param is given as KEY=VALUE".to_owned()),
    }
}

/// Launches, and prints the run's id.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let id = MigrationId::new(args.migration).map_err(UserError::Usage)?;
    let catalog = context.catalog();
    let ledger = context.writer().await?;
    let passport = launch::check_environment(&*ledger, &context.config).await?;
    let (requires, params): (&[MigrationId], &[ParamSpec]) = match catalog.entry(&id) {
        Some(Entry::Ready(migration)) => (&migration.requires, &migration.params),
        _ => (&[], &[]),
    };
    let secret = params.iter().filter(|param| param.secret).map(|param| param.name.as_str());
    let params = super::secrets::complete(args.params, secret)?;
    let seen = histories_of(&*ledger, std::iter::once(&id).chain(requires)).await?;
    let request = Request {
        migration: id.clone(),
        rerun: args.rerun,
        force: args.force,
        repeat: args.force,
        quarantine_of: None,
        params,
    };
    let plan = launch::plan(&catalog, &seen.value, seen.now, &context.config, &request)?;
    confirm(&passport, &id, &args.confirm)?;
    let _not_halfway = hold_sigterm()?;
    let run = launch::launch(&*ledger, &context.config, plan).await?;
    announce(context, &run)?;
    args.after.finish(context, ledger, &run).await
}

/// In a protected environment, asks for the migration's name, or takes it from `--confirm`.
pub fn confirm(passport: &Passport, migration: &MigrationId, given: &Confirm) -> Result<()> {
    if !passport.protected {
        return Ok(());
    }
    let what = format!("{} is a protected environment", passport.environment);
    confirm_name(&what, migration, given.name.as_deref())
}

/// Asks for the migration's name because of `what`, or takes it as `given` by `--confirm`.
pub fn confirm_name(what: &str, migration: &MigrationId, given: Option<&str>) -> Result<()> {
    let typed = match given {
        Some(name) => name.to_owned(),
        None if std::io::stdin().is_terminal() => {
            eprint!("{what}. Type the migration's name to go on: ");
            std::io::stderr().flush()?;
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            line
        }
        None => {
            return Err(UserError::Refused(format!("{what}: confirm with `--confirm {migration}`")).into());
        }
    };
    if typed.trim() != migration.as_str() {
        return Err(UserError::Refused(format!(
            "not confirmed: the name typed is not `{migration}`; nothing was done"
        ))
        .into());
    }
    Ok(())
}

/// As long as what this returns is there, and afterwards, SIGTERM does not end this process: a launch is recorded *and* started, whoever
/// asks this process to end meanwhile.
pub fn hold_sigterm() -> Result<Signal> {
    Ok(signal(SignalKind::terminate())?)
}

/// The id alone on the first line of standard output, for scripts; what to do next on standard error, for people: commands to be
/// given where this one was, which is outside of the pod if this is one.
pub fn announce(context: &Context, run: &Run) -> Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", run.id)?;
    stdout.flush()?;
    eprintln!("{} runs on its own now, attempt {}. Follow it with", run.migration, run.attempt);
    let stopover = context.config.actor.place.invocation(false);
    eprintln!("  {stopover} logs {} -f", run.id.short());
    eprintln!("  {stopover} show {}", run.migration);
    Ok(())
}

impl After {
    /// Stays for the run's end if asked to.
    pub async fn finish(&self, context: &Context, ledger: Arc<dyn LedgerWriter>, run: &Run) -> Result<Exit> {
        if !self.wait && !self.follow {
            return Ok(Exit::Fine);
        }
        let watch = async {
            if self.follow && !super::logs::follow(context, ledger.clone(), run).await? {
                return Ok(None);
            }
            settle(&*ledger, run.id).await.map(Some)
        };
        let mut terminate = hold_sigterm()?;
        let left = tokio::select! {
            settled = watch => match settled? {
                Some(settled) => return Ok(report(&settled)),
                None => "nobody reads this any more",
            },
            _ = tokio::signal::ctrl_c() => "\nno longer watching",
            _ = terminate.recv() => "asked to end, and no longer watching",
        };
        eprintln!("{left}; run {} goes on", run.id.short());
        Ok(Exit::StandsStill)
    }
}

/// Waits until the run stands still or is lost. A ledger that is away for a while is waited for, and told of once.
pub async fn settle<L: LedgerReader + ?Sized>(ledger: &L, id: RunId) -> Result<Seen<Run>> {
    let mut pause = Duration::from_millis(50);
    let mut is_waiting = false;
    loop {
        match ledger.run(id).await {
            Ok(Seen { now, value: Some(run) }) => {
                is_waiting = false;
                if !run.standing(now).is_live() {
                    return Ok(Seen { now, value: run });
                }
            }
            Ok(Seen { value: None, .. }) => return Err(LedgerError::NoSuchRun(id).into()),
            Err(error) if error.is_transient() => {
                if !is_waiting {
                    eprintln!("waiting: {error}");
                }
                is_waiting = true;
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

fn report(settled: &Seen<Run>) -> Exit {
    let run = &settled.value;
    let standing = run.standing(settled.now);
    let reason = run.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
    eprintln!("{} {standing}{reason}", run.migration);
    if let RunState::Failed { failure, .. } = &run.state {
        for line in &failure.last_lines {
            eprintln!("  | {line}");
        }
    }
    for warning in &run.progress.warnings {
        eprintln!("warning: {warning}");
    }
    if standing.is_resumable() {
        eprintln!("`stopover resume {}` continues it", run.id.short());
    }
    match standing {
        Standing::Succeeded => Exit::Fine,
        Standing::Failed => Exit::Failed,
        Standing::Cancelled => Exit::Cancelled,
        _ => Exit::StandsStill,
    }
}
