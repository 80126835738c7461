//! A catalog and a state directory of their own, and the real binary working on them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::eventually;

/// The binary under test.
pub const STOPOVER: &str = env!("CARGO_BIN_EXE_stopover");

/// How long anything that should happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// See the module. Dropping it removes the files; runs that a test leaves behind are the test's to end.
pub struct Scene {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

impl Scene {
    /// An empty catalog of the manifests and executables in `migrations/`, with an embedded ledger.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("migrations")).unwrap();
        fs::write(directory.path().join("stopover.yaml"), "catalog:\n  - files: migrations/*\n").unwrap();
        Self { directory, variables: Vec::new() }
    }

    /// Adds an executable shell script as `migrations/NAME.sh`.
    pub fn script(self, name: &str, body: &str) -> Self {
        self.add_script(name, body);
        self
    }

    /// The same for a scene that is in use.
    pub fn add_script(&self, name: &str, body: &str) {
        let path = self.path().join("migrations").join(format!("{name}.sh"));
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Adds a manifest as `migrations/NAME.yaml`.
    pub fn manifest(self, name: &str, text: &str) -> Self {
        fs::write(self.path().join("migrations").join(format!("{name}.yaml")), text).unwrap();
        self
    }

    /// Sets a variable for every command of this scene.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// The directory of `stopover.yaml`.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The environment of every command of this scene: the machine's, without anything that could point elsewhere.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut environment = vec![
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
            ("HOME".to_owned(), self.path().display().to_string()),
            ("STOPOVER_CATALOG".to_owned(), self.path().join("stopover.yaml").display().to_string()),
            ("STOPOVER_STATE_DIR".to_owned(), self.state().display().to_string()),
            ("STOPOVER_OPERATOR".to_owned(), "ada".to_owned()),
            ("STOPOVER_POD".to_owned(), "pod-a".to_owned()),
            ("STOPOVER_MIRROR".to_owned(), "off".to_owned()),
        ];
        environment.extend(self.variables.iter().cloned());
        environment
    }

    /// A command of the binary on this scene.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(STOPOVER);
        command.args(arguments).env_clear().envs(self.environment()).current_dir(self.path());
        command
    }

    /// Runs a command to its end.
    pub fn stopover(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.command(arguments).output().unwrap())
    }

    /// Runs a command that must succeed, and returns its standard output.
    #[track_caller]
    pub fn must(&self, arguments: &[&str]) -> String {
        let ended = self.stopover(arguments);
        assert_eq!(ended.status, 0, "stopover {}: {}{}", arguments.join(" "), ended.stdout, ended.stderr);
        ended.stdout
    }

    /// Runs a command that must succeed, and reads its standard output as JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.must(arguments)).unwrap()
    }

    /// Launches a migration and returns the run's id.
    #[track_caller]
    pub fn launch(&self, arguments: &[&str]) -> String {
        let printed = self.must(&[&["run"], arguments].concat());
        printed.lines().next().unwrap().to_owned()
    }

    /// The latest run of a migration, as `show --json` has it, events included.
    #[track_caller]
    pub fn run(&self, migration: &str) -> Value {
        self.json(&["show", migration, "--json"])["runs"][0].clone()
    }

    /// What the workers of the latest run of a migration said for themselves, when the log of the run was closed.
    pub fn worker_log(&self, migration: &str) -> String {
        let path = self.state().join("workers").join(format!("{}.log", self.run(migration)["id"].as_str().unwrap()));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// The file of its embedded ledger, for what no command does.
    pub fn ledger(&self) -> rusqlite::Connection {
        let file = rusqlite::Connection::open(self.state().join("ledger.db")).unwrap();
        file.busy_timeout(PATIENCE).unwrap();
        file
    }

    /// Kills the worker of the latest run of a migration, or sends it another signal.
    #[track_caller]
    pub fn signal_worker(&self, migration: &str, signal: Signal) {
        let pid = self.run(migration)["pid"].as_i64().expect("a worker has claimed it");
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
    }

    /// Waits until the latest run of a migration is in one of some states, and returns it.
    #[track_caller]
    pub fn until(&self, migration: &str, states: &[&str]) -> Value {
        eventually(&format!("{migration} is {}", states.join(" or ")), PATIENCE, || {
            Some(self.run(migration)).filter(|run| states.contains(&run["state"].as_str().unwrap_or_default()))
        })
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; 128 and more for a signal.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Ended {
    /// What came of a command.
    pub fn of(output: &Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        Self {
            status: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default()),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
