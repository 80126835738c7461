//! What this process was told: flags over environment over `stopover.yaml` over defaults.

mod logging;
mod read_only;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::{Project, Settings, notify};
use crate::lease::{LeaseSettings, LeaseTerms, LeaseTermsError};
use crate::ledger::{EnvironmentName, LedgerAddress};
use crate::place::{Actor, Place};
use crate::secret::{Secret, uri_password};

pub use logging::{LogFormat, Verbosity};
pub use read_only::ReadOnly;

/// What the flags common to all commands say; `None` where a flag was not given.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--catalog`
    pub catalog: Option<PathBuf>,
    /// `--state-dir`
    pub state_dir: Option<PathBuf>,
    /// `--ledger`
    pub ledger: Option<String>,
    /// `--operator`
    pub operator: Option<String>,
    /// `--read-only`, or `--read-only=false`
    pub read_only: Option<bool>,
}

/// Everything a command needs to know about its surroundings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Path of `stopover.yaml`.
    pub catalog: PathBuf,
    /// Where logs, worker records and the embedded ledger live.
    pub state_dir: StateDir,
    /// Where the ledger is.
    pub ledger: LedgerAddress,
    /// The database that migrations work on (`MONGODB_URI`), if any.
    pub database: Option<Secret>,
    /// The variables of [`Self::as_environment`] whose values were read from files, which may hold others by the time that they are needed.
    pub from_files: Vec<&'static str>,
    /// `STOPOVER_ENVIRONMENT`: where this process believes to be.
    pub environment: Option<EnvironmentName>,
    /// Where runs are mirrored to.
    pub mirror: MirrorTarget,
    /// `STOPOVER_LOG_FORMAT`: how the output of the pod is written, by the mirror and by all who speak there.
    pub log_format: LogFormat,
    /// `STOPOVER_LOG`: how much is noted in the diagnostics.
    pub diagnostics: Verbosity,
    /// Who acts, and from where.
    pub actor: Actor,
    /// Look, don't touch, and why. Set by `--read-only` or `STOPOVER_READ_ONLY=1`; no flag undoes the variable.
    pub read_only: Option<ReadOnly>,
    /// How long a worker's right holds, how often it is renewed, and how much of it is kept to stop in.
    pub lease: LeaseTerms,
    /// How long a stopping program has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Who is told what happens to runs.
    pub notify: Arc<[notify::Target]>,
}

/// Where a run's output is mirrored to, for `kubectl logs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorTarget {
    /// The standard output of PID 1.
    Auto,
    /// Nowhere.
    Off,
    /// A file, FIFO or device.
    Path(PathBuf),
}

impl MirrorTarget {
    fn parse(text: &str) -> Self {
        match text {
            "" | "auto" => Self::Auto,
            "off" => Self::Off,
            path => Self::Path(PathBuf::from(path)),
        }
    }

    /// As it would stand in `STOPOVER_MIRROR`.
    #[must_use]
    pub fn as_variable(&self) -> PathBuf {
        match self {
            Self::Auto => "auto".into(),
            Self::Off => "off".into(),
            Self::Path(path) => absolute(path),
        }
    }
}

