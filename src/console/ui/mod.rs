//! The view: draws the model into a buffer of cells and changes nothing. One file per block of the screen.

pub(super) mod detail;
mod dialog;
mod digits;
mod engine;
mod footer;
mod header;
pub(super) mod help;
pub(super) mod layout;
mod log;
mod progress;
mod table;
pub(super) mod text;
mod wall;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

use super::app::{App, Pane};
use layout::Layout;

/// Draws everything that is to be seen.
pub fn view(app: &App, buffer: &mut Buffer) {
    let layout = Layout::of(app);
    if layout.too_small {
        return too_small(app, buffer);
    }
    header::draw(app, &layout, buffer);
    if app.wall.is_some() {
        wall::draw(app, &layout, buffer);
    } else {
        panes(app, &layout, buffer);
    }
    if let Some(area) = layout.separator {
        let line = app.look.pick("│", "|");
        for y in area.top()..area.bottom() {
            buffer.set_string(area.x, y, line, app.look.quiet());
        }
    }
    let behind = app.help.is_some() || app.dialog.is_some();
    if behind || app.link.is_away() {
        // What is only remembered, or not to be touched now, steps back; where one is never does.
        let body = Rect::new(0, layout.header.bottom(), app.size.0, app.size.1 - layout.header.height);
        buffer.set_style(body, Style::new().add_modifier(Modifier::DIM));
    }
    footer::draw(app, &layout, buffer);
    if app.help.is_some() {
        help::draw(app, buffer);
    }
    if let Some(dialog) = &app.dialog {
        dialog::draw(app, dialog, buffer);
    }
}

fn panes(app: &App, layout: &Layout, buffer: &mut Buffer) {
    if let Some(area) = layout.table {
        table::draw(app, area, buffer);
    }
    if let Some(area) = layout.detail {
        detail::draw(app, area, app.focus == Pane::Detail, buffer);
    }
    if let Some(area) = layout.log {
        log::draw(app, area, app.focus == Pane::Log, buffer);
    }
}

fn too_small(app: &App, buffer: &mut Buffer) {
    let area = *buffer.area();
    let environment = app
        .passport()
        .map_or_else(String::new, |passport| format!("{}{}", app.look.pick(" · ", ", "), passport.environment));
    let lines = [
        format!("Stopover{environment}"),
        "Make the terminal larger:".to_owned(),
        "40 x 8 at least. q quits.".to_owned(),
    ];
    let lines = lines.iter().flat_map(|line| text::wrap(line, area.width.into()));
    for (row, line) in (area.y..area.bottom()).zip(lines) {
        buffer.set_stringn(area.x, row, line, area.width.into(), app.look.strong());
    }
}

/// Draws the title of a pane: a rule with a word on it, and a note at its end.
fn title(app: &App, area: Rect, focused: bool, title: &Line<'_>, note: &str, buffer: &mut Buffer) {
    let style = if focused { app.look.accent() } else { app.look.quiet() };
    let rule = app.look.pick("─", "-").repeat(area.width.into());
    buffer.set_stringn(area.x, area.y, rule, area.width.into(), style);
    if title.width() == 0 {
        return;
    }
    let room = area.width.saturating_sub(4);
    let title_width = u16::try_from(title.width()).unwrap_or(u16::MAX).min(room);
    buffer.set_string(area.x + 1, area.y, " ", style);
    buffer.set_line(area.x + 2, area.y, title, title_width);
    buffer.set_string(area.x + 2 + title_width, area.y, " ", style);
    let width = u16::try_from(text::width(note)).unwrap_or(u16::MAX);
    if !note.is_empty() && title_width + width + 6 < area.width {
        buffer.set_string(area.right() - width - 3, area.y, format!(" {note} "), app.look.quiet());
    }
}

/// Draws lines from `scroll` on, with a mark where there are more.
fn scrolled(app: &App, area: Rect, lines: &[Line<'_>], scroll: u16, buffer: &mut Buffer) {
    let height = usize::from(area.height);
    let first = usize::from(scroll).min(lines.len().saturating_sub(height));
    for (y, line) in (area.y..area.bottom()).zip(&lines[first..]) {
        buffer.set_line(area.x, y, line, area.width);
    }
    let mut more = |y, mark| {
        if area.width > 0 {
            buffer.set_string(area.right() - 1, y, mark, app.look.accent());
        }
    };
    if first > 0 {
        more(area.y, app.look.pick("▲", "^"));
    }
    if first + height < lines.len() && area.height > 0 {
        more(area.bottom() - 1, app.look.pick("▼", "v"));
    }
}
