//! The turns of a wall display.

use std::time::Duration;

use crate::console::app::{App, Notice, Tone};
use crate::console::ui::text::span;
use crate::ledger::{Run, Standing};

/// How long an end is told of, at least: nobody presses a key to have it go.
const TOLD_FOR: Duration = Duration::from_secs(30);

/// Goes on to the next run when it is time, and says so when the one that is shown has come to stand still.
pub(super) fn take_turns(app: &mut App) {
    let Some(wall) = &mut app.wall else { return };
    // Before the ledger's first answer nothing can be said to run, or not to.
    if app.histories.is_none() {
        return;
    }
    let has_ended = wall.look(&app.table.live(), app.clock.uptime());
    if let Some(id) = app.selected_id().cloned() {
        app.table.select(&id);
    }
    if has_ended && let Some(run) = app.latest_run() {
        let (text, tone) = told(run, run.standing(app.clock.judged_at()));
        let until = Some(app.clock.uptime() + TOLD_FOR);
        app.notice = Some(Notice { text, tone, about: None, until });
        app.dirty = true;
    }
}

/// How it came to stand still, and when.
fn told(run: &Run, standing: Standing) -> (String, Tone) {
    let tone = match standing {
        Standing::Succeeded => Tone::Good,
        Standing::Failed | Standing::Lost => Tone::Bad,
        _ => Tone::Plain,
    };
    let what = match standing {
        Standing::Succeeded | Standing::Failed => format!("has {standing}"),
        other => format!("is {other}"),
    };
    let reason = run.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
    let at = run.ended_at().map(|at| format!(" at {}", at.utc().format("%H:%M:%S UTC"))).unwrap_or_default();
    let took = run.ended_at().zip(run.started_at).map(|(end, start)| format!(", after {}", span(end.since(start))));
    (format!("{} {what}{at}{}{reason}", run.migration, took.unwrap_or_default()), tone)
}
