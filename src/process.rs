//! Processes of this machine: starting them, and identifying them so that a reused pid is never mistaken for the one that was meant.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A process: its pid together with its start time in clock ticks since boot (field 22 of `/proc/PID/stat`, see proc(5)).
///
/// A pid alone is reused by the kernel; the pair is not. It only means something in the pod that it was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The pid, in the pod's own namespace.
    pub pid: i32,
    /// Start time in clock ticks since boot.
    pub start_ticks: i64,
}

impl ProcessIdentity {
    /// This process.
    #[must_use]
    pub fn current() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self { pid, start_ticks: start_ticks(pid).unwrap_or_default() }
    }

    /// The process with this pid, if there is one and it is not a zombie.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        start_ticks(pid).map(|start_ticks| Self { pid, start_ticks })
    }

    /// Whether this very process still lives (a zombie does not).
    #[must_use]
    pub fn is_alive(self) -> bool {
        start_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// The path by which this process can start another of the same binary. When the file was replaced or removed (an update in
/// place), the kernel's own link still leads to the binary that runs.
#[must_use]
pub fn own_binary() -> PathBuf {
    let link = PathBuf::from("/proc/self/exe");
    let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    match std::env::current_exe() {
        Ok(path) if identity(&path).is_some_and(|file| Some(file) == identity(&link)) => path,
        _ => link,
    }
}

/// Whether another process executes the same binary.
#[must_use]
pub fn is_own_binary(pid: i32) -> bool {
    let identity = |path: String| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let own = identity("/proc/self/exe".to_owned());
    own.is_some() && identity(format!("/proc/{pid}/exe")) == own
}

/// Starts `command` in `directory`, in a process group of its own, with `environment` and nothing else of this process: its standard
/// input is empty unless `streams` says otherwise.
///
/// # Errors
/// A sentence that names the program and the directory.
pub fn start_group(
    command: &[String],
    directory: &Path,
    environment: &BTreeMap<OsString, OsString>,
    streams: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<Child, String> {
    let fail = |error: &dyn std::fmt::Display| {
        let program = command.first().map_or("(nothing)", String::as_str);
        format!("{program} cannot be started in {}: {error}", directory.display())
    };
    let (program, arguments) = command.split_first().ok_or_else(|| fail(&"the command is empty"))?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env_clear().envs(environment).stdin(Stdio::null()).process_group(0);
    streams(&mut command).spawn().map_err(|error| fail(&error))
}

/// The living processes of a process group.
#[must_use]
pub fn members_of_group(group: i32) -> Vec<i32> {
    processes_where(|stat| stat.group == group)
}

/// The living processes of a session.
#[must_use]
pub fn members_of_session(session: i32) -> Vec<i32> {
    processes_where(|stat| stat.session == session)
}

/// Whether this process leads the session it is in.
///
/// By `/proc`, where a session whose leader is outside this process namespace, as that of a command which `nsenter` or a runtime brought in,
/// has the number 0. `getsid` returns the same 0, which is no pid: `rustix` takes it for one.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn leads_its_session() -> io::Result<bool> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let stat = stat(own).ok_or_else(|| io::Error::other(format!("/proc/{own}/stat cannot be read: mount /proc")))?;
    Ok(stat.session == own)
}

/// Kills what `find` finds until it finds nothing: what is forked meanwhile is found in the next round.
///
/// # Errors
/// When something lives on after a second.
pub fn end_all(find: impl Fn() -> Vec<i32>) -> io::Result<()> {
    let mut left = Vec::new();
    for _ in 0..100 {
        left = find();
        if left.is_empty() {
            return Ok(());
        }
        for pid in left.iter().copied().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(10));
    }
    let pids = left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(io::Error::other(format!("processes live on although they were killed: {pids}")))
}

/// The pids that this process can see, of the living and of zombies.
pub fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn processes_where(wanted: impl Fn(&Stat) -> bool) -> Vec<i32> {
    pids().filter(|&pid| stat(pid).is_some_and(|stat| wanted(&stat))).collect()
}

/// The parent of a living process; `None` also for one that came from outside this process namespace.
#[must_use]
pub fn parent_of(pid: i32) -> Option<i32> {
    stat(pid).map(|stat| stat.parent).filter(|&parent| parent > 0)
}

fn start_ticks(pid: i32) -> Option<i64> {
    stat(pid).map(|stat| stat.start_ticks)
}

fn stat(pid: i32) -> Option<Stat> {
    // A process chooses its name, which need not be text.
    let text = fs::read(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    parse_stat(&String::from_utf8_lossy(&text))
}

/// What is read of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    group: i32,
    session: i32,
    start_ticks: i64,
}

/// A stat line of a process that is not a zombie; the command name in parentheses may itself hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    Some(Stat {
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
        start_ticks: fields.nth(15)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_its_pid_with_another_start_is_not() {
        let me = ProcessIdentity::current();
        assert!(me.is_alive());
        assert!(!ProcessIdentity { start_ticks: me.start_ticks + 1, ..me }.is_alive());
        assert_eq!(ProcessIdentity::of(me.pid), Some(me));
    }

    #[test]
    fn a_command_name_with_parentheses_does_not_shift_the_fields() {
        let fields = (4..=22).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(
            parse_stat(&format!("7 (a) b) c) S {fields} 23")),
            Some(Stat { parent: 4, group: 5, session: 6, start_ticks: 22 })
        );
        assert_eq!(parse_stat(&format!("7 (gone) Z {fields} 23")), None);
        assert_eq!(parse_stat("nonsense"), None);
    }
}
