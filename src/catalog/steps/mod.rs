//! What the native engine executes: the steps of a manifest, with everything in them resolved.

mod decode;
mod facts;

use std::sync::Arc;
use std::time::Duration;

use bson::Document;
use serde::{Deserialize, Serialize};

use super::CommandTemplate;

pub(super) use decode::{WORK, decode};
pub use facts::Fact;

/// The work of a migration that needs no program: steps against MongoDB, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    /// At least one.
    pub steps: Vec<Step>,
    /// How fast it goes unless an operator says otherwise.
    pub speed: Speed,
    /// The time that one batch should take.
    pub batch: Duration,
    /// What makes it hold.
    pub holds: Holds,
}

impl Steps {
    /// See [`Steps::batch`].
    pub const DEFAULT_BATCH: Duration = Duration::from_millis(100);

    /// The steps in words, as the ledger keeps them with a run.
    #[must_use]
    pub fn titles(&self) -> Vec<String> {
        self.steps.iter().map(Step::title).collect()
    }
}

/// How fast a run goes. An operator may change it while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Speed {
    /// How many batches are under way at once, 1 to [`Speed::MOST_WORKERS`].
    pub workers: u8,
    /// The share of the time in which there is one under way at all, in percent, 1 to 100.
    pub pace: u8,
}

impl Speed {
    /// Past this, more of them only get in each other's way.
    pub const MOST_WORKERS: u8 = 16;
}

impl Default for Speed {
    fn default() -> Self {
        Self { workers: 1, pace: 100 }
    }
}

/// The state of the server at which a run holds until it is better; `None` where that is not looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Holds {
    /// A secondary that is further behind than this.
    pub replication_lag: Option<Duration>,
    /// An oplog that reaches less far back than this.
    pub oplog_window: Option<Duration>,
    /// Dirty bytes in the storage engine's cache, as a part of it, 0 to 1.
    pub dirty_cache: Option<f64>,
    /// A foreground latency of so many times the calm one.
    pub foreground: Option<f64>,
    /// Whether flow control and a lack of tickets count.
    pub congestion: bool,
}

impl Default for Holds {
    fn default() -> Self {
        Self {
            replication_lag: Some(Duration::from_secs(2)),
            oplog_window: Some(Duration::from_hours(1)),
            dirty_cache: Some(0.15),
            foreground: Some(2.0),
            congestion: true,
        }
    }
}

impl Holds {
    /// Looks at nothing.
    pub const NONE: Self =
        Self { replication_lag: None, oplog_window: None, dirty_cache: None, foreground: None, congestion: false };
}

/// One step. Each is resumable on its own, and is never begun before the one before it is complete.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Changes documents where they are.
    Backfill(Backfill),
    /// Writes documents of another shape into another collection.
    Copy(Copy),
    /// Builds indexes.
    CreateIndexes(CreateIndexes),
    /// Removes indexes.
    DropIndexes(DropIndexes),
    /// Runs one command of the database.
    Command(DatabaseCommand),
}

impl Step {
    /// The word by which a manifest says what it does.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Backfill(_) => "backfill",
            Self::Copy(_) => "copy",
            Self::CreateIndexes(_) => "createIndexes",
            Self::DropIndexes(_) => "dropIndexes",
            Self::Command(_) => "command",
        }
    }

    /// The collection that it works on; `None` for a command, whose arguments are its own affair.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Backfill(step) => Some(&step.target),
            Self::Copy(step) => Some(&step.source),
            Self::CreateIndexes(step) => Some(&step.target),
            Self::DropIndexes(step) => Some(&step.target),
            Self::Command(_) => None,
        }
    }

    /// Whether it says of everything that it works on in which database that is.
    #[must_use]
    pub fn names_its_databases(&self) -> bool {
        match self {
            Self::Copy(step) => step.source.database.is_some() && step.into.database.is_some(),
            Self::Command(step) => step.database.is_some(),
            step => step.target().is_some_and(|target| target.database.is_some()),
        }
    }

    /// The step in a few words, e.g. `backfill transactions`.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Backfill(step) => format!("backfill {}", step.target),
            Self::Copy(step) => format!("copy {} to {}", step.source, step.into),
            Self::CreateIndexes(step) => format!("createIndexes {}", step.target),
            Self::DropIndexes(step) => format!("dropIndexes {}", step.target),
            Self::Command(step) => {
                let name = step.command.keys().next().map_or("(nothing)", String::as_str);
                format!("command {name}")
            }
        }
    }
}

/// A collection, in the connection string's database unless it names another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Another database than the connection string's.
    pub database: Option<String>,
    /// The collection.
    pub collection: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.database {
            Some(database) => write!(f, "{database}.{}", self.collection),
            None => f.write_str(&self.collection),
        }
    }
}

/// Changes every document of a collection that a filter selects.
#[derive(Clone, Debug, PartialEq)]
pub struct Backfill {
    /// Where.
    pub target: Target,
    /// Which documents. Empty for all.
    pub filter: Document,
    /// What becomes of them.
    pub change: Change,
    /// The index to find them by. Without one, the collection is walked in the order of `_id`.
    pub hint: Option<Hint>,
    /// Whether a second application changes nothing. If not, the set of documents is fixed at the start, and exactly-once is required.
    pub idempotent: bool,
    /// Whether a batch may be repeated after a crash, where the server has no transactions.
    pub at_least_once: bool,
    /// How many documents may be left out because the server or the transform refuses them.
    pub max_quarantined: u64,
}

/// What becomes of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An aggregation pipeline over the document itself.
    Pipeline(Vec<Document>),
    /// Update operators.
    Operators {
        /// At least one operator.
        update: Document,
        /// For `$[name]` in it.
        array_filters: Vec<Document>,
    },
    /// A program that is given documents and answers with updates.
    Transform(Arc<CommandTemplate>),
}

/// An index, by its name or by its key.
#[derive(Clone, Debug, PartialEq)]
pub enum Hint {
    /// Its name.
    Name(String),
    /// Its key pattern.
    Keys(Document),
}

/// Writes documents of another shape into another collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// Where they are read.
    pub source: Target,
    /// Which of them. Empty for all.
    pub filter: Document,
    /// What is made of them; may be empty, and may make several of one.
    pub pipeline: Vec<Document>,
    /// Where they are written.
    pub into: Target,
    /// The fields that tell which document of the target is meant; at least one. A unique index on them makes it fast.
    pub key: Vec<String>,
    /// See [`Backfill::max_quarantined`].
    pub max_quarantined: u64,
}

/// Builds indexes; one that is there already is a success.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateIndexes {
    /// Where.
    pub target: Target,
    /// As the server takes them, each with its `key` and `name`; at least one.
    pub indexes: Vec<Document>,
}

/// Removes indexes; one that is not there is a success.
#[derive(Clone, Debug, PartialEq)]
pub struct DropIndexes {
    /// Where.
    pub target: Target,
    /// At least one.
    pub indexes: Vec<Hint>,
}

/// Runs one command of the database.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseCommand {
    /// Another database than the connection string's.
    pub database: Option<String>,
    /// What is run. Its first key is its name.
    pub command: Document,
    /// A reading command; when it finds anything, the work is done already.
    pub skip_if: Option<Document>,
    /// Whether it may run twice after a crash, where there is no probe.
    pub at_least_once: bool,
}
