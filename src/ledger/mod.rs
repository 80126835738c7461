//! What was run: the durable record of every run.
//!
//! Two stores keep the same promises and pass the same contract suite: MongoDB, for production, and SQLite, which needs
//! nothing. Reading and writing are separate capabilities: whoever is handed a [`LedgerReader`] cannot write by construction.

mod account;
mod address;
mod checkpoint;
mod delegate;
mod failure;
mod loss;
mod mongo;
mod packing;
mod passport;
mod progress;
mod quarantine;
mod recovery;
mod run;
mod run_id;
#[cfg(test)]
pub(crate) mod samples;
mod sqlite;
mod standing;
mod transition;
mod tuning;
mod wish;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::catalog::MigrationId;
use crate::place::Actor;
use crate::time::Timestamp;

pub use account::Account;
pub use address::LedgerAddress;
pub use checkpoint::Checkpoint;
pub use failure::{Failure, FailureCause};
pub use loss::LossNotice;
pub use passport::{EnvironmentName, Passport, WrongEnvironment};
pub use progress::{EngineProgress, Progress, Rate, RemainingCount};
pub use quarantine::{NewQuarantined, QuarantinePosition, Quarantined};
pub use recovery::{Recovery, RecoveryOutcome, Resumed, Resumer};
pub use run::{Interruption, Launch, LaunchParam, Lease, Run, RunState, Standing, Worker};
pub use run_id::RunId;
pub use standing::{Histories, History, MigrationState, Success};
pub use transition::{Action, Applied, Event, EventKind, Heard, NewContent, Outcome, Refusal};
pub use tuning::{SpeedChange, SpeedError, Tuning};
pub use wish::{Force, Wish, WishKind};

/// The version of the stored shape that this binary reads and writes. A newer binary upgrades an older ledger at its first
/// write; an older one refuses a newer ledger.
pub const SCHEMA_VERSION: i32 = 1;

/// How long after its own time a change may become visible: a store bounds each write by this.
const LATE_AT_MOST: Duration = Duration::from_secs(15);

/// A value together with the ledger's clock at the moment it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen<T> {
    /// The ledger's own clock.
    pub now: Timestamp,
    /// What was read.
    pub value: T,
}

/// Which runs to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    /// Only of this migration.
    pub migration: Option<MigrationId>,
    /// At most so many; `None` is all.
    pub limit: Option<u32>,
}

/// A piece of a run's log as it was written to the log file of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// Whose.
    pub run: RunId,
    /// Of which attempt.
    pub attempt: u32,
    /// Where in the attempt's part of the log file it starts, in bytes. A gap to the end of the chunk before it means that the
    /// archive left something out; the log file in the pod has it.
    pub offset: u64,
    /// Whole records of the log file (see [`crate::logs`]).
    pub bytes: Vec<u8>,
}

/// A place between two chunks of a run's archived log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Attempt, from 1.
    pub attempt: u32,
    /// Byte offset within the attempt's log.
    pub offset: u64,
}

/// What a worker tells the ledger with every heartbeat, and the lease it asks for: one round trip.
#[derive(Clone, Debug)]
pub struct Beat {
    /// Which of its attempt, from 1. One that was given up may arrive after a later one, and changes nothing then.
    pub number: u64,
    /// How far it is.
    pub progress: Progress,
    /// A new checkpoint, or `None` to keep the stored one.
    pub checkpoint: Option<Checkpoint>,
    /// How long the lease shall hold from now on, by the ledger's clock. A run that is forced to stop keeps the end that it has.
    pub lease: Duration,
}

/// What the ledger answers to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeatReply {
    /// What an operator wants of the worker.
    pub wish: Option<WishKind>,
    /// Whether it is forced: the program is to be ended at once, and this renewal has not extended the lease.
    pub is_forced: bool,
    /// The speed that operators gave the run, if any did.
    pub speed: Option<SpeedChange>,
    /// Until when the lease holds now.
    pub expires_at: Timestamp,
}

/// What is needed to record a new run.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id, made by the launcher.
    pub id: RunId,
    /// What it runs.
    pub migration: MigrationId,
    /// What was decided.
    pub launch: Launch,
    /// How long its worker has to claim it.
    pub lease: Duration,
}

