//! `stopover show NAME`: one migration, its runs and what happened to them.

use std::fmt::Write as _;
use std::io::Write as _;

use color_eyre::Result;
use serde::Serialize;

use crate::catalog::{Entry, Fact, Migration, MigrationId, ParamKind, ResumePolicy, Work};
use crate::ledger::{EngineProgress, Event, History, MigrationState, Run, RunQuery, Seen, SpeedChange};
use crate::time::Timestamp;

use super::context::histories_of;
use super::json::{self, MigrationView, RunView, shell_words};
use super::list::{ago, took};
use super::{Context, Exit, UserError};

/// Arguments of `stopover show`.
#[derive(clap::Args)]
pub struct Args {
    /// The migration's name
    migration: String,
    /// One JSON object: the migration as in `list`, with `runs` and their `events`
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    migration: MigrationView<'a>,
    runs: Vec<RunView<'a>>,
}

/// Prints the migration.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let id = MigrationId::new(args.migration).map_err(UserError::Usage)?;
    let catalog = context.catalog();
    let ledger = context.reader().await?;
    let Seen { now, value: runs } = ledger.runs(RunQuery { migration: Some(id.clone()), limit: None }).await?;
    let entry = catalog.entry(&id);
    if entry.is_none() && runs.is_empty() {
        return Err(UserError::Refused(format!(
            "there is no migration `{id}`, neither in the catalog nor in the ledger; `stopover list` shows all"
        ))
        .into());
    }
    let mut events = Vec::with_capacity(runs.len());
    for run in &runs {
        events.push(ledger.events(run.id).await?);
    }
    let mut history = History::default();
    for run in runs.iter().cloned() {
        history.absorb(run);
    }
    if args.json {
        let migration = MigrationView::new(&id, entry, Some(&history), now);
        let runs = runs.iter().zip(&events).map(|(run, events)| RunView::new(run, now).with_events(events)).collect();
        json::print(&Shown { migration, runs })?;
        return Ok(Exit::Fine);
    }
    let mut text = format!("{id}  {}\n", MigrationState::of(entry, Some(&history), now));
    match entry {
        Some(Entry::Ready(migration)) => {
            let requires = histories_of(&*ledger, &migration.requires).await?;
            let states: Vec<_> = migration
                .requires
                .iter()
                .map(|required| {
                    format!(
                        "{required} ({})",
                        MigrationState::of(catalog.entry(required), requires.value.get(required), now)
                    )
                })
                .collect();
            describe(&mut text, migration, &states)?;
        }
        Some(Entry::Broken(broken)) => {
            for problem in &broken.problems {
                writeln!(text, "  {problem}")?;
            }
        }
        None => text.push_str("  not in this image's catalog\n"),
    }
    for (run, events) in runs.iter().zip(&events) {
        describe_run(&mut text, run, events, now)?;
    }
    if runs.is_empty() {
        let next = if matches!(entry, Some(Entry::Ready(_))) {
            format!("; `stopover run {id}` launches it")
        } else {
            String::new()
        };
        writeln!(text, "\nnever run{next}")?;
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Fine)
}

fn describe(text: &mut String, migration: &Migration, requires: &[String]) -> Result<()> {
    let mut line =
        |name: &str, value: &str| if value.is_empty() { Ok(()) } else { writeln!(text, "  {name:<12} {value}") };
    line("", &migration.description)?;
    line("owner", migration.owner.as_deref().unwrap_or_default())?;
    line("tags", &migration.tags.join(", "))?;
    line("file", &migration.file.display().to_string())?;
    line("checksum", migration.checksum.as_str())?;
    match &migration.work {
        Work::Executable(template) => line("command", &shell_words(&template.argv))?,
        Work::Steps(steps) => {
            for (index, step) in steps.steps.iter().enumerate() {
                line(if index == 0 { "steps" } else { "" }, &format!("{}. {}", index + 1, step.title()))?;
                for Fact { name, value } in step.facts() {
                    for (index, part) in few_lines(&value).iter().enumerate() {
                        line("", &format!("   {:<15}{part}", if index == 0 { name } else { "" }))?;
                    }
                }
            }
            let speed = format!("{} at {} % pace", workers(steps.speed.workers), steps.speed.pace);
            line("speed", &format!("{speed}, batches of {}", crate::time::short_duration(steps.batch)))?;
            line("hold", &steps.holds.to_string())?;
        }
    }
    line("requires", &requires.join(", "))?;
    line("needs", if migration.needs_mongodb { "mongodb" } else { "" })?;
    line("timeout", &migration.timeout.map(crate::time::short_duration).unwrap_or_default())?;
    line(
        "resume",
        if migration.resume == ResumePolicy::Auto { "auto: goes on by itself when interrupted or lost" } else { "" },
    )?;
    for param in &migration.params {
        let kind = match &param.kind {
            ParamKind::String => "string".to_owned(),
            ParamKind::Integer => "integer".to_owned(),
            ParamKind::Boolean => "boolean".to_owned(),
            ParamKind::Choice(choices) => choices.join(" | "),
        };
        let default = match (&param.default, param.required) {
            (Some(value), _) => format!(", default {}", value.display()),
            (None, true) => ", required".to_owned(),
            (None, false) => String::new(),
        };
        let secret = if param.secret { ", secret" } else { "" };
        line("param", &format!("{} ({kind}{default}{secret}) {}", param.name, param.description))?;
    }
    Ok(())
}

