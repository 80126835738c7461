//! Reading a run's log a page at a time, from the file in this pod or from the ledger's archive, at flat memory.

mod index;
mod lines;
mod log;
mod open;
mod search;
mod source;
mod spool;

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::config::StateDir;
use crate::ledger::{LedgerError, LedgerReader, Run, RunId};
use crate::time::Timestamp;

use super::record::Stream;
use super::sanitise::Span;

use log::Log;

/// A log, indexed as it grows: one offset per 1,024 lines is all that is kept of it in memory.
///
/// Every method may be cancelled by dropping its future. Files are read off the async threads.
pub struct LogReader {
    log: Arc<Mutex<Log>>,
    origin: Origin,
    /// Where more of an archived log comes from.
    archive: Option<(Arc<dyn LedgerReader>, RunId)>,
}

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
    /// Of the place where an archived log is kept while it is looked at.
    #[error("the archived log cannot be kept in a temporary file: {0}; free some space in the state directory")]
    Spool(io::Error),
    /// Of the archive.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A portion of what a program wrote, as it wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawBlock {
    /// Its bytes: the pieces of long lines joined again, without what Stopover said; empty at the end of the log.
    pub bytes: Vec<u8>,
    /// Where the next portion starts: at the same place when there is nothing more for now.
    pub next: u64,
}

impl LogReader {
    /// Opens the log of a run: its file if this pod has one that holds the current attempt (with what the archive has of earlier
    /// attempts in other pods before it), else the archive.
    ///
    /// # Errors
    /// See [`LogError`]; a log that does not exist yet is empty.
    pub async fn open(state: &StateDir, ledger: Arc<dyn LedgerReader>, run: &Run) -> Result<Self, LogError> {
        open::open(state, ledger, run).await
    }

    /// Opens what suffices to follow the end of a run's log: its file without what other pods have said before it, or the last pieces of
    /// the archive. Lines are counted from there. Cheap, however long the log is.
    ///
    /// # Errors
    /// See [`LogError`]; a log that does not exist yet is empty.
    pub async fn open_end(state: &StateDir, ledger: Arc<dyn LedgerReader>, run: &Run) -> Result<Self, LogError> {
        open::open_end(state, ledger, run).await
    }

    /// Where the lines come from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// Looks for growth and indexes it (off the async threads). A file that shrank or was replaced is indexed anew, and so is an
    /// archive that a flood of lines has grown out of: there may be fewer lines than before.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn refresh(&mut self) -> Result<Extent, LogError> {
        if let Some((ledger, run)) = self.archive.clone() {
            self.read(Log::make_room).await?;
            while self.fetch(&*ledger, run).await? {}
        }
        self.read(Log::refresh).await
    }

    /// The lines of a range, as far as they exist. Of each line only what is shown is read: the range alone bounds the memory.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn lines(&mut self, range: Range<u64>) -> Result<Vec<Line>, LogError> {
        self.read(move |log| log.lines(range)).await
    }

    /// The nearest line from `from` on (itself included) that contains the query; wraps around never. Looks at what the program
    /// wrote, so a text with a change of colour in it, or cut at 16 KiB, is not found. Cancelled between two blocks by dropping
    /// the future.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn find(&mut self, query: &Query, from: u64, direction: Direction) -> Result<Option<u64>, LogError> {
        let query = query.clone();
        let cancelled = CancellationToken::new();
        let _cancel = cancelled.clone().drop_guard();
        self.read(move |log| log.find(&query, from, direction, &|| cancelled.is_cancelled())).await
    }

    /// The first line that is not older than `time`.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn line_since(&mut self, time: Timestamp) -> Result<u64, LogError> {
        self.read(move |log| log.line_since(time)).await
    }

    /// Where a line starts, for [`Self::raw`].
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn offset_of(&mut self, line: u64) -> Result<u64, LogError> {
        self.read(move |log| log.offset_of(line)).await
    }

    /// What the program wrote from an offset on, at most a quarter of a mebibyte of it. The offset is 0, or comes from
    /// [`Self::offset_of`] or [`RawBlock::next`].
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn raw(&mut self, offset: u64) -> Result<RawBlock, LogError> {
        self.read(move |log| log.raw(offset)).await
    }

    /// Fetches the next pieces of an archived log; `false` when there are none for now.
    async fn fetch(&self, ledger: &dyn LedgerReader, run: RunId) -> Result<bool, LogError> {
        let Some(from) = self.read(|log| Ok(log.archived_up_to())).await? else { return Ok(false) };
        let chunks = ledger.log(run, from, open::CHUNKS).await?;
        let is_empty = chunks.is_empty();
        self.read(move |log| {
            if chunks.is_empty() {
                log.caught_up();
            }
            chunks.iter().try_for_each(|chunk| log.append(chunk))
        })
        .await?;
        Ok(!is_empty)
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Log) -> io::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let log = Arc::clone(&self.log);
        let result = blocking(move || work(&mut log.lock().unwrap_or_else(PoisonError::into_inner))).await;
        result.map_err(|source| match &self.origin {
            Origin::File(path) => LogError::File { path: path.clone(), source },
            Origin::Archive => LogError::Spool(source),
        })
    }
}

/// Does work that waits for files on a thread that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
