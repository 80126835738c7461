//! How a worker is detached from everything that could take it down.
//!
//! A short-lived helper process of the same binary does it in two steps: here it is started, in [`leave`] it does its part. It becomes the
//! leader of a new session, so that no hang-up of a terminal reaches it, starts the worker with nothing inherited but an environment, and
//! ends, so that the worker becomes a child of PID 1.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::catalog::MigrationId;
use crate::config::Config;
use crate::ledger::RunId;
use crate::private;
use crate::process::own_binary;
use crate::secret::Secret;
use crate::worker::environment::{is_param, param_variable};

/// The hidden verb of the helper role.
pub const HELPER_VERB: &str = "detach";
/// The hidden verb of the worker role.
pub const WORKER_VERB: &str = "worker";

/// What a worker is started for.
#[derive(Clone, Debug)]
pub struct WorkerTask {
    /// The run.
    pub run: RunId,
    /// The attempt it is to claim.
    pub attempt: u32,
    /// What it executes: only for those who look at a process list, the pod's keeper among them.
    pub migration: MigrationId,
    /// Secret params by name: they reach the worker through its environment only.
    pub secrets: Vec<(String, Secret)>,
}

/// Why no worker was started.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// The system refused to start the helper.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The helper could not start the worker; its own words.
    #[error("{0}")]
    Helper(String),
}

/// Starts the worker. Blocks for the few milliseconds that the helper role needs.
///
/// # Errors
/// See [`DetachError`].
pub fn detach(config: &Config, task: &WorkerTask) -> Result<(), DetachError> {
    let mut helper = Command::new(own_binary());
    helper
        .arg(HELPER_VERB)
        .args(arguments(task.run, task.attempt, Some(task.migration.as_str())))
        .stdin(Stdio::null())
        .current_dir("/");
    // A param of the run in whose program this launch happens is not one of the new run.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_param(name)) {
        helper.env_remove(name);
    }
    helper.envs(config.as_environment());
    helper.envs(task.secrets.iter().map(|(name, secret)| (param_variable(name), secret.expose())));
    // Its output ends with it: the worker's own goes elsewhere.
    let output = helper.output()?;
    // The pid is the proof; the status alone could be lost where SIGCHLD is ignored.
    if String::from_utf8_lossy(&output.stdout).trim().parse::<i32>().is_ok() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.trim().trim_start_matches("error: ");
    Err(DetachError::Helper(if words.is_empty() {
        format!("the helper that starts workers ended with {}", output.status)
    } else {
        words.to_owned()
    }))
}

/// The helper's part; gives back the worker's pid. Must be called while this process has a single thread.
///
/// # Errors
/// What the system refused.
pub fn leave(config: &Config, run: RunId, attempt: u32, migration: Option<&str>) -> io::Result<u32> {
    rustix::process::setsid()?;
    // Whatever `kubectl exec` or a shell left open would be held open for the life of the run, and an exec session would not end.
    close_fds::set_fds_cloexec(3, &[]);
    let log = worker_log(&config.state_dir.worker_log(run))?;
    let worker = Command::new(own_binary())
        .arg(WORKER_VERB)
        .args(arguments(run, attempt, migration))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(worker.id())
}

fn arguments(run: RunId, attempt: u32, migration: Option<&str>) -> Vec<String> {
    let mut arguments = vec![run.to_string(), "--attempt".to_owned(), attempt.to_string()];
    arguments.extend(migration.into_iter().flat_map(|name| ["--migration".to_owned(), name.to_owned()]));
    arguments
}

/// A worker must start even if its own log cannot be written: the run's state is told by the ledger.
fn worker_log(path: &Path) -> io::Result<File> {
    let open = || {
        private::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)
    };
    open().or_else(|_| OpenOptions::new().write(true).open("/dev/null"))
}
