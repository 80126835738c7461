//! The one table of keys: dispatch, footer and help are all read from it, so that they cannot disagree.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is described for people in the table below")]
pub enum Command {
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Left,
    Right,
    OlderRun,
    NewerRun,
    Open,
    Back,
    NextPane,
    PreviousPane,
    Log,
    Filter,
    Sort,
    NextAttention,
    Run,
    RunAgain,
    Resume,
    Pause,
    Cancel,
    Tune,
    Follow,
    Wrap,
    Times,
    Search,
    NextMatch,
    PreviousMatch,
    Reload,
    Redraw,
    Help,
    Quit,
    Confirm,
    Dismiss,
    NextField,
    PreviousField,
    PreviousChoice,
    NextChoice,
    Accept,
    Clear,
}

/// What has the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// The table of migrations.
    Table,
    /// The details of the selected one.
    Detail,
    /// The log of the selected run.
    Log,
    /// A dialog: other keys are typed into its field.
    Dialog,
    /// The line in which a filter or a search is typed.
    Prompt,
    /// The list of keys.
    Help,
    /// A wall display, on which there is nothing to choose.
    Wall,
}

/// The sections of the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Section {
    Act,
    Look,
    Move,
    Log,
    Dialog,
    Console,
}

impl Section {
    /// All, in the order of the help.
    pub const ALL: [Self; 6] = [Self::Act, Self::Look, Self::Move, Self::Log, Self::Dialog, Self::Console];

    /// Its heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Act => "Act on the selected migration",
            Self::Look => "Look",
            Self::Move => "Move",
            Self::Log => "Log",
            Self::Dialog => "In a dialog or a line of input",
            Self::Console => "Console",
        }
    }
}

/// A key as the terminal reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

const fn plain(code: KeyCode) -> Key {
    Key { code, modifiers: KeyModifiers::NONE }
}

const fn char(c: char) -> Key {
    plain(KeyCode::Char(c))
}

const fn ctrl(c: char) -> Key {
    Key { code: KeyCode::Char(c), modifiers: KeyModifiers::CONTROL }
}

impl Key {
    fn is(self, event: KeyEvent) -> bool {
        // Shift is already in the character.
        let significant = KeyModifiers::CONTROL | KeyModifiers::ALT;
        self.code == event.code && self.modifiers == (event.modifiers & significant)
    }

