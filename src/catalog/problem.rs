//! What is wrong with a file of the catalog, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Line and column, both from 1; columns count characters.
pub type Position = (u32, u32);

/// A mistake in a file: where it is, the text as it stands there, what is wrong and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Relative to the catalog's root.
    pub file: PathBuf,
    /// Line and column, both from 1, where the mistake has a place within the file.
    pub position: Option<Position>,
    /// The line as it stands in the file, where there is one; characters that could steer a terminal are replaced, one by one.
    pub text: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// A problem of a file as a whole.
    pub(super) fn of_file(file: &Path, message: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self {
            file: file.to_owned(),
            position: None,
            text: None,
            message: visible(message.as_ref()),
            remedy: visible(remedy.as_ref()),
        }
    }

    /// `file:line:column`, as far as the problem has a place.
    #[must_use]
    pub fn place(&self) -> String {
        let file = visible(&self.file.to_string_lossy());
        match self.position {
            Some((line, column)) => format!("{file}:{line}:{column}"),
            None => file,
        }
    }
}

/// `file:line:column: message; remedy` in one line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place(), self.message, self.remedy)
    }
}

/// A text file that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// Relative to the catalog's root.
    pub file: &'a Path,
    /// All of it.
    pub text: &'a str,
}

impl Source<'_> {
    /// A problem at a place in this file; one behind its end (something is missing there) is shown at its end.
    pub fn problem(&self, at: Position, message: impl AsRef<str>, remedy: impl AsRef<str>) -> Problem {
        let lines = self.lines();
        let index = (at.0 as usize).clamp(1, lines.len().max(1)) - 1;
        let line = lines.get(index).copied().unwrap_or_default();
        let behind = line.chars().count() + 1;
        let column = if index + 1 < at.0 as usize { behind } else { (at.1 as usize).clamp(1, behind) };
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Problem {
            position: Some((narrow(index + 1), narrow(column))),
            text: (!self.may_hold_a_secret(line)).then(|| visible(line)),
            ..Problem::of_file(self.file, message, remedy)
        }
    }

    /// Lines as YAML counts them: a lone carriage return ends one, too.
    fn lines(&self) -> Vec<&str> {
        let unix = self.text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut lines: Vec<&str> = unix.flat_map(|line| line.split('\r')).collect();
        lines.pop_if(|last| last.is_empty());
        lines
    }

    /// Whether a line may hold the default of a secret param, or what opens a receiver of `notify`, so that it must not be repeated. It cannot
    /// be told for sure in a file that may not even be YAML.
    fn may_hold_a_secret(&self, line: &str) -> bool {
        let opens =
            |line: &str| ["://", "headers", "auth", "token", "key", "cookie"].iter().any(|it| line.contains(it));
        line.contains("default") && self.text.contains("secret")
            || self.text.contains("notify") && opens(&line.to_ascii_lowercase())
    }
}

/// The text with every character that could steer a terminal or reorder a line replaced, so that columns stay what they are.
fn visible(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if steers(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_problem_can_steer_a_terminal() {
        let source = Source { file: Path::new("a\x1b.yaml"), text: "ok\n\tx\x1b[2J\u{202e}y\n" };
        let problem = source.problem((2, 3), "bad \x07", "fix\n");
        assert_eq!(problem.text.as_deref(), Some(" x\u{fffd}[2J\u{fffd}y"));
        assert_eq!(problem.to_string(), "a\u{fffd}.yaml:2:3: bad \u{fffd}; fix\u{fffd}");
    }

    #[test]
    fn lines_are_counted_as_yaml_counts_them_and_places_never_leave_the_text() {
        let source = Source { file: Path::new("a.yaml"), text: "one\r\ntwo\rthree\n" };
        let place = |at| {
            let problem = source.problem(at, "bad", "fix");
            (problem.position.unwrap(), problem.text.unwrap())
        };
        assert_eq!(place((2, 2)), ((2, 2), "two".into()));
        assert_eq!(place((3, 9)), ((3, 6), "three".into()));
        assert_eq!(place((4, 1)), ((3, 6), "three".into()));
        assert_eq!(place((0, 0)), ((1, 1), "one".into()));
        assert_eq!(Source { text: "", ..source }.problem((1, 1), "bad", "fix").position, Some((1, 1)));
    }

    #[test]
    fn a_line_with_the_default_of_a_secret_is_not_repeated() {
        let text = "params: { token: { secret: true, default: hunter2, bogus: 1 } }";
        assert_eq!(Source { file: Path::new("a.yaml"), text }.problem((1, 1), "bad", "fix").text, None);
    }

    #[test]
    fn a_line_that_may_open_a_receiver_is_not_repeated() {
        let text = "notify:\n  - { webhook: https://a.example/hook, bogus: 1 }\n  - headers: { X-Token: abc }\n  - on: [bogus]\n";
        let shown = |line| Source { file: Path::new("a.yaml"), text }.problem((line, 3), "bad", "fix").text;
        assert_eq!((shown(2), shown(3)), (None, None));
        assert_eq!(shown(4).as_deref(), Some("  - on: [bogus]"));
    }
}
