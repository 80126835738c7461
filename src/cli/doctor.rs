//! `stopover doctor`: checks everything here that a run depends on, and explains every unfinished run.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use color_eyre::Result;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use crate::catalog::Catalog;
use crate::config::{Config, StateDir};
use crate::keeper;
use crate::ledger::{Histories, LedgerReader, Passport, Run, Seen, Standing};
use crate::logs::mirror;
use crate::place::Place;
use crate::time::{Timestamp, short_duration};

use super::{Context, Exit};

/// Arguments of `stopover doctor`.
#[derive(clap::Args)]
pub struct Args {
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
struct Report {
    checks: Vec<Check>,
    runs: Vec<Explained>,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

/// An unfinished run, with what it needs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    run: String,
    migration: String,
    state: &'static str,
    text: String,
    next: String,
}

/// Prints the report; fails when a check does.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let config = &context.config;
    let mut checks =
        vec![check_catalog(&context.catalog(), &config.catalog), check_state_dir(config), check_mirror(config)];
    let mut runs = Vec::new();
    let mut exit = Exit::Fine;
    let started = Instant::now();
    let answer = async {
        let ledger = context.reader().await?;
        let seen = ledger.histories().await?;
        Ok::<_, color_eyre::Report>((ledger, seen))
    };
    match answer.await {
        Ok((ledger, seen)) => {
            checks.push(Check {
                name: "ledger",
                verdict: if config.ledger.is_embedded() && in_pod() { Verdict::Warning } else { Verdict::Ok },
                text: describe_ledger(config, &*ledger, started),
            });
            checks.push(check_passport(config, &*ledger).await?);
            runs = explain(&seen);
        }
        Err(report) => {
            exit = Exit::of(&report);
            checks.push(Check { name: "ledger", verdict: Verdict::Failed, text: report.to_string() });
        }
    }
    if exit == Exit::Fine && checks.iter().any(|check| check.verdict == Verdict::Failed) {
        exit = Exit::Failed;
    }
    let report = Report { checks, runs };
    if args.json {
        super::json::print(&report)?;
    } else {
        print(&report)?;
    }
    Ok(exit)
}

fn print(report: &Report) -> Result<()> {
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
        writeln!(out, "\n{} run {} is {}\n  {}\n  {}", run.migration, run.run, run.state, run.text, run.next)?;
    }
    if report.runs.is_empty()
        && report.checks.iter().all(|check| check.name != "ledger" || check.verdict != Verdict::Failed)
    {
        writeln!(out, "\nno run is unfinished")?;
    }
    Ok(())
}

fn check_catalog(catalog: &Catalog, file: &Path) -> Check {
    let problems = catalog.all_problems().count();
    let verdict = if problems == 0 { Verdict::Ok } else { Verdict::Failed };
    let hint = if problems == 0 { "" } else { "; `stopover lint` shows them" };
    Check {
        name: "catalog",
        verdict,
        text: format!("{}: {} migrations, {problems} problems{hint}", file.display(), catalog.entries.len()),
    }
}

fn check_state_dir(config: &Config) -> Check {
    let path = config.state_dir.path();
    let (verdict, text) = match config.state_dir.try_to_write() {
        Err(error) if config.read_only => {
            (Verdict::Warning, format!("{} cannot be written to: {error}", path.display()))
        }
        Err(error) => (
            Verdict::Failed,
            format!("{} cannot be written to: {error}; set STOPOVER_STATE_DIR to a directory that can", path.display()),
        ),
        Ok(()) => match rustix::fs::statvfs(path) {
            Ok(stat) => {
                let free = stat.f_bavail * stat.f_frsize / (1024 * 1024);
                let verdict = if free < 256 { Verdict::Warning } else { Verdict::Ok };
                (verdict, format!("{}: {free} MiB free", path.display()))
            }
            Err(_) => (Verdict::Ok, path.display().to_string()),
        },
    };
    Check { name: "state", verdict, text }
}

