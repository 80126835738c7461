//! The table of migrations.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::text::{ago, capitalised, fit, left, number, right, span};
use crate::catalog::Entry;
use crate::console::app::{App, Pane};
use crate::console::table::{Row, Sort, is_live};
use crate::ledger::{MigrationState, Run};

/// Widths of the columns; 0 leaves a column out.
struct Columns {
    state: usize,
    id: usize,
    description: usize,
    when: usize,
    took: usize,
    by: usize,
    left: usize,
}

impl Columns {
    /// What is dropped first when it gets narrow: the description, then who, how long, how many are left, when.
    fn of(app: &App, width: u16) -> Self {
        let width = usize::from(width);
        let mut columns = Self {
            state: if width < 100 { 16 } else { 19 },
            id: 0,
            description: 0,
            when: match width {
                0..60 => 0,
                60..100 => 10,
                _ => 11,
            },
            took: if width < 90 { 0 } else { 12 },
            by: if width < 100 { 0 } else { 12 },
            left: match width {
                0..75 => 0,
                75..100 => 9,
                _ => 12,
            },
        };
        let others: usize = [columns.when, columns.took, columns.by, columns.left]
            .into_iter()
            .filter(|&column| column > 0)
            .map(|column| column + 2)
            .sum();
        let rest = width.saturating_sub(columns.state + 2 + others + 1);
        columns.id = app.table.widest().clamp(12, 64).min(rest);
        // A description of a few letters says less than none.
        columns.description = rest.saturating_sub(columns.id + 2);
        if columns.description < 24 {
            columns.description = 0;
            columns.id = rest;
        }
        columns
    }
}

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let columns = Columns::of(app, area.width);
    let focused = app.focus == Pane::Table && app.wall.is_none();
    heading(app, area, focused, &columns, buffer);
    let rows = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if let Some(text) = empty(app) {
        for (y, line) in (rows.y + 1..rows.bottom()).zip(super::text::wrap(&text, usize::from(rows.width) - 4)) {
            buffer.set_string(rows.x + 3, y, line, app.look.quiet());
        }
        return;
    }
    for (y, (row, selected)) in (rows.y..rows.bottom()).zip(app.table.window(rows.height.into())) {
        // On a wall display nothing is selected where it is nobody's turn.
        let selected = selected && app.selected_id().is_some();
        buffer.set_line(rows.x, y, &line(app, row, selected, &columns), rows.width);
        if selected {
            buffer.set_style(Rect { y, height: 1, ..rows }, app.look.selection(focused));
        }
    }
    position(app, rows, buffer);
}

fn heading(app: &App, area: Rect, focused: bool, columns: &Columns, buffer: &mut Buffer) {
    let ellipsis = app.look.pick("…", "~");
    let sort = if app.table.sort() == Sort::Id { String::new() } else { format!(" ({})", app.table.sort().word()) };
    let filter = app.table.filter();
    let filter = if filter.is_empty() { String::new() } else { format!("  / {filter}") };
    let mut text = format!("  {}", left("STATE", columns.state, ellipsis));
    text += &left(&format!("MIGRATION{sort}{filter}"), columns.id, ellipsis);
    for (name, width) in [("DESCRIPTION", columns.description), ("WHEN", columns.when)] {
        if width > 0 {
            text.push_str("  ");
            text.push_str(&left(name, width, ellipsis));
        }
    }
    for (name, width, at_right) in
        [("TOOK", columns.took, true), ("LEFT", columns.left, true), ("BY", columns.by, false)]
    {
        if width > 0 {
            let cell = if at_right { right(name, width, ellipsis) } else { left(name, width, ellipsis) };
            text.push_str("  ");
            text.push_str(&cell);
        }
    }
    let style = if focused { app.look.accent() } else { app.look.quiet() };
    buffer.set_stringn(area.x, area.y, text, area.width.into(), style);
}

