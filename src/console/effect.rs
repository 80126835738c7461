//! Everything the console can ask the outside for. `runtime` carries it out and answers with messages.

use std::ops::Range;

use crate::catalog::MigrationId;
use crate::launch::{Plan, ResumeRequest};
use crate::ledger::{NewPassport, Run, RunId, SpeedChange, WishKind};
use crate::logs::reader::Direction;

/// A wish of [`super::update::update`].
#[derive(Debug)]
pub enum Effect {
    /// Read the catalog's files.
    LoadCatalog,
    /// Read more about a migration; a newer wish replaces an older one.
    Inspect(Subject),
    /// Follow this run's log from now on; `None` closes the open one.
    OpenLog(Option<Box<Run>>),
    /// Of the open log.
    Log(LogWish),
    /// Launch what was confirmed.
    Launch(Box<Plan>),
    /// Resume a run.
    Resume {
        /// As it was when it was confirmed.
        run: Box<Run>,
        /// What the operator said with it.
        request: ResumeRequest,
    },
    /// Ask a run to stop.
    Stop {
        /// Which.
        run: RunId,
        /// Of which migration, for the answer's text.
        migration: MigrationId,
        /// For a while, or for good.
        kind: WishKind,
        /// Whether its program is no longer left the time to stop.
        by_force: bool,
    },
    /// Set the speed of a run.
    Tune {
        /// Which.
        run: RunId,
        /// Of which migration, for the answer's text.
        migration: MigrationId,
        /// To what.
        speed: SpeedChange,
    },
    /// Say which environment the ledger belongs to.
    Stamp(Box<NewPassport>),
    /// Ask the ledger soon: something is expected to change.
    LookSoon,
    /// Ask the ledger more often while something is at work.
    Pace {
        /// Whether something is.
        lively: bool,
    },
    /// Forget what the terminal shows and draw everything.
    Redraw,
}

/// What the detail pane shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The migration.
    pub migration: MigrationId,
    /// The run whose events are wanted; `None` for the latest.
    pub run: Option<RunId>,
}

/// A wish about the open log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogWish {
    /// These lines.
    Lines(Range<u64>),
    /// The nearest match.
    Find {
        /// What to look for.
        text: String,
        /// Where to start, that line included.
        from: u64,
        /// Which way.
        direction: Direction,
        /// Whether the matches are to be counted, too.
        count: bool,
    },
}