fn check_mirror(config: &Config) -> Check {
    let Some(path) = mirror::resolve(&config.mirror, &config.state_dir) else {
        return Check {
            name: "mirror",
            verdict: Verdict::Ok,
            text: "off: `kubectl logs` will not have what runs print".to_owned(),
        };
    };
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let (verdict, text) = match rustix::fs::open(&path, flags, Mode::empty()) {
        Err(error) => (
            Verdict::Warning,
            format!("{} cannot be opened ({error}): `kubectl logs` will not have what runs print", path.display()),
        ),
        Ok(_) => match std::fs::read_link(&path) {
            Ok(target) if target == Path::new("/dev/null") => (
                Verdict::Warning,
                format!("{} is /dev/null: `kubectl logs` will not have what runs print", path.display()),
            ),
            Ok(target) => (Verdict::Ok, format!("{} ({})", path.display(), target.display())),
            Err(_) => (Verdict::Ok, path.display().to_string()),
        },
    };
    Check { name: "mirror", verdict, text }
}

fn describe_ledger(config: &Config, ledger: &dyn LedgerReader, started: Instant) -> String {
    let note = match (config.ledger.is_embedded(), in_pod()) {
        (true, true) => "; embedded: it dies with this pod unless the state directory is on a volume",
        (true, false) => "; embedded: for this machine only",
        (false, _) => "",
    };
    format!("{}: answered in {}{note}", ledger.label(), short_duration(started.elapsed()))
}

async fn check_passport(config: &Config, ledger: &dyn LedgerReader) -> Result<Check> {
    let passport = ledger.passport().await?;
    let cluster = ledger.cluster().await?;
    Ok(match Passport::check(passport.as_ref(), config.environment.as_ref(), cluster.as_deref()) {
        Ok(()) => {
            let text = passport.map_or_else(String::new, |passport| {
                format!("environment `{}`{}", passport.environment, if passport.protected { ", protected" } else { "" })
            });
            Check { name: "passport", verdict: Verdict::Ok, text }
        }
        Err(_) if passport.is_none() && config.ledger.is_embedded() => {
            Check { name: "passport", verdict: Verdict::Ok, text: "none yet; the first launch stamps it".to_owned() }
        }
        Err(wrong) => Check { name: "passport", verdict: Verdict::Failed, text: wrong.to_string() },
    })
}

fn in_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

fn explain(seen: &Seen<Histories>) -> Vec<Explained> {
    let runs = seen.value.values().filter_map(|history| history.latest.as_deref());
    runs.filter_map(|run| explain_run(run, seen.now)).collect()
}

fn explain_run(run: &Run, now: Timestamp) -> Option<Explained> {
    let standing = run.standing(now);
    let short = run.id.short();
    let resume =
        format!("`stopover resume {short}` continues it from its checkpoint, `stopover cancel {short}` gives it up");
    let next = match standing {
        Standing::Succeeded | Standing::Cancelled => return None,
        Standing::Queued | Standing::Running | Standing::Pausing | Standing::Cancelling => {
            format!("nothing to do; `stopover logs {short} -f` follows it")
        }
        Standing::Failed => format!(
            "`stopover resume {short}` continues it from its checkpoint, `stopover run {} --rerun` starts over",
            run.migration
        ),
        Standing::Lost | Standing::Paused | Standing::Interrupted => resume,
    };
    let mut text = run.reason().unwrap_or_default();
    if let Some(lease) = run.lease() {
        let heard = short_duration(now.since(lease.renewed_at));
        text = match &run.worker {
            None => format!("its worker has not started; recorded {heard} ago in pod {}", run.place().pod),
            Some(worker) => format!(
                "attempt {} in pod {}, pid {}, last heard of {heard} ago; {}",
                run.attempt,
                worker.place.pod,
                worker.process.pid,
                process_state(worker)
            ),
        };
    }
    Some(Explained { run: short, migration: run.migration.to_string(), state: standing.word(), text, next })
}

fn process_state(worker: &crate::ledger::Worker) -> &'static str {
    if worker.place.pod != Place::current().pod {
        "whether its process is alive can only be seen in that pod"
    } else if worker.process.is_alive() {
        "its process is alive here"
    } else {
        "its process is gone"
    }
}