/// The state directory and the names of what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Wraps a directory, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The one that the flag `--state-dir` names, or the environment, or the default.
    #[must_use]
    pub fn chosen(flag: Option<PathBuf>) -> Self {
        let path =
            flag.or_else(|| variable("STOPOVER_STATE_DIR").map(PathBuf::from)).unwrap_or_else(Self::default_path);
        Self::new(absolute(&path))
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes sure that logs can be written: the directory is there, for this user alone, and takes files.
    ///
    /// # Errors
    /// What the system says.
    pub fn prepare(&self) -> std::io::Result<()> {
        let logs = self.0.join("runs");
        crate::private::create_dir_all(&logs)?;
        rustix::fs::access(&logs, rustix::fs::Access::WRITE_OK)?;
        Ok(())
    }

    /// The log file of a run, over all its attempts in this pod.
    #[must_use]
    pub fn run_log(&self, run: crate::ledger::RunId) -> PathBuf {
        self.0.join("runs").join(format!("{run}.log"))
    }

    /// What the worker of a run says for itself (not its program): diagnostics of the last resort.
    #[must_use]
    pub fn worker_log(&self, run: crate::ledger::RunId) -> PathBuf {
        self.0.join("workers").join(format!("{run}.log"))
    }

    /// Where workers keep what they count, see [`crate::telemetry::keeping`].
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics")
    }

    /// What was counted of a migration.
    #[must_use]
    pub fn metrics_of(&self, migration: &crate::catalog::MigrationId) -> PathBuf {
        self.metrics().join(format!("{migration}.json"))
    }

    /// Where consoles and commands note what happens to them.
    #[must_use]
    pub fn diagnostics(&self) -> PathBuf {
        self.0.join("diagnostics")
    }

    /// Where a keeper leaves its [`crate::process::ProcessIdentity`] as JSON, so that it is found when PID 1 is another.
    #[must_use]
    pub fn keeper_pid(&self) -> PathBuf {
        self.0.join("keeper.pid")
    }

    /// Where a keeper announces that the pod is being shut down, see [`crate::pod::Shutdown`].
    #[must_use]
    pub fn shutdown(&self) -> PathBuf {
        self.0.join("shutdown.json")
    }

    /// Whether files can be created in it, tried out.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_to_write(&self) -> std::io::Result<()> {
        crate::private::create_dir_all(&self.0)?;
        tempfile::tempfile_in(&self.0).map(drop)
    }

    /// The embedded ledger.
    #[must_use]
    pub fn embedded_ledger(&self) -> PathBuf {
        self.0.join("ledger.db")
    }

    /// `/var/lib/stopover` if it can be written to, else the XDG state directory, else one in the temporary directory
    /// (a uid without passwd entry has `HOME=/`).
    fn default_path() -> PathBuf {
        let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
        let system = PathBuf::from("/var/lib/stopover");
        if writable(&system) {
            return system;
        }
        let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").filter(|home| home != Path::new("/")).map(|home| home.join(".local/state")))
            .unwrap_or_else(env::temp_dir)
            .join("stopover")
    }
}

