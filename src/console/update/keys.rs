//! What keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, InputRequest};

use super::{act, dialog};
use crate::console::app::{App, Pane, Prompt, PromptKind, Tone};
use crate::console::effect::{Effect, LogWish};
use crate::console::form::insert_line;
use crate::console::keymap::{self, Command, Context};
use crate::console::ui::layout::Layout;
use crate::logs::reader::Direction;

pub(super) fn press(app: &mut App, key: KeyEvent, effects: &mut Vec<Effect>) {
    // An error has been read once the next key is pressed.
    if app.notice.as_ref().is_some_and(|notice| notice.tone == Tone::Bad) {
        app.notice = None;
    }
    let context = app.context();
    let command = keymap::command(context, key);
    match context {
        Context::Dialog => dialog::press(app, key, command, effects),
        Context::Prompt => prompt(app, key, command, effects),
        Context::Help => help(app, command),
        Context::Wall => on_the_wall(app, command),
        Context::Table | Context::Detail | Context::Log => {
            if let Some(command) = command {
                run(app, command, effects);
            }
        }
    }
}

pub(super) fn paste(app: &mut App, text: &str, effects: &mut Vec<Effect>) {
    if let Some(form) = app.dialog.as_mut().and_then(super::super::dialog::Dialog::form_mut) {
        form.paste(text);
    } else if let Some(prompt) = &mut app.prompt {
        insert_line(&mut prompt.input, text);
        typed(app, effects);
    }
    // Anywhere else pasted text is not keys: a stray paste must not launch anything.
}

/// What an editing key asks of a line of text.
pub(super) fn editing(key: KeyEvent) -> Option<InputRequest> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    Some(match key.code {
        KeyCode::Char('a') if control => InputRequest::GoToStart,
        KeyCode::Char('e') if control => InputRequest::GoToEnd,
        KeyCode::Char('w') if control => InputRequest::DeletePrevWord,
        KeyCode::Char('u') if control => InputRequest::DeleteLine,
        KeyCode::Char('k') if control => InputRequest::DeleteTillEnd,
        KeyCode::Char('h') if control => InputRequest::DeletePrevChar,
        KeyCode::Char(c) if !control && !alt => InputRequest::InsertChar(c),
        KeyCode::Backspace if alt => InputRequest::DeletePrevWord,
        KeyCode::Backspace => InputRequest::DeletePrevChar,
        KeyCode::Delete => InputRequest::DeleteNextChar,
        KeyCode::Left => InputRequest::GoToPrevChar,
        KeyCode::Right => InputRequest::GoToNextChar,
        KeyCode::Home => InputRequest::GoToStart,
        KeyCode::End => InputRequest::GoToEnd,
        _ => return None,
    })
}

fn prompt(app: &mut App, key: KeyEvent, command: Option<Command>, effects: &mut Vec<Effect>) {
    match command {
        Some(Command::Accept) => {
            let Some(prompt) = app.prompt.take() else { return };
            if prompt.kind == PromptKind::Search {
                let height = Layout::of(app).log_height();
                effects.extend(app.log.search(prompt.input.value(), height).map(Effect::Log));
            }
        }
        Some(Command::Clear) => {
            let Some(prompt) = app.prompt.take() else { return };
            match prompt.kind {
                PromptKind::Filter => app.table.set_filter("", app.catalog.as_deref()),
                PromptKind::Search => app.log.search = None,
            }
        }
        _ => {
            let Some(prompt) = &mut app.prompt else { return };
            match (key.code, prompt.kind) {
                // The table can be walked while its filter is typed.
                (KeyCode::Up, PromptKind::Filter) => app.table.step(-1),
                (KeyCode::Down, PromptKind::Filter) => app.table.step(1),
                _ => {
                    if let Some(request) = editing(key) {
                        prompt.input.handle(request);
                        typed(app, effects);
                    }
                }
            }
        }
    }
}

/// The filter is applied as one types.
fn typed(app: &mut App, _effects: &mut Vec<Effect>) {
    if let Some(prompt) = app.prompt.as_ref().filter(|prompt| prompt.kind == PromptKind::Filter) {
        app.table.set_filter(prompt.input.value(), app.catalog.as_deref());
    }
}

fn help(app: &mut App, command: Option<Command>) {
    let Some(scroll) = app.help else { return };
    app.help = match command {
        Some(Command::Up) => Some(scroll.saturating_sub(1)),
        Some(Command::Down) => Some(scroll.saturating_add(1)),
        Some(Command::PageUp) => Some(scroll.saturating_sub(10)),
        Some(Command::PageDown) => Some(scroll.saturating_add(10)),
        Some(Command::Top) => Some(0),
        Some(Command::Bottom) => Some(u16::MAX),
        Some(Command::Quit) => {
            app.leaving = true;
            None
        }
        Some(Command::Help | Command::Dismiss) => None,
        _ => Some(scroll),
    }
    .map(|scroll| scroll.min(crate::console::ui::help::last_scroll(app)));
}

/// A wall display is left, and nothing else. Any other key is answered once: the hint is not prolonged by the next.
fn on_the_wall(app: &mut App, command: Option<Command>) {
    if command == Some(Command::Quit) {
        app.leaving = true;
    } else if app.notice.is_none() {
        app.tell(
            Tone::Plain,
            "This is a wall display: it shows, and takes no keys but q, esc or ctrl-c, which leave it.",
        );
    }
}

