//! The command line: one file per verb, each with its `Args` and its `run`.

pub mod attach;
mod completions;
mod console;
pub mod context;
mod control;
mod detach;
mod doctor;
pub mod exit;
mod guard;
mod init;
mod interrupted;
mod json;
mod keep;
mod lint;
mod list;
mod logs;
mod metrics;
mod new;
mod notify;
mod onlooker;
mod paint;
mod quarantine;
mod recover;
mod resume;
mod run;
mod runs;
mod secrets;
mod show;
mod table;
mod tune;
mod watch;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use color_eyre::{Report, Result};

use crate::config::{Config, Flags, LogFormat, StateDir};
use crate::diagnostics::{self, COMMAND};
use crate::events::Level;
use crate::keeper;
use crate::launch;
use crate::ledger::WishKind;
use crate::place::{REVISION, VERSION};
use crate::voice::Words;

pub use context::Context;
pub use exit::{Exit, UserError};

/// The safest way to run data migrations in production.
///
/// Without a command, opens the console. Runs outlive the console, the connection and the terminal.
#[derive(Parser)]
#[command(name = "stopover", version = build(), propagate_version = true, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    console: console::Args,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What `--version` says after the name: `0.1.0 (3f2a9c1d0b5e)`.
fn build() -> String {
    format!("{VERSION} ({})", REVISION.unwrap_or("unknown revision"))
}

#[derive(clap::Args)]
struct Global {
    /// Path of stopover.yaml [env: `STOPOVER_CATALOG`; default: ./stopover.yaml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Common options")]
    catalog: Option<PathBuf>,
    /// Directory of logs and of the embedded ledger [env: `STOPOVER_STATE_DIR`]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Common options")]
    state_dir: Option<PathBuf>,
    /// `sqlite:PATH` or a `mongodb://` address without a password [env: `STOPOVER_LEDGER`, `STOPOVER_LEDGER_FILE`, `MONGODB_URI`]
    #[arg(long, global = true, value_name = "ADDRESS", help_heading = "Common options")]
    ledger: Option<String>,
    /// Who is acting, for the record [env: `STOPOVER_OPERATOR`, USER]
    #[arg(long, global = true, value_name = "WHO", help_heading = "Common options")]
    operator: Option<String>,
    /// Look, don't touch: no writer is ever constructed [env: `STOPOVER_READ_ONLY`, which no flag undoes]
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true, help_heading = "Common options")]
    read_only: Option<bool>,
}

#[derive(Subcommand)]
enum Verb {
    /// Open the console (what `stopover` alone does)
    Console(console::Args),
    /// Be a wall display: show what runs, one run after another, for days; changes nothing
    Watch(watch::Args),
    /// List every migration with its state
    List(list::Args),
    /// Show one migration: what it is, its state, its runs and their events
    Show(show::Args),
    /// List runs, newest first
    Runs(runs::Args),
    /// Print the log of a run, from any pod
    Logs(logs::Args),
    /// Launch a migration as a detached worker; prints the run's id
    Run(run::Args),
    /// Continue a run that is paused, interrupted, failed or lost, from its checkpoint
    Resume(resume::Args),
    /// Ask a run to stop at its checkpoint, to be resumed later
    Pause(control::Args),
    /// End a run for good
    Cancel(control::Args),
    /// Set how fast a run of steps goes, while it runs
    Tune(tune::Args),
    /// List the documents that a run of steps left out, or retry them
    Quarantine(quarantine::Args),
    /// Stamp the ledger with the environment it belongs to
    Init(init::Args),
    /// Check everything here that a run depends on, and explain every unfinished run
    Doctor(doctor::Args),
    /// Be the PID 1 of a pod: reap orphans, and stop every run when it ends
    #[command(name = keeper::VERB)]
    Keep(keep::Args),
    /// Print figures about runs, as Prometheus reads them
    #[command(name = keeper::METRICS_VERB)]
    Metrics,
    /// List who is told what happens to runs, or send them a message to try it
    Notify(notify::Args),
    /// Check every file of the catalog; fails if there is a problem
    Lint(lint::Args),
    /// Begin a migration: write a script or manifest that runs at once
    New(new::Args),
    /// Print the completion script of a shell
    Completions(completions::Args),
    #[command(name = launch::HELPER_VERB, hide = true)]
    Detach(worker::Args),
    #[command(name = launch::WORKER_VERB, hide = true)]
    Worker(worker::Args),
    #[command(name = crate::worker::guard::VERB, hide = true)]
    Guard,
    #[command(name = keeper::INTERRUPTED_VERB, hide = true)]
    Interrupted(interrupted::Args),
    #[command(name = crate::recovery::VERB, hide = true)]
    Recover,
}