/// What to stamp a ledger with.
#[derive(Clone, Debug)]
pub struct NewPassport {
    /// The environment's name.
    pub environment: EnvironmentName,
    /// See [`Passport::protected`].
    pub protected: bool,
    /// Who stamps.
    pub by: Actor,
    /// Whether an existing stamp is replaced.
    pub restamp: bool,
}

/// The reading half of a ledger. It works with a database user that may only read, and on a ledger that does not exist yet (which is empty).
#[async_trait]
pub trait LedgerReader: Send + Sync {
    /// The ledger's address with its secrets masked.
    fn label(&self) -> String;

    /// The ledger's clock: the cheapest proof that it is there.
    async fn now(&self) -> Result<Timestamp, LedgerError>;

    /// The environment this ledger belongs to, if it was stamped.
    async fn passport(&self) -> Result<Option<Passport>, LedgerError>;

    /// The cluster that answers, where that can be told; see [`Passport::cluster`].
    async fn cluster(&self) -> Result<Option<String>, LedgerError>;

    /// The history of every migration the ledger knows.
    async fn histories(&self) -> Result<Seen<Histories>, LedgerError>;

    /// Every run that changed at or after `since` (a time of the ledger's clock), in any order. To poll, pass the [`Seen::now`] of the call
    /// before: nothing is missed, because the answer reaches back some seconds further, to changes that became visible only after their time.
    /// So a run may come twice, which [`History::absorb`] does not mind.
    async fn changes(&self, since: Timestamp) -> Result<Seen<Vec<Run>>, LedgerError>;

    /// One run.
    async fn run(&self, id: RunId) -> Result<Seen<Option<Run>>, LedgerError>;

    /// Runs, newest first.
    async fn runs(&self, query: RunQuery) -> Result<Seen<Vec<Run>>, LedgerError>;

    /// Runs whose id (with or without hyphens) ends in `suffix`, at most a few: how people name runs.
    async fn runs_ending_in(&self, suffix: &str) -> Result<Vec<Run>, LedgerError>;

    /// Everything that happened to a run, oldest first.
    async fn events(&self, run: RunId) -> Result<Vec<Event>, LedgerError>;

    /// Archived pieces of a run's log that start at or after `from`, in order, at most `limit`.
    async fn log(&self, run: RunId, from: LogPosition, limit: u32) -> Result<Vec<LogChunk>, LedgerError>;

    /// The last archived pieces of a run's log, in order, at most `limit`: for who wants its end without reading all of it.
    async fn log_end(&self, run: RunId, limit: u32) -> Result<Vec<LogChunk>, LedgerError>;

    /// Documents that a run left out, from the first one `after` a place on, in the order of their places, at most `limit`.
    async fn quarantined(
        &self,
        run: RunId,
        after: Option<QuarantinePosition>,
        limit: u32,
    ) -> Result<Vec<Quarantined>, LedgerError>;
}

/// The writing half of a ledger. Getting one creates or upgrades its schema; every write waits for a majority of the servers.
#[async_trait]
pub trait LedgerWriter: LedgerReader {
    /// Stamps the ledger. An existing stamp is kept and returned unless `restamp` is asked for.
    async fn stamp(&self, passport: NewPassport) -> Result<Passport, LedgerError>;

    /// Records a new run as queued.
    ///
    /// # Errors
    /// [`LedgerError::Occupied`] when the migration has an open run: the database's unique index decides.
    async fn open(&self, run: NewRun) -> Result<Run, LedgerError>;

    /// Applies an action by the rules of [`Run::apply`]; a change and its event are one atomic write.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] by those rules; [`LedgerError::Occupied`] when a resume would open a second run of its
    /// migration, [`LedgerError::Superseded`] when the migration has a newer run; [`LedgerError::NoSuchRun`].
    async fn act(&self, run: RunId, action: Action) -> Result<Acted, LedgerError>;

