//! Opening the dialogs: what may be done now, what must be said before, and what is refused with the way out.

use std::time::Duration;

use crate::catalog::{Entry, MigrationId};
use crate::console::app::{App, Tone};
use crate::console::dialog::{Before, Dialog, LaunchDialog};
use crate::console::form::{Field, Form};
use crate::console::keymap::Command;
use crate::launch::{PlanRefusal, Request, plan};
use crate::ledger::{Run, Standing, WishKind, WrongEnvironment};
use crate::time::short_duration;

/// Says why `what` is refused, when this console may not act at all.
fn allowed(app: &mut App, what: &str) -> bool {
    match app.may_act(what) {
        Ok(()) => true,
        Err(reason) => {
            app.tell(Tone::Bad, reason);
            false
        }
    }
}

pub(super) fn launch(app: &mut App, rerun: bool) {
    let Some(id) = app.selected_id().cloned() else {
        return app.tell(Tone::Plain, "No migration is selected.");
    };
    if allowed(app, "a launch") {
        open_launch(app, &id, rerun);
    }
}

/// Opens the dialog before a launch, or says why there is none.
pub(super) fn open_launch(app: &mut App, id: &MigrationId, rerun: bool) {
    let (Some(catalog), Some(histories)) = (&app.catalog, &app.histories) else {
        return app.tell(Tone::Plain, "The catalog is still being read.");
    };
    let mut request =
        Request { migration: id.clone(), rerun, force: false, repeat: false, quarantine_of: None, params: Vec::new() };
    let judged_at = app.clock.judged_at();
    let mut missing = Vec::new();
    // What only needs to be said first becomes part of the question.
    let refusal = loop {
        match plan(catalog, histories, judged_at, &app.config, &request) {
            Ok(_) | Err(PlanRefusal::Param { .. }) => break None,
            Err(PlanRefusal::AlreadyApplied { .. }) if !request.rerun => request.rerun = true,
            Err(PlanRefusal::RequirementsNotMet { missing: unmet, .. }) if !request.force => {
                missing = unmet;
                request.force = true;
            }
            Err(PlanRefusal::Repeats { .. }) if request.rerun && !request.repeat => request.repeat = true,
            Err(refusal) => break Some(refusal),
        }
    };
    if let Some(refusal) = refusal {
        app.dialog = Some(refused(&refusal));
        return;
    }
    let Some(Entry::Ready(migration)) = catalog.entry(id) else { return };
    if !app.config.ledger.is_embedded() && app.wrong_environment() == Some(WrongEnvironment::Unstamped) {
        app.dialog = Some(Dialog::stamp(app.config.environment.as_ref(), (id.clone(), rerun)));
        return;
    }
    let (before, repeats) = (before(app, id, request.rerun), request.repeat);
    let mut fields: Vec<_> = migration.params.iter().map(Field::of_param).collect();
    if app.is_protected() {
        fields.push(Field::proof(id.as_str()));
    } else if !missing.is_empty() || request.repeat {
        fields.push(Field::proof("override"));
    } else if before.is_rerun() {
        fields.push(Field::proof("again"));
    }
    let form = Form::new(fields);
    app.dialog = Some(Dialog::Launch(LaunchDialog {
        migration: id.clone(),
        basis: app.basis(id),
        before,
        missing,
        repeats,
        form,
    }));
}

fn before(app: &App, id: &MigrationId, rerun: bool) -> Before {
    let history = app.history(id);
    let latest = history.and_then(|history| history.latest.as_deref());
    if let Some(success) = history.and_then(|history| history.applied.as_ref()) {
        Before::Applied { at: success.at, run: success.run.short() }
    } else if let Some(run) = latest.filter(|run| rerun && run.checkpoint.is_some()) {
        Before::Checkpoint { run: run.id.short() }
    } else {
        Before::Nothing
    }
}

