//! Where a process of this binary notes what happens to it: each role has its place, and none of them is the screen.
//!
//! | role | where |
//! |---|---|
//! | console, wall display | `diagnostics/console.DATE.log` in the state directory: [`of_console`] |
//! | commands that change something | `diagnostics/command.DATE.log`: [`of_command`] |
//! | worker | the run's log, and a backend that is told: [`pass_on`]; what it says once the end is reported, in `workers/RUN.log` |
//! | keeper and its children | the output of the pod, see [`crate::voice`] |
//!
//! All of them are events of `tracing` whose targets begin with `stopover`. What other crates say stays out: a database's driver says
//! what is in commands and documents. A worker has no subscriber unless somebody is told.

mod daily;

use std::fmt;
use std::io;

use chrono::{SecondsFormat, Utc};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as lines};

use crate::config::Config;

use daily::Daily;

/// The target of what happens to a console.
pub const CONSOLE: &str = "stopover::console";
/// The target of what a command does.
pub const COMMAND: &str = "stopover::command";
/// Lines that may wait for the disk; more are left out.
const WAITING: usize = 4096;

/// Keeps notes until it is dropped, which takes a second at most.
pub struct Diagnostics {
    guard: Option<WorkerGuard>,
    left_out: ErrorCounter,
}

impl Drop for Diagnostics {
    fn drop(&mut self) {
        // A disk that did not take what there was is not waited for, nor complained of on a terminal.
        if self.left_out.dropped_lines() > 0 {
            std::mem::forget(self.guard.take());
        }
    }
}

/// Begins the notes of a console. Who only looks makes no state directory for them. `None` where they are off, or cannot be kept: nothing is the worse for it.
#[must_use]
pub fn of_console(config: &Config) -> Option<Diagnostics> {
    install(config, "console", config.read_only.is_none())
}

/// Begins the notes of a command, as [`of_console`] does; never makes a state directory for them alone.
#[must_use]
pub fn of_command(config: &Config) -> Option<Diagnostics> {
    install(config, "command", false)
}

fn install(config: &Config, name: &'static str, makes_state_dir: bool) -> Option<Diagnostics> {
    if config.diagnostics.level() == LevelFilter::OFF {
        return None;
    }
    if !makes_state_dir && !config.state_dir.path().is_dir() {
        return None;
    }
    let file = Daily::open(config.state_dir.diagnostics(), name).ok()?;
    let (layer, diagnostics) = note_in(file, config.diagnostics.level());
    tracing_subscriber::registry().with(layer).try_init().ok()?;
    Some(diagnostics)
}

/// Passes events on to `layer`, for the rest of this process: for a worker, which has no other subscriber.
pub fn pass_on(layer: impl Layer<Registry> + Send + Sync) {
    let events = layer.with_filter(Targets::new().with_target("stopover", LevelFilter::INFO));
    // It fails only where there is a subscriber already, which a worker has not.
    let _ = tracing_subscriber::registry().with(events).try_init();
}

/// What writes events as lines, on a thread of its own.
fn note_in(file: impl io::Write + Send + 'static, level: LevelFilter) -> (impl Layer<Registry>, Diagnostics) {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(WAITING).thread_name("diagnostics");
    let (writer, guard): (NonBlocking, _) = builder.finish(file);
    let left_out = writer.error_counter();
    let layer = lines::layer()
        .with_ansi(false)
        .log_internal_errors(false)
        .with_timer(Clock { pid: std::process::id() })
        .with_writer(writer)
        .with_filter(Targets::new().with_target("stopover", level));
    (layer, Diagnostics { guard: Some(guard), left_out })
}

/// The time, and whose line it is: consoles share a file.
struct Clock {
    pid: u32,
}

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{} [{}]", Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true), self.pid)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_stopovers_own_events_are_noted_and_only_those_grave_enough() {
        let paper = Paper::default();
        let (layer, diagnostics) = note_in(paper.clone(), LevelFilter::INFO);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(target: "stopover::console", run = 8, "it begins");
            tracing::debug!(target: "stopover::console", "too little");
            tracing::error!(target: "mongodb::command", "{{ password: s3cret }}");
            tracing::error!(target: "rustls", "a handshake");
        });
        drop(diagnostics);
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains(&format!("Z [{}]  INFO stopover::console: it begins run=8", std::process::id())),
            "{text}"
        );
    }
}
