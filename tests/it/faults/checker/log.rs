//! What programs printed, in the log files of the pods.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use stopover::logs::record::{Stream, parse};

use super::Violation;
use super::history::History;
use super::journal::Journal;

/// What a log says of what is missing from it.
const MISSING: &str = "of the log are missing here";
const REMOVED: &str = "was removed or replaced during the run";

/// One record that matters.
enum Line {
    Item {
        item: u64,
        attempt: u32,
    },
    /// The log says that something is missing here.
    Gap,
    /// The log says that all before this is.
    Removed,
}

/// The log files of a run, one of each pod.
pub struct Logs(Vec<Vec<Line>>);

impl Logs {
    /// As they are.
    pub fn read(paths: impl Iterator<Item = PathBuf>) -> Self {
        Self(paths.map(read).collect())
    }

    fn tells_of_removal(&self) -> bool {
        self.0.iter().flatten().any(|line| matches!(line, Line::Removed))
    }

    /// What does not fit to what the programs say they have printed.
    pub fn disagreements(&self, journal: &Journal, run: &Value, history: &History) -> Vec<Violation> {
        let mut found = Vec::new();
        for &attempt in &history.claimed {
            let Some(program) = journal.program(run, attempt) else { continue };
            let of_attempt = |line: &Line| matches!(line, Line::Item { attempt: of, .. } if *of == attempt);
            let file = self.0.iter().filter(|file| file.iter().any(of_attempt)).collect::<Vec<_>>();
            let wrong = |why: String| format!("{why}: {program:?}, {run:#}");
            if file.len() > 1 {
                found.push(Violation::Twice(wrong(format!("attempt {attempt} is in the logs of two pods"))));
                continue;
            }
            let mut last = program.from;
            let mut gap = file.is_empty() && self.tells_of_removal();
            for line in file.into_iter().flatten() {
                match *line {
                    Line::Gap | Line::Removed => gap = true,
                    Line::Item { item, attempt: of } if of == attempt => {
                        let told = format!("after item {last} the log has item {item}");
                        if item <= last {
                            found.push(Violation::Twice(wrong(told)));
                        } else if item != last + 1 && !gap {
                            found.push(Violation::Lost(wrong(told)));
                        }
                        last = item;
                        gap = false;
                    }
                    Line::Item { .. } => {}
                }
            }
            if last > program.say {
                found.push(Violation::Untrue(wrong(format!("the log has item {last}, which was never printed"))));
            }
            // What a worker had not read when it was killed went with it; one that reported the end has read all.
            if history.reported.contains(&attempt) && last < program.said && !gap {
                found.push(Violation::Lost(wrong(format!("the log ends with item {last}, and more was printed"))));
            }
        }
        found
    }
}

fn read(path: PathBuf) -> Vec<Line> {
    let bytes = fs::read(path).unwrap_or_default();
    let mut lines = Vec::new();
    for record in bytes.split(|&byte| byte == b'\n').filter_map(parse) {
        let text = String::from_utf8_lossy(record.text);
        match record.stream {
            Stream::System if text.contains(MISSING) => lines.push(Line::Gap),
            Stream::System if text.contains(REMOVED) => lines.push(Line::Removed),
            Stream::Stdout => lines.extend(item(&text)),
            _ => {}
        }
    }
    lines
}

fn item(text: &str) -> Option<Line> {
    let (item, attempt) = text.strip_prefix("item ")?.split_once(" of attempt ")?;
    Some(Line::Item { item: item.parse().ok()?, attempt: attempt.parse().ok()? })
}