/// A long value in lines of a bearable length, and not too many of them.
fn few_lines(value: &str) -> Vec<String> {
    const WIDTH: usize = 100;
    const MOST: usize = 4;
    let characters: Vec<char> = value.chars().collect();
    let mut lines: Vec<String> = characters.chunks(WIDTH).take(MOST).map(|line| line.iter().collect()).collect();
    if let Some(last) = lines.last_mut().filter(|_| characters.len() > WIDTH * MOST) {
        last.push('…');
    }
    lines
}

fn workers(number: u8) -> String {
    format!("{number} worker{}", if number == 1 { "" } else { "s" })
}

fn describe_run(text: &mut String, run: &Run, events: &[Event], now: Timestamp) -> Result<()> {
    let verb = if run.standing(now).is_live() { "at work for" } else { "took" };
    writeln!(
        text,
        "\nrun {}  {}  attempt {}  launched {} by {}{}",
        run.id,
        run.standing(now),
        run.attempt,
        ago(run.created_at, now),
        run.launch.by.operator,
        took(run, now).map(|took| format!(", {verb} {took}")).unwrap_or_default(),
    )?;
    writeln!(text, "  command      {}", shell_words(&run.launch.command))?;
    let place = run.place();
    let image = place.image.as_ref().map_or_else(String::new, |image| format!(", image {image}"));
    writeln!(text, "  where        {}{image}, stopover {}", place.pod, place.build())?;
    for param in &run.launch.params {
        writeln!(text, "  param        {}={}", param.name, param.value)?;
    }
    let progress = &run.progress;
    if let Some(done) = progress.done {
        let about = if progress.engine.as_ref().is_some_and(|engine| engine.estimated) { "~" } else { "" };
        let total = progress.total.map(|total| format!(" of {about}{total}")).unwrap_or_default();
        writeln!(text, "  done         {done}{total}")?;
    }
    if let Some(remaining) = &progress.remaining {
        writeln!(text, "  remaining    {}", remaining.count)?;
    }
    if let Some(engine) = &progress.engine {
        describe_engine(text, run, engine)?;
    }
    if let Some(speed) = run.speed() {
        writeln!(text, "  set to       {speed}")?;
    }
    if let Some(of) = run.launch.quarantine_of {
        writeln!(text, "  retries      what run {} left out", of.short())?;
    }
    if let Some(checkpoint) = &run.checkpoint {
        writeln!(text, "  checkpoint   {}", checkpoint.as_json())?;
    }
    for warning in &progress.warnings {
        writeln!(text, "  warning      {warning}")?;
    }
    if let Some(account) = run.account(now) {
        writeln!(text, "  now          {}", account.what)?;
        writeln!(text, "  next         {}", account.next)?;
    }
    for recovery in &run.recoveries {
        writeln!(text, "  recovery     {}, {}", recovery.describe(), ago(recovery.at, now))?;
    }
    for event in events {
        writeln!(text, "  {}  {}", event.at, event.text)?;
    }
    if let crate::ledger::RunState::Failed { failure, .. } = &run.state {
        for line in &failure.last_lines {
            writeln!(text, "    | {line}")?;
        }
    }
    Ok(())
}

fn describe_engine(text: &mut String, run: &Run, engine: &EngineProgress) -> Result<()> {
    let EngineProgress { matched, modified, skipped, quarantined, retried, .. } = engine;
    writeln!(text, "  step         {} of {}: {}", engine.step.saturating_add(1), engine.steps, engine.title)?;
    writeln!(
        text,
        "  documents    {matched} matched, {modified} modified, {skipped} skipped, {quarantined} quarantined"
    )?;
    if *retried > 0 {
        writeln!(text, "  retried      {retried} batches")?;
    }
    // What it did at the end is no news of a run that has ended.
    if run.is_open() {
        writeln!(text, "  speed        {}, batches of {}", SpeedChange::from(engine.speed), engine.batch)?;
        if let Some(hold) = &engine.hold {
            writeln!(text, "  pace         {hold}")?;
        }
    }
    if *quarantined > 0 {
        writeln!(text, "  warning      {quarantined} left out; `stopover quarantine {}` lists them", run.id.short())?;
    }
    Ok(())
}