fn line<'a>(app: &App, row: &Row, selected: bool, columns: &Columns) -> Line<'a> {
    let look = app.look;
    let ellipsis = look.pick("…", "~");
    let run = app.history(&row.id).and_then(|history| history.latest.as_deref());
    let quiet = if selected { Style::new() } else { look.quiet() };
    let marker = if selected { look.pick("▌ ", "> ") } else { "  " };
    let part = run.filter(|_| is_live(row.state)).and_then(|run| run.progress.fraction());
    let engine = run.and_then(|run| run.progress.engine.as_deref());
    let holds = row.state == MigrationState::Running && engine.is_some_and(|engine| engine.hold.is_some());
    let leaves_out = engine.is_some_and(|engine| engine.quarantined > 0);
    let word = if holds { "holding" } else { row.state.word() };
    let word = match part {
        Some(part) => format!("{word} {:.0} %", (part * 100.0).floor()),
        None => word.to_owned(),
    };
    let mut state = format!("{} {word}", look.glyph(row.state));
    if leaves_out {
        // Whatever is cut, the mark of documents that were left out is not.
        let mark = if columns.state > 16 { " !" } else { "!" };
        state = fit(&state, columns.state - 1 - mark.len(), ellipsis) + mark;
    }
    let state = left(&state, columns.state, ellipsis);
    let state_style = if holds || leaves_out { look.warning() } else { look.state(row.state) };
    let id_style = match row.state {
        MigrationState::Applied | MigrationState::Cancelled | MigrationState::Missing => Style::new(),
        _ => look.strong(),
    };
    let mut spans = vec![
        Span::styled(marker, look.accent()),
        Span::styled(state, state_style),
        Span::styled(left(row.id.as_str(), columns.id, ellipsis), id_style),
    ];
    let mut cell = |text: String, width: usize, at_right: bool, style: Style| {
        if width > 0 {
            let text = if at_right { right(&text, width, ellipsis) } else { left(&text, width, ellipsis) };
            spans.push(Span::styled(format!("  {text}"), style));
        }
    };
    cell(description(app, row, run), columns.description, false, quiet);
    cell(run.map_or_else(String::new, |run| when(app, run)), columns.when, false, quiet);
    cell(run.and_then(|run| took(app, run)).unwrap_or_default(), columns.took, true, quiet);
    cell(run.and_then(left_to_do).unwrap_or_default(), columns.left, true, quiet);
    cell(run.map_or_else(String::new, |run| run.launch.by.operator.clone()), columns.by, false, quiet);
    Line::from(spans)
}

fn description(app: &App, row: &Row, run: Option<&Run>) -> String {
    if let Some(lease) = run.filter(|_| row.state == MigrationState::Lost).and_then(Run::lease) {
        let worker = run.and_then(|run| run.worker.as_ref());
        let whose = worker.map_or_else(
            || "no worker has claimed it".to_owned(),
            |worker| format!("{}, pid {}", worker.place.pod, worker.process.pid),
        );
        let silence = ago(app.clock.present(), lease.renewed_at);
        let keys = if app.has_hands() { "u takes it over, c ends it: " } else { "" };
        return format!("{keys}{whose}, last heard of {silence}");
    }
    match app.entry(&row.id) {
        Some(Entry::Ready(migration)) => migration.description.lines().next().unwrap_or_default().to_owned(),
        Some(Entry::Broken(broken)) => {
            broken.problems.first().map(|problem| problem.message.clone()).unwrap_or_default()
        }
        None => "in the ledger, not in this image".to_owned(),
    }
}

/// When it came to stand still, or when it was launched.
fn when(app: &App, run: &Run) -> String {
    ago(app.clock.present(), run.ended_at().unwrap_or(run.created_at))
}

/// From its first start to its end, or until now.
pub(super) fn took(app: &App, run: &Run) -> Option<String> {
    let end = run.ended_at().unwrap_or_else(|| app.clock.present());
    Some(span(end.since(run.started_at?)))
}

fn left_to_do(run: &Run) -> Option<String> {
    if let Some(remaining) = &run.progress.remaining {
        return Some(number(remaining.count));
    }
    match (run.progress.done, run.progress.total) {
        (Some(done), Some(total)) if run.ended_at().is_none() => {
            Some(format!("{}{}", super::progress::about(run), number((total - done).max(0))))
        }
        _ => None,
    }
}

/// Why there are no rows, if there are none.
fn empty(app: &App) -> Option<String> {
    let (all, shown) = app.table.len();
    let ellipsis = app.look.pick("…", "...");
    Some(match (&app.catalog, &app.histories) {
        (None, _) => format!("Reading the catalog {}{ellipsis}", app.config.catalog.display()),
        (Some(_), None) => match &app.link {
            crate::console::link::Link::Away { reason, .. } => {
                format!("{}. Trying again; nothing is known of the runs until it answers.", capitalised(reason))
            }
            _ => format!("Asking the ledger {}{ellipsis}", app.config.ledger),
        },
        (Some(catalog), Some(_)) if all == 0 => match catalog.problems.first() {
            Some(problem) => format!("No migrations. {problem}"),
            None => format!(
                "No migrations. {} names none; `stopover new NAME` writes the first.",
                app.config.catalog.display()
            ),
        },
        _ if shown == 0 => format!("None of {all} migrations matches `{}`. esc clears the filter.", app.table.filter()),
        _ => return None,
    })
}

/// Where the window stands within all rows, when they do not fit.
fn position(app: &App, rows: Rect, buffer: &mut Buffer) {
    let (_, shown) = app.table.len();
    let height = usize::from(rows.height);
    if shown <= height || height < 3 || rows.width == 0 {
        return;
    }
    let thumb = (height * height / shown).max(1);
    let top = app.table.offset() * (height - thumb) / (shown - height);
    for (index, y) in (rows.y..rows.bottom()).enumerate() {
        if (top..top + thumb).contains(&index) {
            buffer.set_string(rows.right() - 1, y, app.look.pick("▐", "#"), app.look.quiet());
        }
    }
}
