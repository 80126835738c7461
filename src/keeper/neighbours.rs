//! Who else of this binary lives in this pod.
//!
//! It is seen in `/proc` at every look and written down nowhere, so nothing can be forgotten, whoever started it and whatever was
//! killed in between. A pod is a mount namespace here: a container has its own, also where containers share their processes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::launch::{HELPER_VERB, WORKER_VERB};
use crate::process::{self, ProcessIdentity};
use crate::worker::guard;

use super::children::{Attempt, INTERRUPTED_VERB};

/// The verb of the keeper role.
pub const VERB: &str = "keep";

/// A process of this binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Which.
    pub process: ProcessIdentity,
    /// What it does here.
    pub role: Role,
}

/// What a process of this binary does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It executes an attempt of a run.
    Worker(Task),
    /// It is about to start a worker.
    Detach,
    /// It keeps a pod.
    Keeper,
    /// It belongs to a worker or to a keeper, who looks after it.
    Servant,
    /// Somebody works with it: a console, a follower of a log, a script, a recovery.
    Attached,
}

/// What a worker executes, from its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which attempt of which run.
    pub attempt: Attempt,
    /// The migration, if the worker was told for those who look.
    pub migration: Option<String>,
}

/// What makes a process one of this pod and of this binary.
pub struct Neighbourhood {
    namespace: PathBuf,
    /// Device and inode.
    file: Option<(u64, u64)>,
    path: PathBuf,
}

impl Neighbourhood {
    /// Where this process is.
    #[must_use]
    pub fn current() -> Self {
        let me = Path::new("/proc/self");
        Self {
            namespace: fs::read_link(me.join("ns/mnt")).unwrap_or_default(),
            file: file_of(me),
            path: path_of(me).unwrap_or_default(),
        }
    }

    /// Everybody who lives here but this process.
    #[must_use]
    pub fn look(&self) -> Vec<Neighbour> {
        let me = rustix::process::getpid().as_raw_nonzero().get();
        process::pids().filter(|&pid| pid != me).filter_map(|pid| self.neighbour(pid)).collect()
    }

    /// The process with this pid, if it lives here.
    #[must_use]
    pub fn neighbour(&self, pid: i32) -> Option<Neighbour> {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        // The identity comes first: if the pid is reused meanwhile, what is read below belongs to a process that is not meant.
        let process = ProcessIdentity::of(pid)?;
        let is_ours = (self.file.is_some() && file_of(&directory) == self.file)
            || path_of(&directory).is_some_and(|path| path == self.path);
        if !is_ours || fs::read_link(directory.join("ns/mnt")).ok()? != self.namespace {
            return None;
        }
        let line = command_line(pid)?;
        if process::parent_of(pid).and_then(command_line).is_some_and(|of_parent| of_parent == line) {
            // A child that has not yet become the program that it is started for. It belongs to its parent.
            return None;
        }
        let words: Vec<_> = line.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).filter(|word| !word.is_empty()).collect();
        Some(Neighbour { process, role: role(words.get(1..).unwrap_or_default()) })
    }
}

fn command_line(pid: i32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/cmdline")).ok()
}

fn file_of(process: &Path) -> Option<(u64, u64)> {
    fs::metadata(process.join("exe")).ok().map(|file| (file.dev(), file.ino()))
}

/// Also of a binary that was replaced since: those that started before and after belong together.
fn path_of(process: &Path) -> Option<PathBuf> {
    let path = fs::read_link(process.join("exe")).ok()?;
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(before) => Some(PathBuf::from(before)),
        None => Some(path),
    }
}

fn role(arguments: &[&str]) -> Role {
    let mut rest = arguments;
    let verb = loop {
        match rest {
            // Options of all commands that take their value as the next word.
            ["--catalog" | "--state-dir" | "--ledger" | "--operator", _, after @ ..] => rest = after,
            [option, after @ ..] if option.starts_with('-') => rest = after,
            [verb, after @ ..] => {
                rest = after;
                break *verb;
            }
            [] => break "",
        }
    };
    match verb {
        WORKER_VERB => task(rest).map_or(Role::Servant, Role::Worker),
        HELPER_VERB => Role::Detach,
        VERB => Role::Keeper,
        guard::VERB | INTERRUPTED_VERB => Role::Servant,
        _ => Role::Attached,
    }
}

fn task(arguments: &[&str]) -> Option<Task> {
    let [run, "--attempt", attempt, rest @ ..] = arguments else { return None };
    let attempt = Attempt { run: run.parse().ok()?, number: attempt.parse().ok()? };
    let migration = match rest {
        ["--migration", name, ..] => Some((*name).to_owned()),
        _ => None,
    };
    Some(Task { attempt, migration })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_told_by_the_command_line() {
        let run = "0193f2a0-1111-7abc-8def-0123456789ab";
        let attempt = Attempt { run: run.parse().unwrap(), number: 3 };
        let worker =
            |migration: Option<&str>| Role::Worker(Task { attempt, migration: migration.map(ToOwned::to_owned) });
        assert_eq!(role(&["worker", run, "--attempt", "3"]), worker(None));
        assert_eq!(role(&["worker", run, "--attempt", "3", "--migration", "keep"]), worker(Some("keep")));
        assert_eq!(role(&["detach", run, "--attempt", "3"]), Role::Detach);
        assert_eq!(role(&["guard"]), Role::Servant);
        assert_eq!(role(&["--state-dir", "worker", "keep", "--grace", "9s"]), Role::Keeper);
        assert_eq!(role(&["--ascii"]), Role::Attached);
        assert_eq!(role(&[]), Role::Attached);
        assert_eq!(role(&["run", "keep"]), Role::Attached);
        assert_eq!(role(&["recover"]), Role::Attached);
    }
}