impl Verb {
    /// Whether it is a role in the background, which is told of elsewhere.
    fn is_detached(&self) -> bool {
        matches!(self, Self::Detach(_) | Self::Worker(_) | Self::Interrupted(_))
    }

    /// Whether its output is the pod's.
    fn speaks_for_pod(&self) -> bool {
        matches!(self, Self::Keep(_) | Self::Interrupted(_) | Self::Recover)
    }

    /// What it changes, in words, and the command for it in the operators' pod; `None` for what only looks. In read-only mode a pod's keeper idles, and its
    /// `recover` reports.
    fn change(&self) -> Option<(&'static str, Option<&'static str>)> {
        Some(match self {
            Self::Run(_) => ("a launch", Some("stopover run")),
            Self::Resume(_) => ("a resume", Some("stopover resume")),
            Self::Pause(_) => ("a pause", Some("stopover pause")),
            Self::Cancel(_) => ("a cancel", Some("stopover cancel")),
            Self::Tune(_) => ("setting the speed of a run", Some("stopover tune")),
            Self::Quarantine(args) if args.retries() => ("a retry", Some("stopover quarantine --retry")),
            Self::Init(_) => ("stamping the ledger", Some("stopover init")),
            Self::New(_) => ("writing a migration", None),
            Self::Notify(args) if args.tests() => ("a message to people", Some("stopover notify --test")),
            Self::Detach(_) | Self::Worker(_) => ("executing a run", Some("stopover resume")),
            Self::Interrupted(_) => ("recording the end of a run", Some("stopover doctor")),
            Self::Console(_)
            | Self::Watch(_)
            | Self::List(_)
            | Self::Show(_)
            | Self::Runs(_)
            | Self::Logs(_)
            | Self::Quarantine(_)
            | Self::Doctor(_)
            | Self::Keep(_)
            | Self::Metrics
            | Self::Lint(_)
            | Self::Notify(_)
            | Self::Completions(_)
            | Self::Guard
            | Self::Recover => return None,
        })
    }
}

