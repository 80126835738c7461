//! What a keeper starts: short-lived children of the same binary, for everything that needs the ledger.

use std::fmt;
use std::io::{self, PipeReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::str::FromStr;

use crate::config::Config;
use crate::ledger::RunId;
use crate::process::own_binary;

/// The hidden verb of the child that reports attempts whose workers had to be killed.
pub const INTERRUPTED_VERB: &str = "interrupted";

/// An attempt of a run, written `RUN:NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The run.
    pub run: RunId,
    /// Counts from 1.
    pub number: u32,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.run, self.number)
    }
}

impl FromStr for Attempt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text
            .split_once(':')
            .and_then(|(run, number)| Some(Self { run: run.parse().ok()?, number: number.parse().ok()? }));
        parsed.ok_or_else(|| "an attempt is given as RUN:NUMBER".to_owned())
    }
}

/// Starts a child with the keeper's own output, and gives back its pid. It is reaped like everything else.
///
/// # Errors
/// What the system says.
pub fn start(config: &Config, arguments: &[String]) -> io::Result<i32> {
    spawn(&mut command(config, arguments))
}

/// Starts a child, and gives back its pid with the reading ends of its standard output and error. It is reaped like everything else.
///
/// # Errors
/// What the system says.
pub fn start_heard(config: &Config, arguments: &[String]) -> io::Result<(i32, PipeReader, PipeReader)> {
    let (stdout, its_stdout) = io::pipe()?;
    let (stderr, its_stderr) = io::pipe()?;
    // The command holds the writing ends, and is gone before the first read: the child alone decides when the output ends.
    let pid = spawn(command(config, arguments).stdout(its_stdout).stderr(its_stderr))?;
    Ok((pid, stdout, stderr))
}

fn command(config: &Config, arguments: &[String]) -> Command {
    let mut command = Command::new(own_binary());
    // A keeper lives for weeks, and what is in a secret's file is replaced meanwhile: a child reads it for itself.
    let variables = config.as_environment().into_iter().filter(|(name, _)| !config.from_files.contains(name));
    command.args(arguments).envs(variables).current_dir("/").stdin(Stdio::null());
    if config.read_only.is_some() {
        command.env("STOPOVER_READ_ONLY", "1");
    }
    // An interrupt at a terminal is for the keeper, which asks its children itself.
    command.process_group(0);
    command
}

fn spawn(command: &mut Command) -> io::Result<i32> {
    let child = command.spawn()?;
    i32::try_from(child.id()).map_err(io::Error::other)
}
