//! The two lines at the foot: what there is to tell, and the keys that matter here.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use tui_input::Input;

use super::layout::Layout;
use super::text::{fit, wrap};
use crate::console::app::{App, PromptKind, Tone};
use crate::console::keymap::{self, Command, Context};
use crate::console::link::Link;

pub(super) fn draw(app: &App, layout: &Layout, buffer: &mut Buffer) {
    let footer = layout.footer;
    if let Some(prompt) = &app.prompt {
        let label = match prompt.kind {
            PromptKind::Filter => " filter / ",
            PromptKind::Search => " search / ",
        };
        let area = layout.notice.unwrap_or(footer);
        let mut spans = vec![Span::styled(label, app.look.accent())];
        spans.extend(typed(&prompt.input, None, true));
        buffer.set_line(area.x, area.y, &Line::from(spans), area.width);
        if layout.notice.is_none() {
            return;
        }
    } else if let Some(area) = layout.notice
        && let Some((text, style)) = telling(app)
    {
        tell(app, area, &text, style, buffer);
    } else if layout.notice.is_none()
        && let Some((text, style)) = notice(app)
    {
        // Only what has just happened takes the place of the keys, and gives it back.
        tell(app, footer, &text, style, buffer);
        return;
    }
    // A dialog says itself what its keys do.
    if app.dialog.is_none() {
        let keys = keys(app, footer);
        buffer.set_line(footer.x, footer.y, &keys, footer.width);
        if app.wall.is_some() {
            let room = usize::from(footer.width).saturating_sub(keys.width() + 2);
            let sign = sign_of_life(app, room);
            let width = u16::try_from(sign.width()).unwrap_or(0);
            buffer.set_line(footer.right().saturating_sub(width + 1), footer.y, &sign, width);
        }
    }
}

/// Where a wall display is, and the time of what it shows by the ledger's clock: a picture that stands still is known by it.
fn sign_of_life(app: &App, room: usize) -> Line<'static> {
    let look = app.look;
    let Some(age) = app.clock.age() else { return Line::default() };
    let time = format!("as of {}", app.clock.judged_at().utc().format("%H:%M:%S UTC"));
    let style = if app.link.is_away() || age >= Link::SILENT { look.warning() } else { look.strong() };
    let place = &app.config.actor.place;
    let pod = match &place.namespace {
        Some(namespace) => format!("{namespace}/{}", place.pod),
        None => place.pod.clone(),
    };
    let rest = room.saturating_sub(super::text::width(&time) + 3);
    let mut spans = Vec::new();
    if rest >= 8 {
        spans.push(Span::styled(format!("{}   ", fit(&pod, rest, look.pick("…", "~"))), look.quiet()));
    }
    spans.push(Span::styled(fit(&time, room, ""), style));
    Line::from(spans)
}

/// Lines that a notice takes at most.
const MOST_LINES: u16 = 3;

/// Writes a text on the line, and on those above where it takes more: the end of it often says what to do.
fn tell(app: &App, area: Rect, text: &str, style: Style, buffer: &mut Buffer) {
    let room = usize::from(area.width) - 2;
    let mut lines = wrap(text, room);
    let most = usize::from(MOST_LINES.min(area.y));
    if lines.len() > most {
        let rest = lines.split_off(most - 1).join(" ");
        lines.push(fit(&rest, room, app.look.pick("…", "~")));
    }
    for (y, line) in (0..=area.y).rev().zip(lines.iter().rev()) {
        Clear.render(Rect { y, ..area }, buffer);
        buffer.set_string(area.x + 1, y, line, style);
    }
}

/// What has just happened.
fn notice(app: &App) -> Option<(String, Style)> {
    let notice = app.notice.as_ref()?;
    let (mark, style) = match notice.tone {
        Tone::Good => (app.look.pick("✓ ", "+ "), app.look.good()),
        Tone::Plain => ("", Style::new()),
        Tone::Bad => (app.look.pick("✗ ", "x "), app.look.danger()),
    };
    Some((format!("{mark}{}", notice.text), style))
}