/// Runs the program and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Fails only when it was installed before, and then the hooks are there.
    let _ = color_eyre::config::HookBuilder::default().display_env_section(false).install();
    let speaks_for_pod = cli.verb.as_ref().is_some_and(Verb::speaks_for_pod);
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(report) => {
            if is_closed_pipe(&report) {
                return Exit::Fine.into();
            }
            if speaks_for_pod && LogFormat::chosen().is_ok_and(|format| format == LogFormat::Ecs) {
                print_for_collectors(&report);
            } else {
                print_error(&report);
            }
            Exit::of(&report).into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<Exit> {
    let Global { catalog, state_dir, ledger, operator, read_only } = cli.global;
    let verb = match cli.verb {
        Some(Verb::Completions(args)) => return completions::run(&mut Cli::command(), &args),
        Some(Verb::Guard) => return guard::run(),
        // A probe reads no more than it needs: what is wrong with a catalog or a secret must not restart a pod.
        Some(Verb::Doctor(doctor::Args { probe: Some(probe), .. })) => {
            return Ok(doctor::probe(&StateDir::chosen(state_dir), probe));
        }
        Some(verb) => verb,
        None => Verb::Console(cli.console),
    };
    let config = Config::load(Flags { catalog, state_dir, ledger, operator, read_only })?;
    if let Some((what, command)) = verb.change() {
        config.may_change(what, command).map_err(UserError::Refused)?;
        if !verb.is_detached() {
            let diagnostics = diagnostics::of_command(&config);
            let result = carry_out(config, verb);
            match &result {
                Ok(exit) => tracing::info!(target: COMMAND, "{what}: status {}", i32::from(*exit)),
                Err(report) => tracing::warn!(target: COMMAND, "{what}: {}", causes(report).join(" because ")),
            }
            drop(diagnostics);
            return result;
        }
    }
    carry_out(config, verb)
}

fn carry_out(config: Config, verb: Verb) -> Result<Exit> {
    // The detached roles come before the runtime: what they do to their process must happen while it has a single thread.
    let verb = match verb {
        Verb::Detach(args) => return detach::run(&config, &args),
        Verb::Worker(args) => return worker::run(&config, &args),
        Verb::Keep(args) => return keep::run(&config, &args),
        Verb::Console(args) => return console::run(config, &args),
        Verb::Watch(args) => return watch::run(config, &args),
        verb => verb,
    };
    let context = Context { config };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        onlooker::watch()?;
        match verb {
            Verb::List(args) => list::run(&context, args).await,
            Verb::Show(args) => show::run(&context, args).await,
            Verb::Runs(args) => runs::run(&context, args).await,
            Verb::Logs(args) => logs::run(&context, args).await,
            Verb::Run(args) => run::run(&context, args).await,
            Verb::Resume(args) => resume::run(&context, args).await,
            Verb::Pause(args) => control::run(&context, WishKind::Pause, args).await,
            Verb::Cancel(args) => control::run(&context, WishKind::Cancel, args).await,
            Verb::Tune(args) => tune::run(&context, args).await,
            Verb::Quarantine(args) => quarantine::run(&context, args).await,
            Verb::Init(args) => init::run(&context, args).await,
            Verb::Doctor(args) => doctor::run(&context, args).await,
            Verb::Interrupted(args) => interrupted::run(&context, args).await,
            Verb::Metrics => metrics::run(&context).await,
            Verb::Lint(args) => lint::run(&context, args).await,
            Verb::New(args) => new::run(&context, &args),
            Verb::Notify(args) => notify::run(&context, args).await,
            Verb::Recover => recover::run(&context).await,
            Verb::Console(_)
            | Verb::Watch(_)
            | Verb::Completions(_)
            | Verb::Guard
            | Verb::Detach(_)
            | Verb::Worker(_)
            | Verb::Keep(_) => unreachable!("handled above"),
        }
    });
    // What was given up for lack of time must not keep the process after all.
    runtime.shutdown_background();
    result
}

/// The same as [`print_error`] in a line of what collectors take, for those whose output is the pod's.
fn print_for_collectors(report: &Report) {
    let text = causes(report).join(" because ");
    for line in Words::new(LogFormat::Ecs).lines(Level::Error, None, &text) {
        eprint!("{}", String::from_utf8_lossy(&line));
    }
}

/// `error: ` and the chain of causes, one a line.
fn print_error(report: &Report) {
    for (depth, text) in causes(report).iter().enumerate() {
        let lead = if depth == 0 { "error:" } else { "  because" };
        eprintln!("{lead} {text}");
    }
}

/// What went wrong, and why. Causes that the text above already tells are left out.
fn causes(report: &Report) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for cause in report.chain().map(ToString::to_string) {
        if !told.iter().any(|text| text.contains(&cause)) {
            told.push(cause);
        }
    }
    told
}

/// `stopover list | head` is not an error.
fn is_closed_pipe(report: &Report) -> bool {
    report
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
