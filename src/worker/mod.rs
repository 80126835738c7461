//! One run in its own process.
//!
//! ```text
//! program ──stdout, stderr──> pump (thread) ──> log file ──> archive ──> ledger
//!                              │  └──> mirror (thread) ──> PID 1's stdout
//!                              └ protocol ──> board ──> heart ──> ledger
//! supervise: wish, shutdown, lease, timeout ──> SIGTERM, grace, SIGKILL ──> outcome ──> report ──> ledger
//! guard (process): worker dead, lease not renewed ──> SIGKILL to the session
//! ```
//!
//! The pump and the mirror are threads that wait for nobody. Everything that talks to the ledger is a task of one
//! current-thread runtime, and the program is stopped before the right to run it ends, whatever the ledger does.
//!
//! Once the end is reported the next attempt may begin, here and at once, while the worker stays a while to tell others. Before it reports, it
//! seals the log that they share; what it says later goes to its own.

mod answering;
mod attempt;
mod audience;
mod board;
mod claim;
mod company;
mod contacts;
mod course;
pub mod environment;
mod framing;
pub mod guard;
mod guarding;
mod heart;
mod herald;
mod mask;
mod memory;
mod outcome;
mod program;
mod protocol;
mod pump;
mod remaining;
mod report;
mod signals;
mod steps;
pub mod strays;
mod supervise;
mod tail;
mod unescape;
mod warnings;

use std::time::Duration;

use crate::config::Config;
use crate::ledger::{LedgerError, RunId};
use crate::telemetry;

use guard::Guard;
use signals::Signals;

/// How long a worker has from the record of its run to its claim. Starting takes milliseconds; a busy node may need more.
pub const CLAIM_WITHIN: Duration = Duration::from_secs(30);

/// Why a worker ended without having executed its attempt to a reported end. It is read in the worker's own log only.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The ledger could not be reached, or refuses the attempt.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Another attempt holds the run.
    #[error("{0}; nothing more was written")]
    Fenced(String),
    /// The outcome is known here only.
    #[error("the end could not be reported: {0}")]
    Unreported(String),
}

/// Executes one attempt of a run, from its claim to the report of its end. Must be called before any other thread exists.
///
/// # Errors
/// See [`WorkerError`].
pub fn run(config: &Config, run: RunId, attempt: u32) -> Result<(), WorkerError> {
    end_on_panic();
    let system = |what| move |source| WorkerError::System { what, source };
    let mut guard = Guard::post().map_err(system("the guard cannot be posted"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("the runtime cannot be started"))?;
    let result = runtime.block_on(async {
        let mut signals = Signals::take_over().map_err(system("signals cannot be handled"))?;
        attempt::execute(config, run, attempt, &mut signals, &mut guard).await
    });
    guard.relieve();
    // A task that hangs in the ledger's driver must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// A worker with a broken part must not look alive: it ends, whichever of its threads panicked, and its guard ends the program.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        // Nothing of the run depends on what is told to a backend, or to people.
        let thread = std::thread::current();
        let mut telling = telemetry::THREADS.iter().chain([&crate::notify::THREAD]);
        if thread.name().is_some_and(|name| telling.any(|of| name.starts_with(of))) {
            return;
        }
        // Not `abort`: a core dump holds secrets.
        std::process::exit(101);
    }));
}