/// The notice, or what the operator should always know.
fn telling(app: &App) -> Option<(String, Style)> {
    if let Some(notice) = notice(app) {
        return Some(notice);
    }
    if let (Link::Away { reason, since }, Some(_)) = (&app.link, &app.wall) {
        let since = app.clock.at(*since).utc().format("%H:%M:%S UTC");
        return Some((
            format!("Ledger away since {since}; it is tried again for as long as it takes: {reason}"),
            app.look.warning(),
        ));
    }
    if let Link::Away { reason, .. } = &app.link {
        return Some((
            format!("Ledger away, trying again; runs stop before their lease ends: {reason}"),
            app.look.warning(),
        ));
    }
    if let Some(wrong) = app.wrong_environment() {
        let harmless = wrong == crate::ledger::WrongEnvironment::Unstamped;
        if !harmless {
            return Some((format!("Launching is off: {wrong}"), app.look.danger()));
        }
        if !app.has_hands() && app.histories.as_ref().is_some_and(std::collections::BTreeMap::is_empty) {
            let text = "This ledger is empty: nobody has used it yet, or it is not where the operators' is (see the address above).";
            return Some((text.to_owned(), app.look.warning()));
        }
        if !app.config.ledger.is_embedded() {
            return Some((
                "This ledger has no passport yet: the first launch asks which environment it belongs to.".to_owned(),
                app.look.warning(),
            ));
        }
    }
    let problems = app.catalog.as_ref().map_or(0, |catalog| catalog.problems.len());
    if problems > 0 {
        let noun = if problems == 1 { "problem" } else { "problems" };
        let text = format!("{problems} {noun} in the catalog itself: see `stopover lint`.");
        return Some((text, app.look.warning()));
    }
    if app.config.ledger.is_embedded() && app.config.database.is_none() {
        let place = if app.in_kubernetes {
            "Embedded ledger: it dies with this pod unless the state directory is a volume."
        } else {
            "Embedded ledger: a file on this machine. MONGODB_URI makes it a MongoDB."
        };
        return Some((place.to_owned(), app.look.quiet()));
    }
    None
}

/// The keys of the context, as many as fit, help and quit always.
fn keys(app: &App, area: Rect) -> Line<'static> {
    let bindings = keymap::footer(app.context());
    let acts = matches!(app.context(), Context::Table | Context::Detail | Context::Log);
    let barred = acts && app.may_act("it").is_err();
    let hint = |binding: &keymap::Binding| {
        let off =
            barred && matches!(binding.command, Command::Run | Command::Resume | Command::Pause | Command::Cancel);
        let key = binding.keys[0].label();
        let style = if off { app.look.quiet() } else { app.look.accent() };
        let word = if off { format!(" {} (off)", binding.word) } else { format!(" {}", binding.word) };
        vec![Span::raw(" "), Span::styled(key, style), Span::styled(word, app.look.quiet()), Span::raw(" ")]
    };
    let width = |spans: &[Span<'_>]| spans.iter().map(Span::width).sum::<usize>();
    let (mandatory, optional): (Vec<_>, Vec<_>) = bindings.into_iter().partition(|binding| binding.rank >= 90);
    let tail: Vec<_> = mandatory.into_iter().flat_map(hint).collect();
    let mut room = usize::from(area.width).saturating_sub(width(&tail));
    let mut spans = Vec::new();
    for binding in optional {
        let hint = hint(binding);
        if width(&hint) > room {
            break;
        }
        room -= width(&hint);
        spans.extend(hint);
    }
    spans.extend(tail);
    Line::from(spans)
}

/// What was typed into a line, with its cursor as a reversed cell (the terminal's own stays hidden).
pub(super) fn typed(input: &Input, mask: Option<char>, focused: bool) -> Vec<Span<'static>> {
    use ratatui::style::Modifier;
    let shown: Vec<char> = match mask {
        Some(mask) => input.value().chars().map(|_| mask).collect(),
        None => input.value().chars().collect(),
    };
    let text = |chars: &[char]| Span::raw(chars.iter().collect::<String>());
    if !focused {
        return vec![text(&shown)];
    }
    let at = input.cursor().min(shown.len());
    let cursor = shown.get(at).copied().unwrap_or(' ');
    vec![
        text(&shown[..at]),
        Span::styled(cursor.to_string(), Style::new().add_modifier(Modifier::REVERSED)),
        text(shown.get(at + 1..).unwrap_or_default()),
    ]
}
