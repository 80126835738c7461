//! Why a run failed.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a run failed, and the last that its program said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What went wrong.
    pub cause: FailureCause,
    /// The last lines on standard error (or on standard output, if there were none), oldest first, sanitised, secrets masked.
    #[serde(default)]
    pub last_lines: Vec<String>,
}

/// See [`Failure`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum FailureCause {
    /// The program ended with this status, which is neither 0 nor 75.
    Exit {
        /// 1 to 255.
        status: i32,
    },
    /// A signal that nobody of Stopover sent ended the program (9 without a wish is often the kernel, out of memory).
    Signal {
        /// Its number, see signal(7).
        signal: i32,
    },
    /// It took longer than its manifest allows and was stopped.
    Timeout {
        /// The manifest's limit in seconds.
        seconds: u64,
    },
    /// The program could not be started.
    Start {
        /// What the system said, naming the program.
        message: String,
    },
    /// A step of native work cannot go on.
    Step {
        /// What the step does, e.g. `backfill transactions`.
        title: String,
        /// What happened, and what to do about it.
        message: String,
    },
    /// The worker itself came upon an error that it could not work around.
    Worker {
        /// What and where.
        message: String,
    },
}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit { status } => write!(f, "exit status {status}"),
            Self::Signal { signal } => match signal_name(*signal) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {signal}"),
            },
            Self::Timeout { seconds } => {
                write!(f, "timed out after {}", crate::time::short_duration(Duration::from_secs(*seconds)))
            }
            Self::Step { title, message } => write!(f, "{title}: {message}"),
            Self::Start { message } | Self::Worker { message } => f.write_str(message),
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return None,
    })
}
