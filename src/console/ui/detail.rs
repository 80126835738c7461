//! The detail pane: the selected migration, its run, its facts, its history.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::layout::Layout;
use super::text::{ago, fit, labelled, left, number, span, wrap};
use crate::catalog::{Broken, Entry, Fact, Migration, MigrationId, ParamKind, Remaining, Work};
use crate::console::app::App;
use crate::console::theme::as_state;
use crate::ledger::{MigrationState, Run};

pub(super) fn draw(app: &App, area: Rect, focused: bool, buffer: &mut Buffer) {
    let id = app.selected_id().map_or("", |id| id.as_str());
    let style = if focused { app.look.accent() } else { app.look.strong() };
    super::title(app, area, focused, &Line::styled(id.to_owned(), style), "", buffer);
    let inner = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    super::scrolled(app, inner, &lines(app, inner.width), app.detail.scroll, buffer);
}

/// How far the pane can be scrolled.
pub(in crate::console) fn last_scroll(app: &App, layout: &Layout) -> u16 {
    let width = layout.detail.map_or(0, |area| area.width);
    let lines = u16::try_from(lines(app, width).len()).unwrap_or(u16::MAX);
    lines.saturating_sub(layout.detail_height())
}

fn lines(app: &App, width: u16) -> Vec<Line<'static>> {
    let columns = usize::from(width).saturating_sub(1);
    let Some(row) = app.table.selected() else { return Vec::new() };
    let entry = app.entry(&row.id);
    let mut lines = Vec::new();
    match entry {
        Some(Entry::Ready(migration)) => {
            for line in wrap(&migration.description, columns.saturating_sub(1)) {
                lines.push(Line::raw(format!(" {line}")));
            }
        }
        Some(Entry::Broken(broken)) => lines.extend(problems(app, broken, columns)),
        None => {
            let text = "This migration is in the ledger, but not in this image: it can be looked at, not launched. An image that ships it can.";
            lines.extend(paragraph(text, columns, app.look.warning()));
        }
    }
    if row.state == MigrationState::Changed {
        let key = if app.has_hands() { "; R runs it again as it is now" } else { "" };
        let text = format!("Its content has changed since it was applied. That is history, not a fault{key}.");
        lines.extend(paragraph(&text, columns, app.look.warning()));
    }
    if let Some(run) = app.shown_run() {
        separate(&mut lines);
        if app.detail.selected > 0 {
            lines.push(Line::styled(" An older run; right shows newer ones.", app.look.warning()));
        }
        lines.extend(super::progress::lines(app, run, columns));
    } else if app.histories.is_some() && matches!(entry, Some(Entry::Ready(_))) {
        separate(&mut lines);
        let mut spans = vec![Span::styled(" Never run. ", app.look.quiet())];
        if app.has_hands() {
            spans.push(Span::styled("r", app.look.accent()));
            spans.push(Span::styled(" runs it, and asks first.", app.look.quiet()));
        }
        lines.push(Line::from(spans));
    }
    if let Some(Entry::Ready(migration)) = entry {
        separate(&mut lines);
        lines.extend(facts(app, migration, columns));
    }
    lines.extend(history(app, columns));
    lines.extend(events(app, columns));
    lines
}

fn separate(lines: &mut Vec<Line<'static>>) {
    if !lines.is_empty() {
        lines.push(Line::default());
    }
}

fn paragraph(text: &str, columns: usize, style: ratatui::style::Style) -> Vec<Line<'static>> {
    wrap(text, columns.saturating_sub(1)).into_iter().map(|line| Line::styled(format!(" {line}"), style)).collect()
}

fn problems(app: &App, broken: &Broken, columns: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let text =
        format!("{} Its file cannot be understood, so it cannot be launched.", look.glyph(MigrationState::Broken));
    let mut lines = paragraph(&text, columns, look.danger());
    for problem in &broken.problems {
        lines.push(Line::default());
        let place = match problem.position {
            Some((line, column)) => format!(" {}:{line}:{column}", problem.file.display()),
            None => format!(" {}", problem.file.display()),
        };
        lines.push(Line::styled(place, look.strong()));
        if let Some(text) = &problem.text {
            lines.push(Line::from(vec![Span::styled(look.pick(" ▏ ", " | "), look.danger()), Span::raw(text.clone())]));
        }
        lines.extend(paragraph(&problem.message, columns, look.danger()));
        lines.extend(paragraph(&problem.remedy, columns, look.text()));
    }
    lines
}

