//! New migrations that run, and speak the protocol, from the first moment.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use super::walk::is_wild;
use super::{Catalog, MigrationId, Project};

/// What to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A shell script, run directly
    Script,
    /// A Python program, run directly
    Python,
    /// A Node program, run directly
    Node,
    /// A manifest, and the shell script that it runs
    Manifest,
    /// A manifest with a backfill that Stopover executes itself, on MongoDB
    Backfill,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Self::Script => "sh",
            Self::Python => "py",
            Self::Node => "js",
            Self::Manifest | Self::Backfill => "yaml",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Script => "script",
            Self::Python => "Python program",
            Self::Node => "Node program",
            Self::Manifest | Self::Backfill => "manifest",
        })
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaffold {
    /// The new migration.
    pub id: MigrationId,
    /// Its files, relative to the catalog's root.
    pub files: Vec<PathBuf>,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// The name cannot be an id.
    #[error("`{name}` cannot be a migration: {reason}")]
    Name {
        /// What was given.
        name: String,
        /// Why not.
        reason: String,
    },
    /// There is such a migration.
    #[error("there is a migration `{id}` already: {}; choose another name", .file.display())]
    Exists {
        /// Its id.
        id: MigrationId,
        /// Its file.
        file: PathBuf,
    },
    /// There is such a file.
    #[error("{} exists already and was not touched; choose another name", .0.display())]
    FileExists(PathBuf),
    /// No pattern would find the file.
    #[error(
        "no pattern of stopover.yaml would find `{file}` as a {kind}; add one first, e.g. `- files: \"migrations/*.{extension}\"`"
    )]
    NoPattern {
        /// The file's name.
        file: String,
        /// What it would be.
        kind: Kind,
        /// Of such a file.
        extension: &'static str,
    },
    /// The system refused.
    #[error("{} cannot be written: {source}", .file.display())]
    Io {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes a new migration into the folder of the first pattern that would find it. A name that does not begin with a digit gets
/// the day before it, so that ids sort in the order of work. Nothing that exists is touched.
///
/// # Errors
/// See [`ScaffoldError`].
pub fn create(project_file: &Path, name: &str, kind: Kind, today: NaiveDate) -> Result<Scaffold, ScaffoldError> {
    let dated = if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("{}_{name}", today.format("%Y%m%d"))
    };
    let bad = |reason: String| ScaffoldError::Name { name: name.to_owned(), reason };
    if matches!(Path::new(name).extension().and_then(|e| e.to_str()), Some("sh" | "py" | "js" | "yaml" | "yml")) {
        return Err(bad("give the name without an extension; --kind decides on it".to_owned()));
    }
    MigrationId::new(name).map_err(bad)?;
    let id = MigrationId::new(dated).map_err(bad)?;
    let catalog = Catalog::load(project_file);
    if let Some(entry) = catalog.entry(&id) {
        let file = match entry {
            super::Entry::Ready(migration) => migration.file.clone(),
            super::Entry::Broken(broken) => broken.file.clone(),
        };
        return Err(ScaffoldError::Exists { id, file });
    }
    let (project, _) = Project::read(project_file);
    let folder = folder(&project, &id, kind)?;
    let files = contents(&id, kind);
    let paths: Vec<PathBuf> = files.iter().map(|file| folder.join(&file.name)).collect();
    if let Some(taken) = paths.iter().find(|path| catalog.root.join(path).symlink_metadata().is_ok()) {
        return Err(ScaffoldError::FileExists(taken.clone()));
    }
    for (file, path) in files.iter().zip(&paths) {
        write(&catalog.root.join(path), file).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => ScaffoldError::FileExists(path.clone()),
            _ => ScaffoldError::Io { file: path.clone(), source },
        })?;
    }
    Ok(Scaffold { id, files: paths })
}

/// The fixed part of the first pattern that finds a file of this name there and runs it as this kind.
fn folder(project: &Project, id: &MigrationId, kind: Kind) -> Result<PathBuf, ScaffoldError> {
    let name = format!("{id}.{}", kind.extension());
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    project
        .patterns
        .iter()
        .filter(|pattern| pattern.command.is_none())
        .find_map(|pattern| {
            let parts = pattern.files.split('/');
            let folder: PathBuf = parts.take_while(|part| !is_wild(part)).collect();
            let glob = glob::Pattern::new(&pattern.files).ok()?;
            glob.matches_path_with(&folder.join(&name), options).then_some(folder)
        })
        .ok_or(ScaffoldError::NoPattern { file: name, kind, extension: kind.extension() })
}

struct NewFile {
    name: String,
    content: String,
    mode: u32,
}

/// The files of a new migration; what others refer to comes first, so that a manifest never names what is not there.
fn contents(id: &MigrationId, kind: Kind) -> Vec<NewFile> {
    let file = |extension: &str, content: &str, mode| NewFile {
        name: format!("{id}.{extension}"),
        content: content.to_owned(),
        mode,
    };
    let script = || file("sh", include_str!("template.sh"), 0o755);
    match kind {
        Kind::Script => vec![script()],
        Kind::Python => vec![file("py", include_str!("template.py"), 0o755)],
        Kind::Node => vec![file("js", include_str!("template.js"), 0o755)],
        Kind::Manifest => {
            let script = script();
            let manifest = include_str!("template.yaml").replace("{{script}}", &script.name);
            vec![script, file("yaml", &manifest, 0o644)]
        }
        Kind::Backfill => vec![file("yaml", include_str!("template.backfill.yaml"), 0o644)],
    }
}

fn write(path: &Path, file: &NewFile) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut target = OpenOptions::new().write(true).create_new(true).mode(file.mode).open(path)?;
    target.write_all(file.content.as_bytes()).inspect_err(|_| {
        // Half a migration is worse than none; the error that is reported is the write's.
        let _ = fs::remove_file(path);
    })
}
