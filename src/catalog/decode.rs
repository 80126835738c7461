//! From YAML to meaning: every mistake becomes a problem at its place, and reading goes on to find the next.

use std::path::Path;
use std::time::Duration;

use super::problem::{Position, Problem, Source};
use super::yaml::{Key, Node, Value};

/// More problems than this of one file help nobody.
const MOST_PROBLEMS: usize = 20;

/// Reads the values of one file and collects what is wrong with them.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    source: Source<'a>,
    problems: Vec<Problem>,
}

/// The fields of a mapping that are known and not empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'n>(&'n [(Key, Node)]);

impl<'n> Fields<'n> {
    /// The value of a field; a field that is there without a value counts as absent.
    pub fn get(self, name: &str) -> Option<&'n Node> {
        let (_, node) = self.0.iter().find(|(key, _)| key.name == name)?;
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    /// The fields that have a value, as written.
    pub fn present(self) -> impl Iterator<Item = (&'n Key, &'n Node)> {
        self.0.iter().filter(|(_, node)| !matches!(node.value, Value::Null)).map(|(key, node)| (key, node))
    }

    /// The name of a field that has a value, for a problem that is about the field as such.
    pub fn key(self, name: &str) -> Option<&'n Key> {
        self.present().find(|(key, _)| key.name == name).map(|(key, _)| key)
    }
}

impl<'a> Decoder<'a> {
    pub fn new(file: &'a Path, text: &'a str) -> Self {
        Self { source: Source { file, text }, problems: Vec::new() }
    }

    /// The root of the document, which is to be a mapping; `None` with a problem for anything else.
    pub fn parse(&mut self, empty: &str) -> Option<Node> {
        match Node::parse(self.source.text) {
            Ok(Node { value: Value::Null, .. }) => {
                self.problems.push(Problem::of_file(self.source.file, "the file is empty", empty));
                None
            }
            Ok(node) => Some(node),
            Err(error) => {
                self.report(
                    error.at,
                    format!("this is not YAML: {}", error.reason),
                    "mend the line, or the one before it; values with `: `, ` #`, `{` or `[` in them go in quotes",
                );
                None
            }
        }
    }

    pub fn report(&mut self, at: Position, message: impl AsRef<str>, remedy: impl AsRef<str>) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(self.source.problem(at, message, remedy));
        }
    }

    /// The same for a line that may hold a secret: it is not repeated.
    pub fn report_hidden(&mut self, at: Position, message: impl AsRef<str>, remedy: impl AsRef<str>) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem { text: None, ..self.source.problem(at, message, remedy) });
        }
    }

    /// How many problems were reported so far.
    pub fn count_of_problems(&self) -> usize {
        self.problems.len()
    }

    /// All problems, in the order of the file.
    pub fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.position);
        self.problems
    }

    pub fn wrong(&mut self, node: &Node, what: &str, expected: &str, remedy: impl AsRef<str>) {
        self.report(node.at, format!("`{what}` must be {expected}, not {}", node.describe()), remedy);
    }

    /// The fields of a mapping, of which only `known` may be there.
    pub fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let Value::Map(map) = &node.value else {
            let example = known.first().copied().unwrap_or("name");
            self.wrong(node, what, "a mapping", format!("write it as fields, e.g. `{example}: ...`"));
            return None;
        };
        for (key, _) in map {
            if !known.contains(&key.name.as_str()) {
                let hint =
                    nearest(&key.name, known).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
                let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                self.report(
                    key.at,
                    format!("unknown key `{}` in {what}", key.name),
                    format!("{hint}known keys are {list}"),
                );
            }
        }
        Some(Fields(map))
    }

    /// The fields of a mapping with free names.
    pub fn entries<'n>(&mut self, node: &'n Node, what: &str, example: &str) -> &'n [(Key, Node)] {
        if let Value::Map(map) = &node.value {
            return map;
        }
        self.wrong(node, what, "a mapping", format!("write it as `{example}`"));
        &[]
    }

    pub fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        if let Value::Text(text) = &node.value {
            return Some(text.clone());
        }
        let remedy = match &node.value {
            Value::Boolean(value) => format!("put it in quotes: \"{value}\""),
            Value::Integer(_) | Value::Number(_) => "put it in quotes, so that no digit gets lost".to_owned(),
            _ => "write one line of text".to_owned(),
        };
        self.wrong(node, what, "text", remedy);
        None
    }

    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        if let Value::Boolean(value) = node.value {
            return Some(value);
        }
        self.wrong(node, what, "`true` or `false`", "write `true` or `false`, without quotes");
        None
    }

    pub fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let parsed = match &node.value {
            Value::Text(text) => humantime::parse_duration(text).ok(),
            _ => None,
        };
        if parsed.is_none_or(|duration| duration.is_zero()) {
            let given = match &node.value {
                Value::Text(text) => format!("`{text}`"),
                _ => node.describe(),
            };
            let message = format!("`{what}` must be a duration, not {given}");
            self.report(node.at, message, "write a number with its unit, e.g. `30s`, `15m` or `2h 30m`");
            return None;
        }
        parsed
    }

    /// A whole number that is none below zero.
    pub fn count(&mut self, node: &Node, what: &str) -> Option<u64> {
        if let Value::Integer(number) = node.value
            && let Ok(count) = u64::try_from(number)
        {
            return Some(count);
        }
        self.wrong(node, what, "a whole number from 0", "write digits, without quotes");
        None
    }

    /// Every element of a list that could be read.
    pub fn list<T>(
        &mut self,
        node: &Node,
        what: &str,
        example: &str,
        mut element: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Vec<T> {
        let Value::List(items) = &node.value else {
            self.wrong(node, what, "a list", format!("write it as `{example}`"));
            return Vec::new();
        };
        items.iter().filter_map(|item| element(self, item)).collect()
    }
}

/// The known name that was most likely meant.
#[must_use]
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_lowercase();
    known
        .iter()
        .map(|&candidate| (distance(&name, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= 1 + candidate.len() / 4)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, dropped or replaced to get from one word to the other (Levenshtein). Long words differ anyway.
fn distance(from: &str, to: &str) -> usize {
    if from.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_word_that_was_meant() {
        let known = ["description", "command", "requires", "timeout"];
        assert_eq!(nearest("descripton", &known), Some("description"));
        assert_eq!(nearest("Require", &known), Some("requires"));
        assert_eq!(nearest("time_out", &known), Some("timeout"));
        assert_eq!(nearest("banana", &known), None);
        assert_eq!(nearest(&"x".repeat(100_000), &known), None);
    }
}