    /// What is printed on it.
    #[must_use]
    pub fn label(self) -> String {
        let name = match self.code {
            KeyCode::Char(' ') => "space".to_owned(),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::Enter => "enter".to_owned(),
            KeyCode::Esc => "esc".to_owned(),
            KeyCode::Tab => "tab".to_owned(),
            KeyCode::BackTab => "shift-tab".to_owned(),
            KeyCode::Up => "up".to_owned(),
            KeyCode::Down => "down".to_owned(),
            KeyCode::Left => "left".to_owned(),
            KeyCode::Right => "right".to_owned(),
            KeyCode::PageUp => "pgup".to_owned(),
            KeyCode::PageDown => "pgdn".to_owned(),
            KeyCode::Home => "home".to_owned(),
            KeyCode::End => "end".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        };
        if self.modifiers.contains(KeyModifiers::CONTROL) { format!("ctrl-{name}") } else { name }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Binding {
    /// The keys; the first is the one that footer and hints show.
    pub keys: &'static [Key],
    /// Where they mean this.
    pub contexts: &'static [Context],
    /// What they mean.
    pub command: Command,
    /// For the footer.
    pub word: &'static str,
    /// For the help.
    pub help: &'static str,
    /// Where in the help.
    pub section: Section,
    /// Place in the footer, lowest first; 0 is not in the footer.
    pub rank: u8,
}

use Context::{Detail, Dialog, Help, Log, Prompt, Table, Wall};

const PANES: &[Context] = &[Table, Detail, Log];
const SCROLLING: &[Context] = &[Table, Detail, Log, Help];

macro_rules! bindings {
    ($([$($key:expr),+] $contexts:expr, $command:ident, $word:literal, $help:literal, $section:ident, $rank:literal;)+) => {
        &[$(Binding {
            keys: &[$($key),+],
            contexts: $contexts,
            command: Command::$command,
            word: $word,
            help: $help,
            section: Section::$section,
            rank: $rank,
        }),+]
    };
}

/// All keys. Where a context lists a key twice, the first line wins; a test sees to it that none does.
pub const BINDINGS: &[Binding] = bindings![
    [char('r')] PANES, Run, "run", "run it; asks first, and says exactly what will run where", Act, 1;
    [char('R')] PANES, RunAgain, "run again", "run it again from the start, applied or not", Act, 0;
    [char('u')] PANES, Resume, "resume", "resume what is paused, interrupted, lost or failed", Act, 2;
    [char('p')] PANES, Pause, "pause", "pause the run at its next checkpoint", Act, 3;
    [char('c')] PANES, Cancel, "cancel", "cancel the run for good", Act, 4;
    [char('S')] PANES, Tune, "speed", "set the workers and the pace of a run of steps, while it runs", Act, 0;

    [plain(KeyCode::Enter)] &[Table, Detail], Open, "open", "open: from the table the details, from the details the log", Look, 5;
    [char('l')] PANES, Log, "log", "the log over the whole screen; again: back", Look, 6;
    [char('/')] &[Table, Detail], Filter, "filter", "filter by words of name, state, description, owner, tags", Look, 7;
    [char('s')] &[Table], Sort, "sort", "sort by name, latest first, or attention first", Look, 8;
    [char('a')] &[Table, Detail], NextAttention, "next alert", "go to the next one that runs or wants attention", Look, 9;
    [plain(KeyCode::Left), char('[')] &[Table, Detail], OlderRun, "older run", "show an older run of this migration", Look, 0;
    [plain(KeyCode::Right), char(']')] &[Table, Detail], NewerRun, "newer run", "show a newer run of this migration", Look, 0;

    [plain(KeyCode::Tab)] PANES, NextPane, "pane", "go to the next pane", Move, 10;
    [plain(KeyCode::BackTab)] PANES, PreviousPane, "previous pane", "go to the pane before", Move, 0;
    [plain(KeyCode::Esc)] PANES, Back, "back", "back: leave the full screen, then the pane, then clear the filter", Move, 0;
    [plain(KeyCode::Up), char('k')] SCROLLING, Up, "up", "up", Move, 0;
    [plain(KeyCode::Down), char('j')] SCROLLING, Down, "down", "down", Move, 0;
    [plain(KeyCode::PageUp), ctrl('b')] SCROLLING, PageUp, "page up", "a page up", Move, 0;
    [plain(KeyCode::PageDown), ctrl('f'), char(' ')] SCROLLING, PageDown, "page down", "a page down", Move, 0;
    [plain(KeyCode::Home), char('g')] SCROLLING, Top, "top", "to the first line", Move, 0;
    [plain(KeyCode::End), char('G')] SCROLLING, Bottom, "end", "to the last line; in a log also: follow it", Move, 0;

    [char('f')] &[Log], Follow, "follow", "follow the end of the log, or stop to", Log, 5;
    [char('/')] &[Log], Search, "search", "search; case matters only if you type upper case", Log, 6;
    [char('n')] &[Log], NextMatch, "next", "the next match below", Log, 7;
    [char('N')] &[Log], PreviousMatch, "previous", "the next match above", Log, 0;
    [char('w')] &[Log], Wrap, "wrap", "wrap long lines, or cut them", Log, 8;
    [char('t')] &[Log], Times, "times", "show or hide the time of every line", Log, 9;
    [plain(KeyCode::Left)] &[Log], Left, "left", "scroll cut lines to the left", Log, 0;
    [plain(KeyCode::Right)] &[Log], Right, "right", "scroll cut lines to the right", Log, 0;
    [plain(KeyCode::Enter)] &[Log], Open, "zoom", "the log over the whole screen; again: back", Log, 0;

    [plain(KeyCode::Enter)] &[Dialog], Confirm, "do it", "do what the dialog says", Dialog, 1;
    [plain(KeyCode::Esc), ctrl('c')] &[Dialog], Dismiss, "leave as it is", "close it; nothing is changed", Dialog, 2;
    [plain(KeyCode::Tab), plain(KeyCode::Down)] &[Dialog], NextField, "next field", "the next field", Dialog, 3;
    [plain(KeyCode::BackTab), plain(KeyCode::Up)] &[Dialog], PreviousField, "previous field", "the field before", Dialog, 0;
    [plain(KeyCode::Left)] &[Dialog], PreviousChoice, "previous choice", "the choice before, or the cursor to the left", Dialog, 0;
    [plain(KeyCode::Right)] &[Dialog], NextChoice, "choose", "the next choice, or the cursor to the right", Dialog, 4;
    [plain(KeyCode::Enter)] &[Prompt], Accept, "keep", "keep the filter, or search", Dialog, 1;
    [plain(KeyCode::Esc), ctrl('c')] &[Prompt], Clear, "clear", "clear the line and close it", Dialog, 2;

    [char('?')] SCROLLING, Help, "help", "this list", Console, 90;
    [ctrl('r')] PANES, Reload, "reload", "read the catalog's files again", Console, 0;
    [ctrl('l')] PANES, Redraw, "redraw", "draw the whole screen anew", Console, 0;
    [char('q'), ctrl('c')] &[Table, Detail, Log, Help, Wall], Quit, "quit", "leave; whatever runs goes on", Console, 91;
    [plain(KeyCode::Esc)] &[Wall], Quit, "quit", "on a wall display (`stopover watch`): leave, too", Console, 0;
    [plain(KeyCode::Esc)] &[Help], Dismiss, "close", "close this list", Console, 1;
];

/// What `event` means where `context` has the keyboard.
#[must_use]
pub fn command(context: Context, event: KeyEvent) -> Option<Command> {
    BINDINGS
        .iter()
        .find(|binding| binding.contexts.contains(&context) && binding.keys.iter().any(|key| key.is(event)))
        .map(|binding| binding.command)
}

/// What the footer of a context shows, in its order.
#[must_use]
pub fn footer(context: Context) -> Vec<&'static Binding> {
    let mut shown: Vec<_> =
        BINDINGS.iter().filter(|binding| binding.rank > 0 && binding.contexts.contains(&context)).collect();
    shown.sort_by_key(|binding| binding.rank);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_context() {
        for context in [Table, Detail, Log, Dialog, Prompt, Help, Wall] {
            let mut seen = std::collections::HashSet::new();
            for binding in BINDINGS.iter().filter(|binding| binding.contexts.contains(&context)) {
                for key in binding.keys {
                    assert!(seen.insert(key.label()), "{} means two things in {context:?}", key.label());
                }
            }
        }
    }

    #[test]
    fn shift_is_part_of_the_letter_and_control_is_not() {
        let event = |code, modifiers| KeyEvent::new(code, modifiers);
        assert_eq!(command(Table, event(KeyCode::Char('R'), KeyModifiers::SHIFT)), Some(Command::RunAgain));
        assert_eq!(command(Table, event(KeyCode::Char('r'), KeyModifiers::CONTROL)), Some(Command::Reload));
        assert_eq!(command(Table, event(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Command::Quit));
        assert_eq!(command(Dialog, event(KeyCode::Char('q'), KeyModifiers::NONE)), None);
    }

    #[test]
    fn a_wall_display_knows_no_command_but_to_leave() {
        let commands: Vec<_> = BINDINGS.iter().filter(|binding| binding.contexts.contains(&Wall)).collect();
        assert!(!commands.is_empty() && commands.iter().all(|binding| binding.command == Command::Quit));
        for key in [char('q'), plain(KeyCode::Esc), ctrl('c')] {
            assert_eq!(command(Wall, KeyEvent::new(key.code, key.modifiers)), Some(Command::Quit));
        }
        assert_eq!(footer(Wall).len(), 1);
    }

    #[test]
    fn every_command_that_acts_is_in_the_footer() {
        let words: Vec<_> = footer(Table).iter().map(|binding| binding.word).collect();
        assert_eq!(
            words,
            ["run", "resume", "pause", "cancel", "open", "log", "filter", "sort", "next alert", "pane", "help", "quit"]
        );
    }
}
