//! Reading a run's log a page at a time, from the file in this pod or from the ledger's archive, at flat memory.

use std::ops::Range;
use std::sync::Arc;

use crate::config::StateDir;
use crate::ledger::{LedgerError, LedgerReader, Run};
use crate::time::Timestamp;

use super::record::Stream;
use super::sanitise::Span;

/// A log, indexed as it grows: one offset per 1,024 lines is all that is kept of it in memory.
pub struct LogReader {}

/// Where the lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The run's file in this pod's state directory: complete and live.
    File(std::path::PathBuf),
    /// The ledger's archive: the run is (or was) in another pod; seconds behind, and with gaps where the log was too large to archive whole.
    Archive,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Lines, as a person counts them: the records of a cut line count once.
    pub lines: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// One line, safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// From 0.
    pub number: u64,
    /// When it was read from the program, by the worker's machine; `None` when the record is damaged.
    pub time: Option<Timestamp>,
    /// Where it came from.
    pub stream: Stream,
    /// What it says.
    pub spans: Vec<Span>,
    /// Whether it is longer than what is shown.
    pub cut: bool,
}

/// What to look for in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Literal text; ignores case unless it holds an upper-case letter.
    pub text: String,
}

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards newer lines.
    Down,
    /// Towards older lines.
    Up,
}

/// What can go wrong with reading a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Of the local file.
    #[error("the log file {} cannot be read: {source}", .path.display())]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Of the archive.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl LogReader {
    /// Opens the log of a run: its file if this pod has one that holds the current attempt, else the archive.
    ///
    /// # Errors
    /// See [`LogError`]; a log that does not exist yet is empty.
    pub async fn open(_state: &StateDir, _ledger: Arc<dyn LedgerReader>, _run: &Run) -> Result<Self, LogError> {
        todo!()
    }

    /// Where the lines come from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        todo!()
    }

    /// Looks for growth and indexes it (off the async threads). A file that shrank or was replaced is indexed anew.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn refresh(&mut self) -> Result<Extent, LogError> {
        todo!()
    }

    /// The lines of a range, as far as they exist.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn lines(&mut self, _range: Range<u64>) -> Result<Vec<Line>, LogError> {
        todo!()
    }

    /// The nearest line from `from` on (itself included) that contains the query; wraps around never.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn find(&mut self, _query: &Query, _from: u64, _direction: Direction) -> Result<Option<u64>, LogError> {
        todo!()
    }

    /// The first line that is not older than `time`.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn line_since(&mut self, _time: Timestamp) -> Result<u64, LogError> {
        todo!()
    }
}
