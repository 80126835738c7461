//! Everything that can happen to the console.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::KeyEvent;

use crate::catalog::{Catalog, MigrationId};
use crate::ledger::{Event, Histories, Passport, Run, RunId, Seen};
use crate::logs::reader::{Extent, Line, Origin};

/// What [`super::update::update`] is told.
#[derive(Debug)]
pub enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has this size now.
    Resized {
        /// In cells.
        columns: u16,
        /// In cells.
        rows: u16,
    },
    /// Time has passed; nothing else.
    Tick,
    /// The catalog was read.
    Catalog(Arc<Catalog>),
    /// The ledger answered, or did not.
    Feed(Feed),
    /// More about the selected migration was read.
    Inspected(Box<Inspected>),
    /// The open log has news.
    Log(RunId, LogNews),
    /// An action came to its end.
    Acted(Acted),
}

/// News of the ledger.
#[derive(Debug)]
pub enum Feed {
    /// Which environment the ledger belongs to, and the cluster that answered.
    Passport {
        /// `None` while nobody has stamped it.
        passport: Option<Passport>,
        /// Where that can be told.
        cluster: Option<String>,
    },
    /// Everything, after every connect.
    Everything {
        /// The whole of it.
        seen: Seen<Histories>,
        /// How long the answer took.
        latency: Duration,
    },
    /// What changed since the last answer; may repeat what is known.
    Changes {
        /// Runs as they are now.
        seen: Seen<Vec<Run>>,
        /// How long the answer took.
        latency: Duration,
    },
    /// No answer.
    Away {
        /// In the ledger's words.
        reason: String,
    },
}

/// The runs of a migration and the events of one of them.
#[derive(Debug)]
pub struct Inspected {
    /// Of which migration.
    pub migration: MigrationId,
    /// Its runs, newest first, or why they could not be read.
    pub runs: Result<Vec<Run>, String>,
    /// The run whose events these are.
    pub run: Option<RunId>,
    /// Oldest first.
    pub events: Vec<Event>,
}

/// News of an open log.
#[derive(Debug)]
pub enum LogNews {
    /// It is open, or has grown.
    Extent {
        /// How much there is.
        extent: Extent,
        /// Where it is read from.
        origin: Origin,
    },
    /// Lines that were asked for, as far as they exist.
    Lines {
        /// The number of the first.
        first: u64,
        /// In order, without gaps.
        lines: Vec<Line>,
    },
    /// The answer to a search.
    Found {
        /// What was searched for.
        text: String,
        /// The line it is in; `None` when there is none (further).
        line: Option<u64>,
    },
    /// The lines that a search matches, from the first on.
    Matches {
        /// What was searched for.
        text: String,
        /// Line numbers, rising.
        lines: Vec<u64>,
        /// Whether there are more than were counted.
        more: bool,
    },
    /// It cannot be read now.
    Failed(String),
}

/// How an action ended.
#[derive(Debug)]
pub enum Acted {
    /// It is done; a sentence says what.
    Done {
        /// For the notice line.
        text: String,
        /// The run as it is now.
        run: Option<Box<Run>>,
    },
    /// The ledger was stamped.
    Stamped(Passport),
    /// Nothing was changed; the sentence says why, and what to do.
    Refused(String),
}
