//! What can be run: every migration that ships in the image, found by the patterns of `stopover.yaml`.
//!
//! [`Catalog::load`] never fails because of one bad file: a file that cannot be understood becomes a
//! [`Entry::Broken`] that says what, where and what to do, beside all the others.

mod checksum;
mod command;
mod decode;
mod discover;
mod files;
mod filter;
pub mod lint;
mod manifest;
pub mod notify;
mod params;
mod problem;
mod project;
mod requirements;
pub mod scaffold;
mod steps;
mod walk;
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use checksum::Checksum;
pub use decode::nearest;
pub use manifest::check_manifest;
pub use params::{ParamError, ParamKind, ParamSpec, ParamValue, Params};
pub use problem::{Position, Problem};
pub use project::{Project, Settings};
pub use steps::{
    Backfill, Change, Copy, CreateIndexes, DatabaseCommand, DropIndexes, Fact, Hint, Holds, Speed, Step, Steps, Target,
};

/// The name of a migration: the stem of its file, e.g. `20261104_add_sender_to_transactions`. Ids sort in the order of work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MigrationId(String);

impl MigrationId {
    /// Checks and wraps a name: 1 to 128 letters, digits, `_`, `-` and `.`, not starting with `.` or `-`.
    ///
    /// # Errors
    /// The reason why the text cannot be a migration's name.
    pub fn new(name: impl Into<String>) -> Result<Self, String> {
        let name = name.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 128 {
            return Err("a migration's name has 1 to 128 characters".to_owned());
        }
        if let Some(bad) = name.chars().find(|&c| !allowed(c)) {
            return Err(format!("a migration's name has only letters, digits, `_`, `-` and `.`, not {bad:?}"));
        }
        if name.starts_with(['.', '-']) {
            return Err("a migration's name starts with a letter, a digit or `_`".to_owned());
        }
        Ok(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for MigrationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // `pad` so that tables may align it.
        f.pad(&self.0)
    }
}

/// All migrations of the image, sorted by id, and what is wrong with the catalog as a whole.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The directory of `stopover.yaml`; the paths of entries are relative to it.
    pub root: PathBuf,
    /// Sorted by id; each id once.
    pub entries: Vec<Entry>,
    /// Problems that belong to no migration: a bad `stopover.yaml`, a pattern that finds nothing, a file whose name cannot be an id.
    pub problems: Vec<Problem>,
}

impl Catalog {
    /// The entry with this id.
    #[must_use]
    pub fn entry(&self, id: &MigrationId) -> Option<&Entry> {
        self.entries.binary_search_by(|entry| entry.id().cmp(id)).ok().map(|index| &self.entries[index])
    }

    /// Every problem, of the catalog and of its broken entries, in the order of files.
    pub fn all_problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().chain(self.entries.iter().flat_map(|entry| match entry {
            Entry::Ready(_) => [].iter(),
            Entry::Broken(broken) => broken.problems.iter(),
        }))
    }
}

/// One row of the catalog. Only a [`Migration`] can be launched, so a broken one cannot be by construction.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Understood and ready to be launched.
    Ready(Box<Migration>),
    /// Found, but not understood.
    Broken(Broken),
}

impl Entry {
    /// The migration's id.
    #[must_use]
    pub fn id(&self) -> &MigrationId {
        match self {
            Self::Ready(migration) => &migration.id,
            Self::Broken(broken) => &broken.id,
        }
    }
}

