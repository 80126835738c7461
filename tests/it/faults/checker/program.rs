//! A program that writes down what it does, beside what it prints.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::eventually;
use crate::support::scene::PATIENCE;

use super::Violation;
use super::journal::Journal;

/// Counts items, one every 20 ms, with a checkpoint at each, until it may end; its journal lies outside of every state directory.
pub struct Diligent {
    directory: TempDir,
}

impl Diligent {
    /// One with an empty journal.
    pub fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    /// What it is, as a shell script. Every entry in the journal is one write to a file opened for appending, so that the entries of all processes have one order.
    pub fn script(&self) -> String {
        self.script_with("", "")
    }

    /// The same with some more at its start, and after each item `$at`.
    pub fn script_with(&self, first: &str, each: &str) -> String {
        let (journal, go) = (self.file("journal"), self.file("go"));
        let (journal, go) = (journal.display(), go.display());
        format!(
            r#"note() {{ echo "$STOPOVER_RUN $STOPOVER_ATTEMPT $$ $*" >>"{journal}"; }}
at=${{STOPOVER_CHECKPOINT:-0}}
note start "$at"
trap 'note stopped "$at"; exit 75' TERM
{first}
while :; do
  at=$((at + 1))
  note say "$at"
  echo "item $at of attempt $STOPOVER_ATTEMPT"
  note said "$at"
  echo "::stopover {{\"done\":$at,\"checkpoint\":$at}}"
  {each}
  [ -e "{go}" ] && break
  sleep 0.02
done
note end "$at""#
        )
    }

    /// Lets it end.
    pub fn go(&self) {
        fs::write(self.file("go"), "").unwrap();
    }

    /// Has it work on until it may end again.
    pub fn hold(&self) {
        let _ = fs::remove_file(self.file("go"));
    }

    /// What it wrote down.
    ///
    /// # Errors
    /// Says what programs did that they must not.
    pub fn journal(&self) -> Result<Journal, Violation> {
        Journal::read(&fs::read_to_string(self.file("journal")).unwrap_or_default())
    }

    /// How many items are said.
    pub fn items(&self) -> usize {
        let journal = fs::read_to_string(self.file("journal")).unwrap_or_default();
        journal.lines().filter(|line| line.contains(" said ")).count()
    }

    /// Waits until it has done so many more items.
    #[track_caller]
    pub fn works(&self, more: usize) {
        let before = self.items();
        eventually("the program works", PATIENCE, || (self.items() >= before + more).then_some(()));
    }

    /// The process that was started last.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        let journal = fs::read_to_string(self.file("journal")).unwrap_or_default();
        let last = journal.lines().rev().find(|line| line.contains(" start ")).expect("one was started");
        last.split(' ').nth(2).unwrap().parse().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