    /// Renews the lease of a running attempt, stores its progress, and reads the operator's wish, in one round trip.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with [`Refusal::Fenced`] when the attempt no longer holds the run.
    async fn beat(&self, run: RunId, attempt: u32, beat: Beat) -> Result<BeatReply, LedgerError>;

    /// Stores a piece of log. Storing the same chunk again (same run, attempt and offset) is harmless.
    async fn archive(&self, chunk: LogChunk) -> Result<(), LedgerError>;

    /// Removes archived pieces of an attempt's log that start within `offsets` (bytes), to keep the archive within its bounds.
    async fn trim(&self, run: RunId, attempt: u32, offsets: std::ops::Range<u64>) -> Result<(), LedgerError>;

    /// Records that a run leaves out a document. Recording the same one again (same run, step and document) is harmless: what was
    /// recorded first stays.
    async fn quarantine(&self, document: NewQuarantined) -> Result<(), LedgerError>;
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Acted {
    /// The run as it is now.
    Changed(Box<Run>),
    /// It was so already; the sentence says who did it and when.
    Already(String),
}

/// What a ledger answers when it cannot do what it was asked. No text holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The server or file cannot be reached or used; the same call may succeed later.
    #[error("the ledger {ledger} cannot be reached: {reason}")]
    Unreachable {
        /// Masked address.
        ledger: String,
        /// What happened, and what to check.
        reason: String,
    },
    /// The server refuses for lack of a privilege.
    #[error("the ledger {ledger} refuses: {reason}")]
    Forbidden {
        /// Masked address.
        ledger: String,
        /// Which privilege is missing.
        reason: String,
    },
    /// The ledger was written by a newer version.
    #[error(
        "the ledger {ledger} has schema version {found}, this binary knows {known}; run a newer image of Stopover against it"
    )]
    TooNew {
        /// Masked address.
        ledger: String,
        /// Its version.
        found: i32,
        /// [`SCHEMA_VERSION`].
        known: i32,
    },
    /// The migration has an open run already.
    #[error("{} has an open run already: {} is {} in pod {}, launched by {} at {}", .run.migration, .run.id.short(), .run.standing(*.now), .run.place().pod, .run.launch.by.operator, .run.created_at)]
    Occupied {
        /// The run that is there.
        run: Box<Run>,
        /// The ledger's clock.
        now: Timestamp,
    },
    /// A resume of a run that is not its migration's latest.
    #[error("run {run} is not the latest of {migration}; `stopover runs {migration}` lists them")]
    Superseded {
        /// Short id.
        run: String,
        /// Its migration.
        migration: MigrationId,
    },
    /// The state machine refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no run with this id.
    #[error("there is no run {0} in the ledger; `stopover runs` lists them")]
    NoSuchRun(RunId),
    /// A record does not have the shape it must have.
    #[error("the ledger {ledger} holds something that cannot be read: {reason}")]
    Corrupt {
        /// Masked address.
        ledger: String,
        /// Which record, and what is wrong.
        reason: String,
    },
}

impl LedgerError {
    /// Whether the same call may succeed later without anyone changing anything here.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// Opens a ledger for reading only. Nothing is created.
///
/// # Errors
/// [`LedgerError::TooNew`]; [`LedgerError::Unreachable`] when the server does not answer in time.
pub async fn open_reader(address: &LedgerAddress) -> Result<Arc<dyn LedgerReader>, LedgerError> {
    Ok(match address {
        LedgerAddress::Mongo(uri) => Arc::new(mongo::MongoReader::connect(uri).await?),
        LedgerAddress::Sqlite(path) => Arc::new(sqlite::SqliteReader::open(path).await?),
    })
}

/// Opens a ledger for writing: its schema is created at the first use, or upgraded.
///
/// # Errors
/// As [`open_reader`], and [`LedgerError::Forbidden`].
pub async fn open_writer(address: &LedgerAddress) -> Result<Arc<dyn LedgerWriter>, LedgerError> {
    Ok(match address {
        LedgerAddress::Mongo(uri) => Arc::new(mongo::MongoWriter::connect(uri).await?),
        LedgerAddress::Sqlite(path) => Arc::new(sqlite::SqliteWriter::open(path).await?),
    })
}