fn facts(app: &App, migration: &Migration, columns: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let quiet = look.quiet();
    let plain = |label: &str, value: String| labelled(label, quiet, vec![Span::raw(value)]);
    let mut lines = Vec::new();
    for (index, required) in migration.requires.iter().enumerate() {
        let state = state_of(app, required);
        let label = if index == 0 { "requires" } else { "" };
        lines.push(labelled(
            label,
            quiet,
            vec![
                Span::styled(format!("{} ", look.glyph(state)), look.state(state)),
                Span::raw(required.to_string()),
                Span::styled(format!("  {state}"), quiet),
            ],
        ));
    }
    for (index, param) in migration.params.iter().enumerate() {
        let kind = match &param.kind {
            ParamKind::String => "text".to_owned(),
            ParamKind::Integer => "a whole number".to_owned(),
            ParamKind::Boolean => "true or false".to_owned(),
            ParamKind::Choice(choices) => choices.join(" | "),
        };
        let need = match &param.default {
            Some(value) => format!(", default {}", value.display()),
            None if param.required => ", required".to_owned(),
            None => String::new(),
        };
        let secret = if param.secret { "secret " } else { "" };
        let label = if index == 0 { "params" } else { "" };
        lines.push(labelled(
            label,
            quiet,
            vec![Span::raw(param.name.clone()), Span::styled(format!("  {secret}{kind}{need}"), quiet)],
        ));
    }
    lines.extend(work(app, migration, columns));
    match &migration.remaining {
        Some(Remaining::Count { collection, filter, .. }) => {
            let count = format!(
                "counted in {collection} where {}",
                bson::Bson::Document(filter.clone()).into_relaxed_extjson()
            );
            for (index, line) in wrap(&count, columns.saturating_sub(12)).into_iter().enumerate() {
                lines.push(plain(if index == 0 { "remaining" } else { "" }, line));
            }
        }
        Some(Remaining::Command(command)) => {
            lines.push(plain("remaining", format!("printed by {}", command.argv.join(" "))));
        }
        None => {}
    }
    if let Some(timeout) = migration.timeout {
        lines.push(plain("timeout", span(timeout)));
    }
    if migration.needs_mongodb {
        let missing = app.config.database.is_none();
        let (text, style) = if missing {
            ("MongoDB, and MONGODB_URI is not set here", look.warning())
        } else {
            ("MongoDB", look.text())
        };
        lines.push(labelled("needs", quiet, vec![Span::styled(text, style)]));
    }
    if let Some(owner) = &migration.owner {
        lines.push(plain("owner", owner.clone()));
    }
    if !migration.tags.is_empty() {
        lines.push(plain("tags", migration.tags.join(", ")));
    }
    let applied = app.history(&migration.id).and_then(|history| history.applied.as_ref());
    let mut checksum = vec![Span::raw(migration.checksum.short().to_owned())];
    match applied {
        Some(success) if success.checksum == migration.checksum => {
            checksum.push(Span::styled("  as applied", quiet));
        }
        Some(success) => checksum
            .push(Span::styled(format!("  applied as {}: changed since", success.checksum.short()), look.warning())),
        None => {}
    }
    for (index, line) in wrap(&migration.file.display().to_string(), columns.saturating_sub(12)).into_iter().enumerate()
    {
        lines.push(plain(if index == 0 { "file" } else { "" }, line));
    }
    lines.push(labelled("checksum", quiet, checksum));
    lines
}

