//! Problems as a compiler shows them: the place, the line, a mark under the mistake, and the remedy.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

use super::{Catalog, Problem};

/// Columns of a line that are shown around a mistake.
const BEFORE: usize = 60;
const AFTER: usize = 60;

impl Catalog {
    /// Every problem once: a broken command of a pattern is a problem of each file that it would run.
    #[must_use]
    pub fn distinct_problems(&self) -> Vec<&Problem> {
        let mut seen = std::collections::HashSet::new();
        self.all_problems().filter(|problem| seen.insert(*problem)).collect()
    }

    /// One line that says how things stand.
    #[must_use]
    pub fn verdict(&self) -> String {
        let problems = self.distinct_problems();
        let files: BTreeSet<_> = problems.iter().map(|problem| &problem.file).collect();
        let migrations = count(self.entries.len(), "migration");
        if problems.is_empty() {
            return format!("{migrations}, no problems");
        }
        format!("{migrations}, {} in {}", count(problems.len(), "problem"), count(files.len(), "file"))
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A problem over several lines, ending in a newline:
///
/// ```text
/// migrations/b.yaml:2:1: unknown key `require` in a manifest
///   |
/// 2 | require: [a]
///   | ^
///   = did you mean `requires`? ...
/// ```
#[must_use]
pub fn render(problem: &Problem) -> String {
    let mut out = format!("{}: {}\n", problem.place(), problem.message);
    let mut margin = 0;
    if let (Some((line, column)), Some(text)) = (problem.position, &problem.text) {
        let number = line.to_string();
        margin = number.len();
        let (shown, caret) = window(text, usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1));
        let blank = " ".repeat(margin);
        // A string can always grow.
        let _ = writeln!(out, "{blank} |\n{number} | {shown}\n{blank} | {}^", " ".repeat(caret));
    }
    let _ = writeln!(out, "{} = {}", " ".repeat(margin), problem.remedy);
    out
}

/// The part of a line around a character, and the width of what stands before it.
fn window(text: &str, mistake: usize) -> (String, usize) {
    let length = text.chars().count();
    let mistake = mistake.min(length);
    let start = mistake.saturating_sub(BEFORE);
    let end = length.min(mistake + AFTER);
    let mut shown = String::from(if start > 0 { "..." } else { "" });
    let mut caret = 0;
    for (index, c) in text.chars().enumerate().skip(start).take(end - start) {
        if index == mistake {
            caret = unicode_width::UnicodeWidthStr::width(shown.as_str());
        }
        shown.push(c);
    }
    if mistake >= end {
        caret = shown.chars().map(|c| c.width().unwrap_or(0)).sum();
    }
    if end < length {
        shown.push_str("...");
    }
    (shown, caret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(position: (u32, u32), text: &str) -> Problem {
        Problem {
            file: "migrations/b.yaml".into(),
            position: Some(position),
            text: Some(text.to_owned()),
            message: "unknown key `require` in a manifest".to_owned(),
            remedy: "did you mean `requires`?".to_owned(),
        }
    }

    #[test]
    fn a_problem_is_shown_with_its_line_and_a_mark_under_the_mistake() {
        assert_eq!(
            render(&problem((12, 3), "  require: [a]")),
            "migrations/b.yaml:12:3: unknown key `require` in a manifest
   |
12 |   require: [a]
   |   ^
   = did you mean `requires`?
"
        );
    }

    #[test]
    fn the_mark_stands_under_the_mistake_after_wide_characters() {
        let shown = render(&problem((1, 5), "日本: bad"));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!((lines[2], lines[3]), ("1 | 日本: bad", "  |       ^"));
    }

    #[test]
    fn of_a_very_long_line_only_the_surroundings_are_shown() {
        let text = format!("{}bad{}", "x".repeat(5_000), "y".repeat(5_000));
        let shown = render(&problem((1, 5_001), &text));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines.iter().all(|line| line.len() < 140), "{shown}");
        assert_eq!(&lines[2][lines[3].find('^').unwrap()..][..3], "bad");
    }

    #[test]
    fn a_mistake_at_the_end_of_a_line_is_marked_behind_it() {
        let shown = render(&problem((1, 9), "a: [1, 2"));
        assert!(shown.contains("1 | a: [1, 2\n  |         ^\n"), "{shown}");
    }
}
