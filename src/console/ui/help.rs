//! The list of all keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::text::{left, wrap};
use crate::console::app::App;
use crate::console::keymap::{BINDINGS, Section};

/// How far the list can be scrolled.
pub(in crate::console) fn last_scroll(app: &App) -> u16 {
    let lines = u16::try_from(lines(app).len()).unwrap_or(u16::MAX);
    lines.saturating_sub(inner(area(app.size)).height)
}

pub(super) fn draw(app: &App, buffer: &mut Buffer) {
    let area = area(app.size);
    Clear.render(area, buffer);
    let title = format!("Keys of Stopover {}", app.config.actor.place.build());
    super::dialog::frame(app, area, &title, app.look.accent(), buffer);
    super::scrolled(app, inner(area), &lines(app), app.help.unwrap_or(0), buffer);
}

fn area((columns, rows): (u16, u16)) -> Rect {
    let width = columns.min(96);
    let height = rows.saturating_sub(2);
    Rect::new((columns - width) / 2, 1, width, height)
}

fn inner(area: Rect) -> Rect {
    Rect::new(area.x + 2, area.y + 1, area.width.saturating_sub(4), area.height.saturating_sub(2))
}

fn lines(app: &App) -> Vec<Line<'static>> {
    let width = usize::from(inner(area(app.size)).width);
    let column = if width < 60 { 10 } else { 22 };
    let mut lines = Vec::new();
    for section in Section::ALL {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(Line::styled(section.title(), app.look.strong()));
        for binding in BINDINGS.iter().filter(|binding| binding.section == section) {
            let keys = binding.keys.iter().map(|key| key.label()).collect::<Vec<_>>().join(", ");
            let (keys, help) = (wrap(&keys, column), wrap(binding.help, width.saturating_sub(column + 3)));
            for row in 0..keys.len().max(help.len()) {
                let cell = |lines: &[String]| lines.get(row).cloned().unwrap_or_default();
                lines.push(Line::from(vec![
                    Span::styled(format!("  {} ", left(&cell(&keys), column, "")), app.look.accent()),
                    Span::raw(cell(&help)),
                ]));
            }
        }
    }
    lines
}
