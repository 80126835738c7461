//! What native work tells of itself: its step, what became of the documents, why it holds, how fast it may go.

use ratatui::text::{Line, Span};

use super::text::{LABEL, labelled, number, wrap};
use crate::console::app::App;
use crate::ledger::{EngineProgress, Run, SpeedChange, Standing};

/// Why it holds just now; nothing where it does not, or does not run.
pub(super) fn hold(app: &App, run: &Run, standing: Standing, columns: usize) -> Vec<Line<'static>> {
    let engine = run.progress.engine.as_deref().filter(|_| standing.is_live());
    let Some(hold) = engine.and_then(|engine| engine.hold.as_ref()) else { return Vec::new() };
    let style = app.look.badge(app.look.warning());
    wrap(&format!("holding: {hold}"), columns.saturating_sub(4))
        .into_iter()
        .map(|line| Line::from(vec![Span::raw(" "), Span::styled(format!(" {line} "), style)]))
        .collect()
}

/// The lines for a run of steps; none for a program.
pub(super) fn lines(app: &App, run: &Run, standing: Standing, columns: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let mut lines = Vec::new();
    let mut say = |label: &str, text: &str, style| {
        for (index, line) in wrap(text, columns.saturating_sub(LABEL + 3)).into_iter().enumerate() {
            lines.push(labelled(if index == 0 { label } else { "" }, look.quiet(), vec![Span::styled(line, style)]));
        }
    };
    if let Some(engine) = run.progress.engine.as_deref() {
        say("step", &format!("{} of {}: {}", engine.step.saturating_add(1), engine.steps, engine.title), look.text());
        say("documents", &documents(engine), look.text());
        if engine.retried > 0 {
            let batches = if engine.retried == 1 { "batch" } else { "batches" };
            say("retried", &format!("{} {batches}", number(engine.retried)), look.text());
        }
        if engine.quarantined > 0 {
            let text =
                format!("{} left out; `stopover quarantine {}` lists them", number(engine.quarantined), run.id.short());
            say("warning", &text, look.warning());
        }
    }
    if run.is_native() && run.is_open() {
        let batch = match run.progress.engine.as_deref() {
            Some(engine) if standing.is_live() && engine.batch > 0 => format!(", batches of {}", number(engine.batch)),
            _ => String::new(),
        };
        let key = if app.has_hands() { "; S sets it" } else { "" };
        say("speed", &format!("{}{batch}{key}", SpeedChange::from(app.speed(run))), look.text());
    }
    lines
}

fn documents(engine: &EngineProgress) -> String {
    let mut parts =
        vec![format!("{} matched", number(engine.matched)), format!("{} modified", number(engine.modified))];
    for (count, what) in [(engine.skipped, "skipped"), (engine.quarantined, "quarantined")] {
        if count > 0 {
            parts.push(format!("{} {what}", number(count)));
        }
    }
    parts.join(", ")
}