/// A file of the catalog that cannot be launched as it is.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The file's stem.
    pub id: MigrationId,
    /// Relative to the catalog's root.
    pub file: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One unit of work that can be launched.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The file's stem.
    pub id: MigrationId,
    /// The file that declares it, relative to the catalog's root.
    pub file: PathBuf,
    /// Over the content of [`Self::file`] and of the local files that its own command names.
    pub checksum: Checksum,
    /// One or more sentences for people; empty when there is none.
    pub description: String,
    /// The team that answers for it.
    pub owner: Option<String>,
    /// Free words to filter by.
    pub tags: Vec<String>,
    /// Migrations that must be applied before.
    pub requires: Vec<MigrationId>,
    /// What the operator may choose at launch.
    pub params: Vec<ParamSpec>,
    /// How to count what is left to do.
    pub remaining: Option<Remaining>,
    /// An attempt that takes longer is stopped and fails.
    pub timeout: Option<Duration>,
    /// Who continues a run that stopped without anybody's wish.
    pub resume: ResumePolicy,
    /// Whether it can only run with a MongoDB: `needs: [mongodb]`, or a `remaining` that counts in one.
    pub needs_mongodb: bool,
    /// What is executed.
    pub work: Work,
}

/// Who continues a run that was interrupted or lost. What an operator paused, and what failed, always waits for an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResumePolicy {
    /// An operator.
    #[default]
    Manual,
    /// Any pod whose image has the migration unchanged, by itself.
    Auto,
}

impl ResumePolicy {
    /// The word for it, in manifests and scripts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Auto => "auto",
        }
    }
}

/// What a run of a migration executes.
#[derive(Clone, Debug)]
pub enum Work {
    /// A program in a process group of its own.
    Executable(CommandTemplate),
    /// Steps that Stopover executes itself.
    Steps(Arc<Steps>),
}

impl Work {
    /// The first of the [words](Self::words) of steps.
    pub const STEPS: &str = "steps:";

    /// What a run of it executes, word by word: the program and its arguments, or `steps:` and the title of each.
    #[must_use]
    pub fn words(&self, name: &MigrationId, rerun: bool) -> Vec<String> {
        match self {
            Self::Executable(template) => template.render(name, rerun),
            Self::Steps(steps) => std::iter::once(Self::STEPS.to_owned()).chain(steps.titles()).collect(),
        }
    }

    /// The program, if it is one.
    #[must_use]
    pub fn program(&self) -> Option<&CommandTemplate> {
        match self {
            Self::Executable(template) => Some(template),
            Self::Steps(_) => None,
        }
    }
}

/// A program with arguments, in which `{name}`, `{rerun}` and `{file}` stand for the launch's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandTemplate {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    /// The absolute directory it runs in: the one of the file that declares the command (of the program itself, for an executable).
    pub directory: Arc<Path>,
    /// The absolute path that `{file}` stands for; kept only where the command has it.
    pub file: Option<Box<Path>>,
}

impl CommandTemplate {
    /// A command that runs in `directory` on behalf of `file`, both absolute.
    #[must_use]
    pub fn new(argv: Vec<String>, directory: Arc<Path>, file: &Path) -> Self {
        let names_file = argv.iter().any(|argument| argument.contains("{file}"));
        Self { argv, directory, file: names_file.then(|| file.into()) }
    }

    /// The arguments with every placeholder filled in: `{name}` the migration, `{rerun}` `true` or `false`, `{file}` the migration's file.
    #[must_use]
    pub fn render(&self, name: &MigrationId, rerun: bool) -> Vec<String> {
        let file = self.file.as_deref().unwrap_or(Path::new("")).to_string_lossy();
        let fill_in = |argument: &String| {
            argument
                .replace("{name}", name.as_str())
                .replace("{rerun}", if rerun { "true" } else { "false" })
                .replace("{file}", &file)
        };
        self.argv.iter().map(fill_in).collect()
    }
}

/// A query for the number of items that are still to do; it must fall to zero, which is the proof that a migration is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Remaining {
    /// A count in MongoDB.
    Count {
        /// Another database than the connection string's.
        database: Option<String>,
        /// The collection to count in.
        collection: String,
        /// Extended JSON is already resolved.
        filter: bson::Document,
    },
    /// A program that prints the number alone on its last line; run in the manifest's directory.
    Command(CommandTemplate),
}
