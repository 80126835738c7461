//! The log pane.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthChar;

use super::text::{fit, number, wrap};
use crate::catalog::Entry;
use crate::console::app::App;
use crate::console::log_pane::Search;
use crate::logs::reader::{Line as LogLine, Origin};
use crate::logs::record::Stream;

pub(super) fn draw(app: &App, area: Rect, focused: bool, buffer: &mut Buffer) {
    let style = if focused { app.look.accent() } else { app.look.strong() };
    super::title(app, area, focused, &heading(app, style), &note(app), buffer);
    let inner = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if let Some(text) = empty(app) {
        for (y, line) in (inner.y + 1..inner.bottom()).zip(wrap(&text, usize::from(inner.width).saturating_sub(4))) {
            buffer.set_string(inner.x + 2, y, line, app.look.quiet());
        }
        return;
    }
    let lines: Vec<_> =
        app.log.visible(inner.height).iter().flat_map(|line| rows(app, line, inner.width.into())).collect();
    // When the end is followed and lines are wrapped, it is the first rows that do not fit.
    let skipped = if app.log.follow { lines.len().saturating_sub(inner.height.into()) } else { 0 };
    for (y, line) in (inner.y..inner.bottom()).zip(&lines[skipped..]) {
        buffer.set_line(inner.x, y, line, inner.width);
    }
}

fn heading(app: &App, style: Style) -> Line<'static> {
    let mut spans = vec![Span::styled("Log", style)];
    if app.zoomed
        && let Some(id) = app.selected_id()
    {
        spans.push(Span::raw(format!(" of {id}")));
    }
    if let Some(run) = app.log.run {
        spans.push(Span::styled(format!(" run {}", run.short()), app.look.quiet()));
    }
    if let Some(search) = &app.log.search {
        spans.push(Span::styled(format!("  /{}", search.text), app.look.warning()));
        spans.push(Span::styled(format!(" {}", count(search)), app.look.quiet()));
    }
    Line::from(spans)
}

/// `3 of 27`, or what else there is to say of a search.
fn count(search: &Search) -> String {
    let (lines, more) = &search.matches;
    let total = if *more {
        format!("more than {}", number(lines.len().try_into().unwrap_or(0)))
    } else {
        lines.len().to_string()
    };
    match (search.at, search.note) {
        _ if search.pending => "searching".to_owned(),
        (_, Some(note)) => note.to_owned(),
        (Some(at), None) => match lines.binary_search(&at) {
            Ok(index) => format!("{} of {total}", index + 1),
            Err(_) => format!("line {}", number(i64::try_from(at + 1).unwrap_or(i64::MAX))),
        },
        (None, None) => String::new(),
    }
}

fn note(app: &App) -> String {
    let log = &app.log;
    if log.extent.lines == 0 {
        return String::new();
    }
    let lines = number(log.extent.lines.try_into().unwrap_or(i64::MAX));
    let origin = match &log.origin {
        Some(Origin::Archive) => ", from the ledger",
        Some(Origin::File(_)) | None => "",
    };
    if app.wall.is_some() && log.origin == Some(Origin::Archive) {
        // Only its last pieces are read: how many lines it has is not known.
        return "its end, from the ledger".to_owned();
    }
    let place = if log.follow {
        "following".to_owned()
    } else {
        format!("line {}", number(i64::try_from(log.top + 1).unwrap_or(i64::MAX)))
    };
    let dot = app.look.pick(" · ", ", ");
    format!("{lines} lines{origin}{dot}{place}")
}

fn empty(app: &App) -> Option<String> {
    let log = &app.log;
    if let Some(reason) = &log.failure {
        return Some(format!("The log cannot be read now: {reason}"));
    }
    if log.extent.lines > 0 && !log.page.lines.is_empty() {
        return None;
    }
    Some(match (app.shown_run(), &log.origin) {
        (None, _) if app.histories.is_none() => String::new(),
        (None, _) => match app.selected_id().and_then(|id| app.entry(id)) {
            Some(Entry::Ready(_)) => "No log yet: it was never run.".to_owned(),
            _ => "No log.".to_owned(),
        },
        (Some(_), None) => "Opening the log...".to_owned(),
        (Some(run), Some(_)) if run.ended_at().is_none() => "Nothing printed yet.".to_owned(),
        (Some(run), Some(Origin::Archive)) => {
            format!("Nothing is archived of this log; it was written in pod {}.", run.place().pod)
        }
        (Some(_), Some(_)) => "It printed nothing.".to_owned(),
    })
}

