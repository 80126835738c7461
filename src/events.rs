//! Stopover's own events: how grave they are, what they are about, and how `tracing` gets to know of them.
//!
//! What is told in a run's log ([`RUN`]) and on the output of a pod ([`POD`]) is an event, too, so that whoever installs a subscriber
//! can pass it on. Without one, an event costs a comparison.

use tracing::Level as Tracing;

use crate::catalog::MigrationId;
use crate::ledger::{Run, RunId};

/// The target of what a run's log tells. Fields: `stopover.run`, `stopover.migration`, `stopover.attempt`.
pub const RUN: &str = "stopover::run";
/// The target of what is told on the output of a pod. The same fields, where it is about a run.
pub const POD: &str = "stopover::pod";

/// How grave it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// As it should be.
    #[default]
    Info,
    /// Worth a look.
    Warn,
    /// Something has failed.
    Error,
}

impl Level {
    /// The word for it, as records have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The run.
    pub run: RunId,
    /// What it executes, where that is known.
    pub migration: Option<MigrationId>,
    /// Which attempt, where it is about one.
    pub attempt: Option<u32>,
}

impl Subject {
    /// The latest attempt of a run.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        Self { run: run.id, migration: Some(run.migration.clone()), attempt: Some(run.attempt) }
    }
}

/// The same event at each of the levels: a level is part of what `tracing` knows of a place in the code before anything happens there.
macro_rules! at_level {
    ($level:expr, $target:expr, $($event:tt)+) => {
        match $level {
            Level::Info => tracing::event!(target: $target, Tracing::INFO, $($event)+),
            Level::Warn => tracing::event!(target: $target, Tracing::WARN, $($event)+),
            Level::Error => tracing::event!(target: $target, Tracing::ERROR, $($event)+),
        }
    };
}

/// Something that a run's log tells.
pub fn of_run(level: Level, subject: &Subject, text: &str) {
    let Subject { run, migration, attempt } = subject;
    let migration = migration.as_ref().map(MigrationId::as_str);
    at_level!(
        level,
        RUN,
        stopover.run = %run,
        stopover.migration = migration,
        stopover.attempt = attempt,
        "{text}"
    );
}

/// Something that is told on the output of a pod.
pub fn of_pod(level: Level, subject: Option<&Subject>, text: &str) {
    let run = subject.map(|subject| tracing::field::display(subject.run));
    let migration = subject.and_then(|subject| subject.migration.as_ref()).map(MigrationId::as_str);
    let attempt = subject.and_then(|subject| subject.attempt);
    at_level!(level, POD, stopover.run = run, stopover.migration = migration, stopover.attempt = attempt, "{text}");
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

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

    impl MakeWriter<'_> for Paper {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn an_event_has_its_level_its_target_and_what_it_is_about() {
        let paper = Paper::default();
        let subscriber = tracing_subscriber::fmt().with_writer(paper.clone()).with_ansi(false).without_time().finish();
        let run: RunId = "0199e2c4-7c1e-7d3a-9b57-0f6f2a1c4d5e".parse().unwrap();
        let subject = Subject { run, migration: Some(MigrationId::new("pay").unwrap()), attempt: Some(2) };
        tracing::subscriber::with_default(subscriber, || {
            of_run(Level::Error, &subject, "failed");
            of_pod(Level::Warn, Some(&Subject { attempt: None, ..subject }), "is lost");
            of_pod(Level::Info, None, "no run is unfinished");
        });
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let about = format!("stopover.run={run} stopover.migration=\"pay\"");
        let expected = [
            format!("ERROR stopover::run: failed {about} stopover.attempt=2"),
            format!(" WARN stopover::pod: is lost {about}"),
            " INFO stopover::pod: no run is unfinished".to_owned(),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }
}
