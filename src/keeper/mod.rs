//! The process a pod idles in: its PID 1.
//!
//! ```text
//! SIGCHLD ──> events ──> every orphan is reaped
//! SIGTERM ──> shutdown ──> announced in a file ──> launches refuse, workers learn how long they have
//!                │  └──> neighbours: SIGTERM to every worker, console and follower of this pod
//!                └ time is over ──> SIGKILL ──> `interrupted` (child) ──> ledger
//! start ───> recovery ──> `recover` (child) ──> ledger
//! probes ──> probe: the exec probe's answer; listener: the same over HTTP
//! scrape ──> listener ──> `metrics` (child) ──> ledger, files of the workers
//! ```
//!
//! It holds no connection to anything and has no timer while nothing happens, so that it costs no processor time at all. What needs
//! the ledger is done by short-lived children of the same binary. It alone waits for processes: whatever dies in the pod is reaped in
//! one place, and nothing else here may wait for a child.

mod behalf;
mod children;
mod events;
mod listener;
mod neighbours;
mod post;
pub mod probe;
mod recovery;
mod scrape;
mod settings;
mod shutdown;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::{getpid, set_child_subreaper};

use crate::config::Config;
use crate::process::ProcessIdentity;
use crate::time::short_duration;
use crate::voice::Voice;

pub use behalf::{Ended, interrupt};
pub use children::{Attempt, INTERRUPTED_VERB};
use events::{Event, Events};
use listener::{Health, Listener};
pub use neighbours::VERB;
use post::{Post, PostError};
use recovery::Recovery;
pub use scrape::METRICS_VERB;
pub use settings::Settings;

/// Why a keeper could not begin, or ended without having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// There is one already.
    #[error(
        "a keeper is at work here already (pid {pid}, {}); a pod has one, and its state directory is its own", .file.display()
    )]
    Occupied {
        /// Its pid.
        pid: i32,
        /// Where it says so.
        file: PathBuf,
    },
    /// Nobody can ask it how it is.
    #[error(
        "{address} cannot be listened at: {source}; set STOPOVER_LISTEN (or --listen) to a free address, or leave it out"
    )]
    Listen {
        /// Where it should listen.
        address: SocketAddr,
        /// Why it cannot.
        source: io::Error,
    },
    /// The system refused something without which there is no keeper.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// Keeps the pod until it is asked to end. Must be called before any other thread exists.
///
/// # Errors
/// See [`KeeperError`].
pub fn run(config: &Config, settings: &Settings) -> Result<(), KeeperError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .map_err(|source| KeeperError::System { what: "the runtime cannot be started", source })?;
    let result = runtime.block_on(keep(config, settings));
    // A probe that hangs on a dead disk must not keep the pod.
    runtime.shutdown_background();
    result
}

async fn keep(config: &Config, settings: &Settings) -> Result<(), KeeperError> {
    let mut events =
        Events::take_over().map_err(|source| KeeperError::System { what: "signals cannot be handled", source })?;
    let voice = Voice::on_stdout(config.log_format);
    let me = ProcessIdentity::current();
    let post = match Post::take(&config.state_dir, me) {
        Ok(post) => Some(post),
        Err(PostError::Occupied { pid, file }) => return Err(KeeperError::Occupied { pid, file }),
        Err(PostError::Io(error)) => {
            // A pod without a keeper could not be attached to, to see what is wrong with it.
            voice.warn(format_args!(
                "warning: {} cannot be written to ({error}): nothing can be launched in this pod; set STOPOVER_STATE_DIR to a directory that can",
                config.state_dir.path().display()
            ));
            None
        }
    };
    if me.pid != 1 {
        // What is started below this process is reaped here all the same; where the system does not know of this, by PID 1.
        let _ = set_child_subreaper(Some(getpid()));
    }
    let listener = match settings.listen {
        None => None,
        Some(address) => match Listener::open(address, Health::of(config)).await {
            Ok(listener) => Some(listener),
            Err(source) => {
                if let Some(post) = post {
                    post.leave();
                }
                return Err(KeeperError::Listen { address, source });
            }
        },
    };
    voice.say(format_args!(
        "keeper {} of pod {}, pid {}: it reaps what is orphaned, and has {} to stop all workers when the pod ends",
        config.actor.place.build(),
        config.actor.place.pod,
        me.pid,
        short_duration(settings.grace)
    ));
    if let Some(listener) = &listener {
        voice.say(format_args!("answers at http://{}/livez, /readyz and /metrics", listener.address()));
    }

    let mut recovery = Recovery::new(config);
    recovery.start(&voice);
    let signal = loop {
        match events.next(recovery.due()).await {
            Event::Asked(signal) => break signal,
            Event::Died(deaths) => recovery.hear(&deaths, &voice),
            Event::Due => recovery.start(&voice),
        }
    };
    if let Some(listener) = &listener {
        listener.health().stopping();
    }
    shutdown::shut_down(config, settings.grace, signal, &mut events, &voice).await;
    if let Some(post) = post {
        post.leave();
    }
    Ok(())
}