fn refused(refusal: &PlanRefusal) -> Dialog {
    let (title, ways_out): (String, Vec<_>) = match refusal {
        PlanRefusal::AlreadyRunning { migration, .. } => (
            format!("{migration} runs already"),
            vec![(Command::Log, "look at its log"), (Command::Pause, "pause it"), (Command::Cancel, "cancel it")],
        ),
        PlanRefusal::Unfinished { migration, state, .. } => (
            format!("{migration} is {state}"),
            vec![
                (Command::Resume, "resume it from its checkpoint"),
                (Command::Cancel, "cancel it, to start a new run"),
            ],
        ),
        PlanRefusal::HasCheckpoint { migration, .. } => (
            format!("{migration} failed after a checkpoint"),
            vec![
                (Command::Resume, "resume it from its checkpoint"),
                (Command::RunAgain, "start over, from the beginning"),
            ],
        ),
        PlanRefusal::Repeats { migration, resumable, .. } => {
            let resume = resumable.is_some().then_some((Command::Resume, "resume it from its checkpoint"));
            let again = (Command::RunAgain, "apply it again nevertheless");
            (format!("{migration} would change documents again"), resume.into_iter().chain([again]).collect())
        }
        PlanRefusal::Broken { migration, .. } => {
            (format!("{migration} cannot be launched"), vec![(Command::Open, "read what is wrong with its file")])
        }
        PlanRefusal::Unknown { migration, .. } => (format!("{migration} is not in this image"), vec![]),
        PlanRefusal::NeedsMongodb { migration } => (format!("{migration} needs MongoDB"), vec![]),
        PlanRefusal::ContentChanged { migration, .. } => (format!("{migration} has changed"), vec![]),
        PlanRefusal::AlreadyApplied { migration, .. }
        | PlanRefusal::RequirementsNotMet { migration, .. }
        | PlanRefusal::RestNotApplied { migration, .. }
        | PlanRefusal::Param { migration, .. } => (format!("{migration} was not launched"), vec![]),
    };
    // Where keys do what the text's commands do, the keys say it.
    let text = match refusal {
        PlanRefusal::AlreadyRunning { operator, run, since, pod, .. } => {
            let since = since.utc().format("%H:%M UTC on %Y-%m-%d");
            format!("{operator} launched run {run} at {since}. It is at work in pod {pod}.")
        }
        PlanRefusal::Unfinished { operator, run, .. } => {
            format!("Run {run}, launched by {operator}, is not finished: a second run beside it would do work twice.")
        }
        PlanRefusal::HasCheckpoint { run, .. } => {
            format!("Run {run} got as far as a checkpoint. A new run would begin from the start.")
        }
        PlanRefusal::Repeats { run, .. } => {
            format!(
                "A step of it is not idempotent, and run {run} has applied it already, in whole or in part: a second application would change documents again."
            )
        }
        other => other.to_string(),
    };
    Dialog::Refusal { title, text, ways_out }
}

pub(super) fn resume(app: &mut App) {
    let Some(run) = act_on(app, "resume") else { return };
    let standing = run.standing(app.clock.judged_at());
    if !standing.is_resumable() {
        let next = if standing.is_live() { "it needs no resume." } else { "r runs the migration again." };
        return app.tell(Tone::Plain, format!("Run {} is {standing}: {next}", run.id.short()));
    }
    let changed = matches!(
        app.entry(&run.migration),
        Some(Entry::Ready(migration)) if migration.checksum != run.launch.checksum
    );
    let mut fields: Vec<_> = match app.entry(&run.migration) {
        Some(Entry::Ready(migration)) => migration
            .params
            .iter()
            .filter(|spec| run.launch.params.iter().any(|param| param.secret && param.name == spec.name))
            .map(Field::of_param)
            .collect(),
        Some(Entry::Broken(_)) => {
            return app.tell(Tone::Bad, format!("{} cannot be resumed: its file is broken.", run.migration));
        }
        None => {
            return app.tell(
                Tone::Bad,
                format!("{} is not in this image: resume it from a pod whose image has it.", run.migration),
            );
        }
    };
    if app.is_protected() {
        fields.push(Field::proof(run.migration.as_str()));
    } else if changed {
        fields.push(Field::proof("changed"));
    }
    let basis = app.basis(&run.migration);
    app.dialog = Some(Dialog::Resume { run: Box::new(run), standing, basis, changed, form: Form::new(fields) });
}

