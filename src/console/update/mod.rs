//! What happens to the model when something happens: pure, and never waits.

mod act;
mod dialog;
mod feed;
mod keys;
mod wall;

use super::app::{App, Notice};
use super::effect::{Effect, Subject};
use super::message::{Acted, Inspected, LogNews, Message};
use super::ui::layout::Layout;
use crate::ledger::RunId;

/// Takes in a message; answers what is to be done outside.
pub fn update(app: &mut App, message: Message) -> Vec<Effect> {
    let mut effects = Vec::new();
    // What changes nothing that is shown does not cost a frame.
    let shows = match message {
        Message::Key(key) => {
            keys::press(app, key, &mut effects);
            true
        }
        Message::Paste(text) => {
            keys::paste(app, &text, &mut effects);
            true
        }
        Message::Resized { columns, rows } => {
            app.size = (columns, rows);
            true
        }
        Message::Tick => {
            expire(&mut app.notice, app.clock.uptime());
            true
        }
        Message::Catalog(catalog) => {
            app.catalog = Some(catalog);
            feed::rebuild(app);
            true
        }
        Message::Feed(news) => {
            let shows = feed::take(app, news);
            let outdated = app.notice.as_ref().and_then(|notice| notice.about.as_ref());
            if outdated.is_some_and(|(migration, basis)| app.basis(migration) != *basis) {
                app.notice = None;
            }
            dialog::look_again(app) || shows
        }
        Message::Inspected(inspected) => {
            inspect(app, *inspected);
            true
        }
        Message::Log(run, news) => log(app, run, news),
        Message::Acted(acted) => {
            acted_on(app, acted, &mut effects);
            true
        }
    };
    app.dirty |= shows;
    settle(app, &mut effects);
    effects
}

fn expire(notice: &mut Option<Notice>, uptime: std::time::Duration) {
    if notice.as_ref().is_some_and(|notice| notice.until.is_some_and(|until| until <= uptime)) {
        *notice = None;
    }
}

fn inspect(app: &mut App, inspected: Inspected) {
    let Some(subject) = &app.detail.subject else { return };
    if subject.migration != inspected.migration {
        return;
    }
    match inspected.runs {
        Ok(runs) => {
            if let Some(history) = app.histories.as_mut().and_then(|known| known.get_mut(&inspected.migration)) {
                for run in &runs {
                    history.begins(run);
                }
            }
            let kept = app.detail.runs.as_ref().and_then(|known| known.get(app.detail.selected)).map(|run| run.id);
            if app.detail.selected > 0 {
                // A new run on top does not move the chosen one.
                app.detail.selected = runs.iter().position(|run| Some(run.id) == kept).unwrap_or(0);
            }
            app.detail.runs = Some(runs);
            app.detail.failure = None;
        }
        Err(reason) => app.detail.failure = Some(reason),
    }
    if inspected.run == app.shown_run().map(|run| run.id) {
        app.detail.events = inspected.events;
    }
}

fn log(app: &mut App, run: RunId, news: LogNews) -> bool {
    if app.log.run != Some(run) {
        return false;
    }
    let height = Layout::of(app).log_height();
    match news {
        LogNews::Extent { extent, origin } => app.log.grown(extent, origin),
        LogNews::Lines { first, lines } => app.log.filled(first, lines),
        LogNews::Found { text, line } => app.log.found(&text, line, height),
        LogNews::Matches { text, lines, more } => app.log.counted(&text, lines, more),
        LogNews::Failed(reason) => app.log.failure = Some(reason),
    }
    true
}

fn acted_on(app: &mut App, acted: Acted, effects: &mut Vec<Effect>) {
    match acted {
        Acted::Done { text, run } => {
            app.dialog = None;
            app.tell(super::app::Tone::Good, text);
            if let Some(run) = run {
                let migration = run.migration.clone();
                app.detail.selected = 0;
                feed::absorb(app, vec![*run]);
                let basis = app.basis(&migration);
                if let Some(notice) = &mut app.notice {
                    notice.about = Some((migration, basis));
                }
            }
            effects.push(Effect::LookSoon);
        }
        Acted::Stamped(passport) => {
            app.tell(super::app::Tone::Good, format!("This ledger belongs to {} now.", passport.environment));
            let cluster = match &app.belonging {
                super::app::Belonging::Known { cluster, .. } => cluster.clone(),
                super::app::Belonging::Unknown => None,
            };
            app.belonging = super::app::Belonging::Known { passport: Some(passport), cluster };
            if let Some(super::dialog::Dialog::Stamp { then: (migration, rerun), .. }) = app.dialog.take() {
                act::open_launch(app, &migration, rerun);
            }
        }
        Acted::Refused(reason) => match app.dialog.as_mut().and_then(super::dialog::Dialog::form_mut) {
            Some(form) => {
                form.sending = false;
                form.problem = Some(reason);
            }
            None => app.tell(super::app::Tone::Bad, reason),
        },
    }
}

/// Brings what depends on several parts of the model in line: whose turn it is, the cursor in sight, the detail and the log of what is selected.
fn settle(app: &mut App, effects: &mut Vec<Effect>) {
    wall::take_turns(app);
    let layout = Layout::of(app);
    app.table.keep_in_sight(layout.table_rows().into());
    inspect_selected(app, effects);

    let shown = app.shown_run().map(|run| run.id);
    if app.log.run != shown {
        app.log.open(shown);
        effects.push(Effect::OpenLog(app.shown_run().cloned().map(Box::new)));
    }
    if let Some(wish) = app.log.wanted(layout.log_height()) {
        effects.push(Effect::Log(wish));
    }
    let lively = app.anything_live();
    if lively != app.lively {
        app.lively = lively;
        effects.push(Effect::Pace { lively });
    }
}

/// Asks for the runs and events of what is selected, once it is another or has changed. A wall display shows neither.
fn inspect_selected(app: &mut App, effects: &mut Vec<Effect>) {
    if app.wall.is_some() {
        return;
    }
    let selected = app.selected_id().cloned();
    let subject_changed = app.detail.subject.as_ref().map(|subject| &subject.migration) != selected.as_ref();
    if subject_changed {
        app.detail = super::app::Detail::default();
    }
    let judged_at = app.clock.judged_at();
    let fingerprint = app.latest_run().map(|run| (run.id, run.attempt, run.standing(judged_at)));
    let shown = app.shown_run().map(|run| run.id);
    let wanted = selected.map(|migration| Subject { migration, run: shown });
    if app.histories.is_some() && (wanted != app.detail.subject || fingerprint != app.detail.fingerprint) {
        app.detail.fingerprint = fingerprint;
        if app.detail.subject.as_ref().and_then(|subject| subject.run) != shown {
            app.detail.events.clear();
        }
        app.detail.subject.clone_from(&wanted);
        if let Some(subject) = wanted {
            effects.push(Effect::Inspect(subject));
        }
    }
}