/// The rows of a line: one, or as many as it takes when lines are wrapped.
fn rows(app: &App, line: &LogLine, width: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let (mark, style) = match line.stream {
        Stream::Stdout => (" ", look.text()),
        // Told by a mark, too: what goes to standard error matters without colours.
        Stream::Stderr => (look.pick("▏", "!"), look.danger()),
        Stream::System => (look.pick("•", "*"), look.accent()),
    };
    let mut head = vec![Span::styled(mark, style)];
    let mut used = 1;
    if app.log.times {
        let time = line.time.map_or_else(|| " ".repeat(12), |time| time.utc().format("%H:%M:%S%.3f").to_string());
        head.push(Span::styled(format!("{time} "), look.quiet()));
        used += 13;
    }
    let room = width.saturating_sub(used).max(1);
    let found = app.log.search.as_ref().map(|search| search.text.as_str()).filter(|text| !text.is_empty());
    let base = if line.stream == Stream::System { look.quiet() } else { Style::new() };
    let mut cells = cells(app, line, base);
    if let Some(text) = found {
        highlight(&mut cells, text, look.found());
    }
    if line.cut {
        cells.extend(" [cut]".chars().map(|c| (c, look.quiet())));
    }
    if !app.log.wrap {
        let skipped = usize::from(app.log.column);
        let row: Vec<_> = cells.into_iter().skip(skipped).collect();
        let fits = row.iter().map(|(c, _)| c.width().unwrap_or(0)).sum::<usize>() <= room;
        head.extend(spans(&row));
        let mut line = Line::from(head);
        if !fits {
            line = cut(line, width, look.pick("…", "~"), look.accent());
        }
        return vec![line];
    }
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut taken = 0;
    for (c, style) in cells {
        let columns = c.width().unwrap_or(0);
        if taken + columns > room {
            rows.push(std::mem::take(&mut row));
            taken = 0;
        }
        taken += columns;
        row.push((c, style));
    }
    rows.push(row);
    rows.iter()
        .enumerate()
        .map(|(index, row)| {
            let mut all = if index == 0 { head.clone() } else { vec![Span::raw(" ".repeat(used))] };
            all.extend(spans(row));
            Line::from(all)
        })
        .collect()
}

fn cells(app: &App, line: &LogLine, base: Style) -> Vec<(char, Style)> {
    line.spans
        .iter()
        .flat_map(|span| {
            let style = base.patch(app.look.ink(span.ink));
            span.text.chars().map(move |c| (c, style))
        })
        .collect()
}

/// Marks every place of `text`; letters are told apart by case only if it holds an upper-case one, as the search does.
fn highlight(cells: &mut [(char, Style)], text: &str, style: Style) {
    let heeds_case = text.chars().any(char::is_uppercase);
    let fold = |c: char| if heeds_case { c } else { c.to_lowercase().next().unwrap_or(c) };
    let wanted: Vec<char> = text.chars().map(fold).collect();
    let mut at = 0;
    while at + wanted.len() <= cells.len() {
        if cells[at..at + wanted.len()].iter().map(|(c, _)| fold(*c)).eq(wanted.iter().copied()) {
            for cell in &mut cells[at..at + wanted.len()] {
                cell.1 = style;
            }
            at += wanted.len();
        } else {
            at += 1;
        }
    }
}

/// Neighbours of one style become one span.
fn spans(cells: &[(char, Style)]) -> Vec<Span<'static>> {
    cells
        .chunk_by(|a, b| a.1 == b.1)
        .map(|chunk| Span::styled(chunk.iter().map(|(c, _)| c).collect::<String>(), chunk[0].1))
        .collect()
}

/// A line that does not fit ends in a mark that says so.
fn cut(line: Line<'static>, width: usize, mark: &'static str, style: Style) -> Line<'static> {
    let mut room = width.saturating_sub(1);
    let mut kept = Vec::new();
    for span in line.spans {
        let text = fit(&span.content, room, "");
        room -= super::text::width(&text).min(room);
        let whole = text.len() == span.content.len();
        kept.push(Span::styled(text, span.style));
        if !whole || room == 0 {
            break;
        }
    }
    kept.push(Span::raw(" ".repeat(room)));
    kept.push(Span::styled(mark, style));
    Line::from(kept)
}