pub(super) fn stop(app: &mut App, kind: WishKind) {
    let verb = kind.verb();
    let Some(run) = act_on(app, verb) else { return };
    let standing = run.standing(app.clock.judged_at());
    let short = run.id.short();
    let nothing = match (standing, kind) {
        (Standing::Succeeded | Standing::Failed | Standing::Cancelled, _) => {
            Some(format!("Run {short} has {standing} already: there is nothing to {verb}."))
        }
        (Standing::Paused | Standing::Interrupted, WishKind::Pause) => {
            Some(format!("Run {short} stands still already: u resumes it."))
        }
        (Standing::Lost, WishKind::Pause) => {
            Some(format!("Run {short} is lost, its worker cannot be asked: u takes it over, c ends it."))
        }
        (Standing::Pausing, WishKind::Pause) | (Standing::Cancelling, WishKind::Cancel) => not_yet(app, &run),
        (Standing::Cancelling, WishKind::Pause) => Some(format!("Run {short} is {standing} already.")),
        _ => None,
    };
    if let Some(text) = nothing {
        return app.tell(Tone::Plain, text);
    }
    let basis = app.basis(&run.migration);
    // Who asks a second time, and is not told to wait, means it.
    let by_force = matches!((standing, kind), (Standing::Pausing, WishKind::Pause) | (Standing::Cancelling, _));
    let form = if by_force { Form::new(vec![Field::proof(run.migration.as_str())]) } else { Form::default() };
    app.dialog = Some(Dialog::Stop { run: run.id, migration: run.migration, standing, basis, kind, by_force, form });
}

/// Why a run that was asked to stop is not to be forced now, if it is not.
fn not_yet(app: &App, run: &Run) -> Option<String> {
    let wish = run.wish()?;
    let now = app.clock.judged_at();
    let (short, standing) = (run.id.short(), run.standing(now));
    if let Some(force) = &wish.force {
        let ago = short_duration(whole_seconds(now.since(force.at)));
        return Some(format!("Run {short} is forced to stop already: {} did it {ago} ago.", force.by.operator));
    }
    let waited = now.since(wish.at);
    let left = app.config.grace.checked_sub(waited).filter(|left| !left.is_zero())?;
    Some(format!(
        "Run {short} is {standing} already: {} asked for it {} ago. It can be forced in {}.",
        wish.by.operator,
        short_duration(whole_seconds(waited)),
        short_duration(whole_seconds(left + Duration::from_millis(999)))
    ))
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}

/// Opens the dialog that sets the speed of the selected migration's run.
pub(super) fn tune(app: &mut App) {
    let Some(run) = act_on(app, "tune") else { return };
    let short = run.id.short();
    if !run.is_native() {
        return app
            .tell(Tone::Plain, format!("Run {short} is a program: only steps that Stopover executes have a speed."));
    }
    if !run.is_open() {
        let standing = run.standing(app.clock.judged_at());
        return app.tell(Tone::Plain, format!("Run {short} has {standing} already: there is no speed to set."));
    }
    app.dialog = Some(Dialog::tune(&run, app.basis(&run.migration), app.speed(&run)));
}

/// The latest run of the selected migration, if there is one and this console may act on it.
fn act_on(app: &mut App, verb: &str) -> Option<Run> {
    let what = match verb {
        "tune" => "setting the speed".to_owned(),
        verb => format!("a {verb}"),
    };
    if !allowed(app, &what) {
        return None;
    }
    let run = app.latest_run().cloned();
    if run.is_none() {
        app.tell(Tone::Plain, format!("There is no run to {verb}: this migration was never launched."));
    }
    run
}