/// What is executed.
fn work(app: &App, migration: &Migration, columns: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let quiet = look.quiet();
    let wrapped = |label: &'static str, text: &str| {
        let parts = wrap(text, columns.saturating_sub(12)).into_iter().enumerate();
        let lines =
            parts.map(|(index, part)| labelled(if index == 0 { label } else { "" }, quiet, vec![Span::raw(part)]));
        lines.collect::<Vec<_>>()
    };
    let steps = match &migration.work {
        Work::Executable(template) => return wrapped("command", &template.argv.join(" ")),
        Work::Steps(steps) => steps,
    };
    let mut lines = Vec::new();
    for (index, step) in steps.steps.iter().enumerate() {
        lines.extend(wrapped(if index == 0 { "steps" } else { "" }, &step.title()));
        // One line for each: `stopover show` has the whole of it.
        lines.extend(step.facts().into_iter().map(|Fact { name, value }| {
            let value = fit(&value, columns.saturating_sub(15 + name.len()), look.pick("…", "..."));
            labelled("", quiet, vec![Span::styled(format!("  {name} "), quiet), Span::raw(value)])
        }));
    }
    lines.extend(wrapped("hold", &steps.holds.to_string()));
    lines
}

fn state_of(app: &App, id: &MigrationId) -> MigrationState {
    MigrationState::of(app.entry(id), app.history(id), app.clock.judged_at())
}

fn history(app: &App, columns: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let mut lines = Vec::new();
    if let Some(reason) = &app.detail.failure {
        separate(&mut lines);
        lines.extend(paragraph(&format!("Its runs cannot be read now: {reason}"), columns, look.warning()));
    }
    let Some(runs) = app.detail.runs.as_ref().filter(|runs| !runs.is_empty()) else { return lines };
    lines.push(Line::default());
    lines.push(Line::from(vec![
        Span::styled(" RUNS", look.strong()),
        Span::styled(
            if runs.len() > 1 {
                format!("  {}; left and right choose", number(runs.len().try_into().unwrap_or(0)))
            } else {
                String::new()
            },
            look.quiet(),
        ),
    ]));
    for (index, run) in runs.iter().enumerate() {
        // The latest is known fresher than the list.
        let run = app.latest_run().filter(|latest| latest.id == run.id).unwrap_or(run);
        let mut line = run_line(app, run, index == app.detail.selected);
        if index == app.detail.selected && runs.len() > 1 {
            line = line.patch_style(look.strong());
        }
        lines.push(line);
    }
    lines
}

fn run_line(app: &App, run: &Run, selected: bool) -> Line<'static> {
    let look = app.look;
    let standing = run.standing(app.clock.judged_at());
    let state = as_state(standing);
    let attempts = if run.attempt > 1 { format!(", {} attempts", run.attempt) } else { String::new() };
    let took = super::table::took(app, run).map(|took| format!(", {took}")).unwrap_or_default();
    let reason = match run.reason() {
        Some(reason) if standing == crate::ledger::Standing::Failed => format!(", {reason}"),
        _ => String::new(),
    };
    let mark = if selected { look.pick("▌", ">") } else { " " };
    Line::from(vec![
        Span::styled(mark, look.accent()),
        Span::styled(format!("{} {} ", look.glyph(state), left(standing.word(), 11, "")), look.state(state)),
        Span::raw(run.id.short()),
        Span::styled(
            format!(
                "  {} by {}{attempts}{took}{reason}",
                ago(app.clock.present(), run.ended_at().unwrap_or(run.created_at)),
                run.launch.by.operator
            ),
            look.quiet(),
        ),
    ])
}

fn events(app: &App, columns: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let mut lines = Vec::new();
    if app.detail.events.is_empty() || !app.detail_is_of_selected() {
        return lines;
    }
    lines.push(Line::default());
    lines.push(Line::styled(" EVENTS", look.strong()));
    for event in &app.detail.events {
        let at = event.at.utc().format("%m-%d %H:%M:%S").to_string();
        for (index, text) in wrap(&event.text, columns.saturating_sub(17)).into_iter().enumerate() {
            let time = if index == 0 { at.clone() } else { String::new() };
            lines.push(Line::from(vec![
                Span::styled(format!(" {} ", left(&time, 14, "")), look.quiet()),
                Span::raw(text),
            ]));
        }
    }
    lines
}