/// What is wrong with the flags or the environment. No text repeats a value that may be secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable or flag has a value that cannot be used.
    #[error("{name}: {reason}")]
    Invalid {
        /// The variable, flag or key.
        name: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A file named by a `..._FILE` variable cannot be read.
    #[error("{name} names {}, which cannot be read: {source}", .path.display())]
    SecretFile {
        /// The variable.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Config {
    /// Puts together what flags, environment and `stopover.yaml` say. A broken `stopover.yaml` is not an error here: the catalog shows it.
    ///
    /// # Errors
    /// [`ConfigError`] for a value that cannot be used.
    pub fn load(flags: Flags) -> Result<Self, ConfigError> {
        let catalog = flags
            .catalog
            .or_else(|| variable("STOPOVER_CATALOG").map(PathBuf::from))
            .unwrap_or_else(|| "stopover.yaml".into());
        let catalog = std::path::absolute(&catalog).unwrap_or(catalog);
        let settings = Project::load(&catalog).map(|project| project.settings).unwrap_or_default();
        let state_dir = StateDir::chosen(flags.state_dir);

        let database = secret("MONGODB_URI", "MONGODB_URI_FILE")?;
        if let Some(Found { secret: uri, .. }) = &database {
            match LedgerAddress::parse(uri.expose()) {
                Ok(LedgerAddress::Mongo(_)) => {}
                _ => {
                    return Err(ConfigError::Invalid {
                        name: "MONGODB_URI",
                        reason: "a connection string starts with `mongodb://` or `mongodb+srv://`".to_owned(),
                    });
                }
            }
        }
        let (ledger, is_ledger_in_file) = ledger_address(flags.ledger.as_deref(), database.as_ref(), &state_dir)?;
        let is_database_in_file = database.as_ref().is_some_and(|found| found.is_in_file);
        let in_files = [("MONGODB_URI", is_database_in_file), ("STOPOVER_LEDGER", is_ledger_in_file)];
        let from_files = in_files.into_iter().filter_map(|(name, is_in_file)| is_in_file.then_some(name)).collect();

        let environment = variable("STOPOVER_ENVIRONMENT")
            .map(EnvironmentName::new)
            .transpose()
            .map_err(|reason| ConfigError::Invalid { name: "STOPOVER_ENVIRONMENT", reason })?;
        let operator = flags
            .operator
            .or_else(|| variable("STOPOVER_OPERATOR"))
            .or_else(|| variable("USER"))
            .map(|name| name.trim().chars().filter(|c| !c.is_control()).take(64).collect::<String>())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "unknown".to_owned());
        let read_only = ReadOnly::chosen(flags.read_only, variable("STOPOVER_READ_ONLY").as_deref())?;
        let Settings { lease, grace, notify } = settings;
        Ok(Self {
            catalog,
            state_dir,
            ledger,
            database: database.map(|found| found.secret),
            from_files,
            environment,
            log_format: LogFormat::chosen()?,
            diagnostics: Verbosity::chosen()?,
            mirror: MirrorTarget::parse(&variable("STOPOVER_MIRROR").unwrap_or_default()),
            actor: Actor { operator, place: Arc::new(Place::current()) },
            read_only,
            lease: lease_terms(lease)?,
            grace: duration("STOPOVER_GRACE")?.or(grace).unwrap_or(Self::DEFAULT_GRACE),
            notify: notify.into(),
        })
    }

    /// Why `what` is not done here, and where it is, when this process only looks; see [`ReadOnly::refusal`].
    ///
    /// # Errors
    /// The whole of that in a sentence.
    pub fn may_change(&self, what: &str, command: Option<&str>) -> Result<(), String> {
        self.read_only.map_or(Ok(()), |read_only| Err(read_only.refusal(what, command)))
    }

    /// See [`Config::grace`].
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

    /// The environment variables that make another process of this binary load the same configuration, wherever it works. They hold
    /// secrets: they go into a child's environment, never onto a command line.
    #[must_use]
    pub fn as_environment(&self) -> Vec<(&'static str, std::ffi::OsString)> {
        let ledger = match &self.ledger {
            LedgerAddress::Mongo(uri) => uri.expose().into(),
            LedgerAddress::Sqlite(path) => {
                let mut text = std::ffi::OsString::from("sqlite:");
                text.push(absolute(path));
                text
            }
        };
        let mut variables = vec![
            ("STOPOVER_CATALOG", self.catalog.clone().into_os_string()),
            ("STOPOVER_STATE_DIR", self.state_dir.path().as_os_str().to_owned()),
            ("STOPOVER_LEDGER", ledger),
            ("STOPOVER_MIRROR", self.mirror.as_variable().into_os_string()),
            ("STOPOVER_LOG_FORMAT", self.log_format.as_str().into()),
            ("STOPOVER_OPERATOR", self.actor.operator.clone().into()),
            ("STOPOVER_LEASE", humantime::format_duration(self.lease.length()).to_string().into()),
            ("STOPOVER_LEASE_RENEWAL", humantime::format_duration(self.lease.renewal()).to_string().into()),
            ("STOPOVER_LEASE_MARGIN", humantime::format_duration(self.lease.margin()).to_string().into()),
            ("STOPOVER_GRACE", humantime::format_duration(self.grace).to_string().into()),
        ];
        if let Some(uri) = &self.database {
            variables.push(("MONGODB_URI", uri.expose().into()));
        }
        if let Some(environment) = &self.environment {
            variables.push(("STOPOVER_ENVIRONMENT", environment.as_str().into()));
        }
        variables
    }
}

