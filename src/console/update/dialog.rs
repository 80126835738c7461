//! Keys while a dialog is open.

use crossterm::event::KeyEvent;

use super::{act, keys};
use crate::catalog::{MigrationId, ParamError};
use crate::console::app::{App, Tone};
use crate::console::dialog::{Basis, Dialog, LaunchDialog};
use crate::console::effect::Effect;
use crate::console::form::{Field, Form};
use crate::console::keymap::{self, Command, Context};
use crate::console::ui::text::capitalised;
use crate::launch::{PlanRefusal, Request, ResumeRequest, plan};
use crate::ledger::{EnvironmentName, NewPassport, RunState, SpeedChange, SpeedError};
use crate::time::Timestamp;

pub(super) fn press(app: &mut App, key: KeyEvent, command: Option<Command>, effects: &mut Vec<Effect>) {
    let Some(dialog) = &mut app.dialog else { return };
    if let Dialog::Refusal { ways_out, .. } = dialog {
        let way_out = keymap::command(Context::Table, key)
            .filter(|command| ways_out.iter().any(|(offered, _)| offered == command));
        if let Some(command) = way_out {
            app.dialog = None;
            keys::run(app, command, effects);
        } else if matches!(command, Some(Command::Confirm | Command::Dismiss)) {
            app.dialog = None;
        }
        return;
    }
    let Some(form) = dialog.form_mut() else { return };
    if form.sending {
        // The answer closes it. What was sent may have been done already, so leaving now must not look like taking it back.
        if command == Some(Command::Dismiss) {
            app.dialog = None;
            app.tell(Tone::Plain, "It was sent already; its answer will be shown here.");
        }
        return;
    }
    match command {
        Some(Command::Dismiss) => {
            app.dialog = None;
            app.tell(Tone::Plain, "Nothing was changed.");
        }
        Some(Command::NextField) => form.turn(1),
        Some(Command::PreviousField) => form.turn(-1),
        Some(Command::PreviousChoice) => form.sideways(-1),
        Some(Command::NextChoice) => form.sideways(1),
        Some(Command::Confirm) => confirm(app, effects),
        _ => {
            if let Some(request) = keys::editing(key) {
                form.edit(request);
            }
        }
    }
}

/// Has an open dialog looked at again once what it says is no longer so. Answers whether that was the case.
///
/// Words of proof are cleared. Where none is asked for, and where nothing can be done any more, a text without any key but those
/// that close it takes the dialog's place: what is being typed meanwhile must not confirm, or start, anything else.
pub(super) fn look_again(app: &mut App) -> bool {
    let Some((migration, basis)) = app.dialog.as_ref().and_then(Dialog::basis) else { return false };
    let migration = migration.clone();
    if app.basis(&migration) == basis {
        return false;
    }
    // What was sent is on its way: what it changes is no surprise, and its answer closes the dialog.
    let problem = match app.dialog.as_mut().and_then(Dialog::form_mut) {
        Some(form) if !form.sending => form.problem.take(),
        _ => return false,
    };
    let news =
        [problem, Some(what_happened(app, &migration, basis))].into_iter().flatten().collect::<Vec<_>>().join(" ");
    if let Some(Dialog::Launch(earlier)) = app.dialog.take() {
        act::open_launch(app, &migration, earlier.before.is_rerun());
        if let Some(Dialog::Launch(now)) = &mut app.dialog
            && now.form.asks_for_proof()
        {
            now.form.take_over(earlier.form);
            now.form.news = Some(format!("{news}: look again."));
            return true;
        }
    }
    app.dialog = Some(Dialog::Refusal {
        title: format!("Look again: {migration}"),
        text: format!("{news}. Nothing was changed from here."),
        ways_out: Vec::new(),
    });
    true
}

/// Who did what when, since a dialog was opened.
fn what_happened(app: &App, migration: &MigrationId, basis: Basis) -> String {
    let at = |time: Timestamp| time.utc().format("%H:%M UTC").to_string();
    let latest = app.history(migration).and_then(|history| history.latest.as_deref());
    let Some(run) = latest.filter(|_| app.basis(migration).latest != basis.latest) else {
        let now = if app.is_protected() { "protected" } else { "not protected any more" };
        return format!("This environment is {now}");
    };
    let (short, standing) = (run.id.short(), run.standing(app.clock.judged_at()));
    if basis.latest.is_none_or(|(id, ..)| id != run.id) {
        let (operator, when) = (&run.launch.by.operator, at(run.created_at));
        return format!("{operator} launched run {short} at {when}, and it is {standing} now");
    }
    let by = match &run.state {
        RunState::Paused { by, .. } | RunState::Cancelled { by, .. } => Some(by),
        RunState::Running { wish, .. } => wish.as_ref().map(|wish| &wish.by),
        _ => None,
    };
    let by = by.map_or_else(String::new, |by| format!(" by {}", by.operator));
    format!("Run {short} is {standing} now (attempt {}, changed{by} at {})", run.attempt, at(run.updated_at))
}

