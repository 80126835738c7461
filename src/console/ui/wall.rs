//! The wall display: what is at work as a list, one run of it in large with the end of its log; where nothing is at work, what was last.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::layout::Layout;
use super::text::{ago, fit, wrap};
use crate::catalog::Entry;
use crate::console::app::App;
use crate::console::table::{is_live, wants_attention};
use crate::ledger::MigrationState;

/// From this height on the part that is done is written in large digits, to be read from afar.
const TALL: u16 = 36;

pub(super) fn draw(app: &App, layout: &Layout, buffer: &mut Buffer) {
    if let Some(area) = layout.table {
        super::table::draw(app, area, buffer);
    }
    match layout.detail {
        Some(area) if app.selected_id().is_some() => run(app, area, buffer),
        Some(area) => {
            for (y, line) in (area.y..area.bottom()).zip(at_rest(app, area.width)) {
                buffer.set_line(area.x, y, &line, area.width);
            }
        }
        None => {}
    }
    if let Some(area) = layout.log {
        super::log::draw(app, area, false, buffer);
    }
}

fn run(app: &App, area: Rect, buffer: &mut Buffer) {
    let id = app.selected_id().map_or("", |id| id.as_str());
    super::title(app, area, false, &Line::styled(id.to_owned(), app.look.strong()), &turn(app), buffer);
    let inner = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    for (y, line) in (inner.y..inner.bottom()).zip(lines(app, inner.width)) {
        buffer.set_line(inner.x, y, &line, inner.width);
    }
}

/// `2 of 3, 10s each`; nothing where there is only one.
fn turn(app: &App) -> String {
    let live = app.table.live();
    let place = app.selected_id().and_then(|id| live.binary_search(id).ok());
    match (&app.wall, place) {
        (Some(wall), Some(index)) if live.len() > 1 => {
            format!("{} of {}, {} each", index + 1, live.len(), wall.every())
        }
        _ => String::new(),
    }
}

/// The lines about the run whose turn it is.
pub(super) fn lines(app: &App, width: u16) -> Vec<Line<'static>> {
    let columns = usize::from(width).saturating_sub(1);
    let Some(run) = app.shown_run() else { return Vec::new() };
    let mut lines = Vec::new();
    if let Some(Entry::Ready(migration)) = app.entry(&run.migration)
        && let Some(description) = migration.description.lines().next()
    {
        if app.size.1 >= TALL {
            lines.extend(
                wrap(description, columns.saturating_sub(1)).into_iter().map(|line| Line::raw(format!(" {line}"))),
            );
            lines.push(Line::default());
        } else {
            let description = fit(description, columns.saturating_sub(1), app.look.pick("…", "~"));
            lines.push(Line::styled(format!(" {description}"), app.look.quiet()));
        }
    }
    if app.size.1 >= TALL
        && let Some(part) = run.progress.fraction()
    {
        lines.extend(super::digits::percent(app, part));
        lines.push(Line::default());
    }
    lines.extend(super::progress::lines(app, run, columns));
    lines
}

/// What there is to say where nothing is at work.
pub(super) fn at_rest(app: &App, width: u16) -> Vec<Line<'static>> {
    let look = app.look;
    if app.catalog.is_none() || app.histories.is_none() {
        return Vec::new();
    }
    let count = |wanted: fn(MigrationState) -> bool| {
        MigrationState::ALL.into_iter().filter(|&state| wanted(state)).map(|state| app.table.count(state)).sum::<u32>()
    };
    let pending = count(|state| state == MigrationState::Pending);
    let alerts = count(|state| wants_attention(state) && !is_live(state));
    let mut facts = vec![format!("{pending} pending")];
    if alerts > 0 {
        facts.push(format!("{alerts} want{} attention", if alerts == 1 { "s" } else { "" }));
    }
    let latest = app.histories.iter().flatten().filter_map(|(_, history)| history.latest.as_deref()?.ended_at()).max();
    if let Some(at) = latest {
        facts.push(format!("the last run ended {}", ago(app.clock.present(), at)));
    }
    let text = facts.join(look.pick(" · ", ", "));
    let mut lines = vec![Line::from(vec![Span::styled(" Nothing is at work.", look.strong())])];
    lines.extend(
        wrap(&text, usize::from(width).saturating_sub(2)).into_iter().map(|line| Line::raw(format!(" {line}"))),
    );
    lines
}