/// What the environment says of the lease, over `stopover.yaml`.
fn lease_terms(project: LeaseSettings) -> Result<LeaseTerms, ConfigError> {
    const LENGTH: &str = "STOPOVER_LEASE";
    const RENEWAL: &str = "STOPOVER_LEASE_RENEWAL";
    const MARGIN: &str = "STOPOVER_LEASE_MARGIN";
    let environment =
        LeaseSettings { length: duration(LENGTH)?, renewal: duration(RENEWAL)?, margin: duration(MARGIN)? };
    LeaseTerms::new(environment.over(project)).map_err(|error| ConfigError::Invalid {
        name: match error {
            LeaseTermsError::Length(_) => "STOPOVER_LEASE, or `lease` of stopover.yaml",
            LeaseTermsError::Renewal(_) => "STOPOVER_LEASE_RENEWAL, or `renewal` of stopover.yaml",
            LeaseTermsError::Margin { .. } => "STOPOVER_LEASE_MARGIN, or `margin` of stopover.yaml",
            LeaseTermsError::Crowded { .. } => {
                "STOPOVER_LEASE, STOPOVER_LEASE_RENEWAL and STOPOVER_LEASE_MARGIN, or `lease`, `renewal` and `margin` of stopover.yaml"
            }
        },
        reason: error.to_string(),
    })
}

/// A secret that was found.
struct Found {
    secret: Secret,
    /// In a file that is there for every process, whatever its working directory.
    is_in_file: bool,
}

/// The ledger's address, and whether it was found in a file.
fn ledger_address(
    flag: Option<&str>,
    database: Option<&Found>,
    state_dir: &StateDir,
) -> Result<(LedgerAddress, bool), ConfigError> {
    if let Some(text) = flag {
        if uri_password(text).is_some() {
            return Err(ConfigError::Invalid {
                name: "--ledger",
                reason: "a password on a command line can be read by every process here (`ps`); pass the address in STOPOVER_LEDGER, or in a file by STOPOVER_LEDGER_FILE".to_owned(),
            });
        }
        let address = LedgerAddress::parse(text);
        return address
            .map(|address| (address, false))
            .map_err(|reason| ConfigError::Invalid { name: "--ledger", reason });
    }
    match (secret("STOPOVER_LEDGER", "STOPOVER_LEDGER_FILE")?, database) {
        (Some(Found { secret, is_in_file }), _) => LedgerAddress::parse(secret.expose())
            .map(|address| (address, is_in_file))
            .map_err(|reason| ConfigError::Invalid { name: "STOPOVER_LEDGER", reason }),
        (None, Some(Found { secret, is_in_file })) => Ok((LedgerAddress::Mongo(secret.clone()), *is_in_file)),
        (None, None) => Ok((LedgerAddress::Sqlite(state_dir.embedded_ledger()), false)),
    }
}

/// The same path, seen from any working directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// What this service is called by whoever looks at it from outside, unless it is given another name.
pub(crate) const SERVICE: &str = "stopover";

/// The name that this service is given, if it is.
pub(crate) fn service_name() -> Option<String> {
    variable("OTEL_SERVICE_NAME")
}

/// A secret from a variable, or from the file that another variable names (a mounted file is not readable through `/proc/1/environ`).
fn secret(name: &'static str, file_name: &'static str) -> Result<Option<Found>, ConfigError> {
    if let Some(value) = variable(name) {
        return Ok(Some(Found { secret: Secret::new(value), is_in_file: false }));
    }
    let Some(path) = variable(file_name).map(PathBuf::from) else {
        return Ok(None);
    };
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Found { secret: Secret::new(text.trim()), is_in_file: path.is_absolute() })),
        Err(source) => Err(ConfigError::SecretFile { name: file_name, path, source }),
    }
}

/// A variable that holds a duration, such as `30s`.
pub(crate) fn duration(name: &'static str) -> Result<Option<Duration>, ConfigError> {
    variable(name).map(|text| humantime::parse_duration(&text)).transpose().map_err(|error| ConfigError::Invalid {
        name,
        reason: format!("{error}; a duration is written like `30s` or `2m`"),
    })
}