fn confirm(app: &mut App, effects: &mut Vec<Effect>) {
    if look_again(app) {
        return;
    }
    // The environment may have turned out another one since the dialog was opened, or the ledger may be away.
    let outcome = app.may_act("this").and_then(|()| to_effect(app));
    let Some(form) = app.dialog.as_mut().and_then(Dialog::form_mut) else { return };
    match outcome {
        Ok(_) if !form.is_proven() => {
            form.problem = Some("To go on, type exactly what stands above.".to_owned());
        }
        Ok(effect) => {
            form.sending = true;
            form.problem = None;
            effects.push(effect);
        }
        Err(problem) => form.problem = Some(problem),
    }
}

fn to_effect(app: &App) -> Result<Effect, String> {
    match &app.dialog {
        Some(Dialog::Launch(launch)) => launching(app, launch),
        Some(Dialog::Resume { run, changed, form, .. }) => {
            let request = ResumeRequest { params: form.given(), accept_changed: *changed };
            Ok(Effect::Resume { run: run.clone(), request })
        }
        Some(Dialog::Stop { run, migration, kind, by_force, .. }) => {
            Ok(Effect::Stop { run: *run, migration: migration.clone(), kind: *kind, by_force: *by_force })
        }
        Some(Dialog::Tune { run, migration, form, .. }) => {
            let speed = speed(form).map_err(|error| capitalised(&error.to_string()))?;
            Ok(Effect::Tune { run: *run, migration: migration.clone(), speed })
        }
        Some(Dialog::Stamp { form, .. }) => stamping(app, form),
        Some(Dialog::Refusal { .. }) | None => Err(String::new()),
    }
}

/// The speed as it was filled in; a field that was emptied keeps what holds.
fn speed(form: &Form) -> Result<SpeedChange, SpeedError> {
    let value = |name: &str| form.fields.iter().find(|field| field.name == name).and_then(Field::value);
    let workers = value("workers").map(SpeedChange::parse_workers).transpose()?;
    let pace = value("pace").map(SpeedChange::parse_pace).transpose()?;
    SpeedChange::new(workers, pace)
}

fn launching(app: &App, launch: &LaunchDialog) -> Result<Effect, String> {
    let (Some(catalog), Some(histories)) = (&app.catalog, &app.histories) else {
        return Err("The catalog is still being read.".to_owned());
    };
    let request = Request {
        migration: launch.migration.clone(),
        rerun: launch.before.is_rerun(),
        force: !launch.missing.is_empty(),
        repeat: launch.repeats,
        quarantine_of: None,
        params: launch.form.given(),
    };
    // What was true when the dialog was opened is decided again: another operator may have been faster.
    let plan =
        plan(catalog, histories, app.clock.judged_at(), &app.config, &request).map_err(|refusal| told(&refusal))?;
    Ok(Effect::Launch(Box::new(plan)))
}

/// A refusal in the words of a dialog, where a param is a field and not a flag.
fn told(refusal: &PlanRefusal) -> String {
    match refusal {
        PlanRefusal::Param { error: ParamError::Missing { name }, .. } => {
            format!("`{name}` is required: fill it in above.")
        }
        PlanRefusal::Param { error, .. } => format!("{error}."),
        other => other.to_string(),
    }
}

fn stamping(app: &App, form: &Form) -> Result<Effect, String> {
    let value =
        |name: &str| form.fields.iter().find(|field| field.name == name).and_then(|field| field.value()).map(str::trim);
    let environment = EnvironmentName::new(value("environment").unwrap_or_default())?;
    let protected = value("protected").ok_or("Say whether it is protected: left and right choose.")? == "yes";
    Ok(Effect::Stamp(Box::new(NewPassport { environment, protected, by: app.config.actor.clone(), restamp: false })))
}