/// Carries out a command of one of the panes.
pub(super) fn run(app: &mut App, command: Command, effects: &mut Vec<Effect>) {
    match command {
        Command::Run => act::launch(app, false),
        Command::RunAgain => act::launch(app, true),
        Command::Resume => act::resume(app),
        Command::Pause => act::stop(app, crate::ledger::WishKind::Pause),
        Command::Cancel => act::stop(app, crate::ledger::WishKind::Cancel),
        Command::Tune => act::tune(app),
        Command::Open => open(app),
        Command::Back => back(app),
        Command::NextPane => turn(app, true),
        Command::PreviousPane => turn(app, false),
        Command::Log => toggle_log(app),
        Command::Filter => {
            let input = Input::new(app.table.filter().to_owned());
            app.prompt = Some(Prompt { kind: PromptKind::Filter, input });
        }
        Command::Sort => app.table.cycle_sort(app.catalog.as_deref()),
        Command::NextAttention => {
            if !app.table.select_next_wanting_attention() {
                app.tell(Tone::Plain, "Nothing runs, and nothing wants attention.");
            }
        }
        Command::OlderRun => choose_run(app, 1),
        Command::NewerRun => choose_run(app, -1),
        Command::Follow => app.log.toggle_follow(Layout::of(app).log_height()),
        Command::Wrap => {
            app.log.wrap = !app.log.wrap;
            app.log.column = 0;
        }
        Command::Times => app.log.times = !app.log.times,
        Command::Search => app.prompt = Some(Prompt { kind: PromptKind::Search, input: Input::default() }),
        Command::NextMatch => next_match(app, Direction::Down, effects),
        Command::PreviousMatch => next_match(app, Direction::Up, effects),
        Command::Left => app.log.column = app.log.column.saturating_sub(16),
        Command::Right => app.log.column = if app.log.wrap { 0 } else { app.log.column.saturating_add(16) },
        Command::Up => scroll(app, -1),
        Command::Down => scroll(app, 1),
        Command::PageUp => page(app, -1),
        Command::PageDown => page(app, 1),
        Command::Top => to_end(app, false),
        Command::Bottom => to_end(app, true),
        Command::Reload => {
            app.tell(Tone::Plain, "Reading the catalog again.");
            effects.push(Effect::LoadCatalog);
        }
        Command::Redraw => effects.push(Effect::Redraw),
        Command::Help => app.help = Some(0),
        Command::Quit => app.leaving = true,
        Command::Confirm
        | Command::Dismiss
        | Command::NextField
        | Command::PreviousField
        | Command::PreviousChoice
        | Command::NextChoice
        | Command::Accept
        | Command::Clear => {}
    }
}

fn open(app: &mut App) {
    match app.focus {
        Pane::Table => {
            app.focus = Pane::Detail;
            app.zoomed = true;
        }
        Pane::Detail => {
            app.focus = Pane::Log;
            app.zoomed = true;
        }
        Pane::Log => app.zoomed = !app.zoomed,
    }
}

fn toggle_log(app: &mut App) {
    if app.focus == Pane::Log && app.zoomed {
        app.focus = Pane::Table;
        app.zoomed = false;
    } else {
        app.focus = Pane::Log;
        app.zoomed = true;
    }
}

fn back(app: &mut App) {
    if app.focus == Pane::Log && app.log.search.is_some() {
        app.log.search = None;
    } else if app.zoomed || app.focus != Pane::Table {
        app.zoomed = false;
        app.focus = Pane::Table;
    } else if !app.table.filter().is_empty() {
        app.table.set_filter("", app.catalog.as_deref());
    } else {
        app.notice = None;
    }
}

fn turn(app: &mut App, forwards: bool) {
    app.focus = match (app.focus, forwards) {
        (Pane::Table, true) | (Pane::Log, false) => Pane::Detail,
        (Pane::Detail, true) | (Pane::Table, false) => Pane::Log,
        (Pane::Log, true) | (Pane::Detail, false) => Pane::Table,
    };
    app.zoomed = false;
}

fn choose_run(app: &mut App, by: isize) {
    let runs = app.detail.runs.as_ref().map_or(0, Vec::len);
    app.detail.selected = app.detail.selected.saturating_add_signed(by).min(runs.saturating_sub(1));
}

fn next_match(app: &mut App, direction: Direction, effects: &mut Vec<Effect>) {
    if app.log.search.is_none() {
        app.tell(Tone::Plain, "Nothing is searched for yet: / searches.");
    }
    let wish: Option<LogWish> = app.log.next_match(direction);
    effects.extend(wish.map(Effect::Log));
}

fn scroll(app: &mut App, by: i16) {
    let layout = Layout::of(app);
    match app.focus {
        Pane::Table => app.table.step(by.into()),
        Pane::Detail => {
            let last = crate::console::ui::detail::last_scroll(app, &layout);
            app.detail.scroll = app.detail.scroll.saturating_add_signed(by).min(last);
        }
        Pane::Log => app.log.scroll(by.into(), layout.log_height()),
    }
}

fn page(app: &mut App, direction: i16) {
    let layout = Layout::of(app);
    let height = match app.focus {
        Pane::Table => layout.table_rows(),
        Pane::Detail => layout.detail_height(),
        Pane::Log => layout.log_height(),
    };
    // One line of the old page stays in sight.
    let step = i16::try_from(height.saturating_sub(1).max(1)).unwrap_or(i16::MAX);
    scroll(app, direction * step);
}

fn to_end(app: &mut App, last: bool) {
    match (app.focus, last) {
        (Pane::Table, _) => app.table.step(if last { isize::MAX } else { isize::MIN }),
        (Pane::Detail, _) => scroll(app, if last { i16::MAX } else { i16::MIN }),
        (Pane::Log, true) => app.log.to_end(),
        (Pane::Log, false) => app.log.to_top(),
    }
}
