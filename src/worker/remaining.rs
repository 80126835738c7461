//! Counting what is left to do, so that even a program that says nothing can be watched.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mongodb::error::{CommandError, ErrorKind};
use mongodb::options::{ClientOptions, ReadPreference, SelectionCriteria};
use mongodb::{Client, Namespace};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::catalog::{CommandTemplate, Remaining};
use crate::ledger::{Progress, RemainingCount};
use crate::process;
use crate::secret::Secret;
use crate::time::Timestamp;

use super::warnings::{Subject, Warnings};

/// How long one count may take in the database.
const COUNT_WITHIN: Duration = Duration::from_secs(5);
/// How long one count may take as a program: it may have to start an interpreter first.
const COMMAND_WITHIN: Duration = Duration::from_secs(30);
/// At most as often as this, and at most a tenth of the time is spent on counting.
const EVERY: Duration = Duration::from_secs(2);
/// A count that has not fallen for so long is stalled.
const STALLED_AFTER: Duration = Duration::from_mins(1);
/// The most a counting program may print.
const OUTPUT: u64 = 64 * 1024;

/// Something that counts.
pub enum Counter {
    /// A query.
    Query {
        /// Of this collection; made with the first count.
        database: Secret,
        /// Another database than the connection string's.
        name: Option<String>,
        /// Which collection.
        collection: String,
        /// What counts.
        filter: bson::Document,
        /// Connected at the first count.
        client: Option<Client>,
    },
    /// A program.
    Command {
        /// Program and arguments.
        command: Vec<String>,
        /// Where it runs.
        template: CommandTemplate,
        /// The environment of the migration's own program.
        environment: BTreeMap<OsString, OsString>,
    },
}

impl Counter {
    /// The counter that a manifest declares.
    ///
    /// # Errors
    /// When it counts in a database and there is none.
    pub fn new(
        remaining: &Remaining,
        database: Option<&Secret>,
        environment: &BTreeMap<OsString, OsString>,
        fill: impl FnOnce(&CommandTemplate) -> Vec<String>,
    ) -> Result<Self, String> {
        match remaining {
            Remaining::Count { database: name, collection, filter } => Ok(Self::Query {
                database: database.ok_or("it counts in MongoDB, and MONGODB_URI is not set")?.clone(),
                name: name.clone(),
                collection: collection.clone(),
                filter: filter.clone(),
                client: None,
            }),
            Remaining::Command(template) => Ok(Self::Command {
                command: fill(template),
                template: template.clone(),
                environment: environment.clone(),
            }),
        }
    }

    /// Counts once, within its time.
    ///
    /// # Errors
    /// A sentence on why there is no count.
    pub async fn count(&mut self) -> Result<i64, String> {
        match self {
            Self::Query { database, name, collection, filter, client } => {
                let client = match client {
                    Some(client) => client.clone(),
                    None => client.insert(connect(database).await?).clone(),
                };
                let database = match name {
                    Some(name) => client.database(name),
                    None => {
                        client.default_database().ok_or("MONGODB_URI names no database, and `remaining` none either")?
                    }
                };
                let collection = database.collection::<bson::RawDocumentBuf>(collection);
                let count = collection.count_documents(filter.clone()).max_time(COUNT_WITHIN);
                // The server stops counting by itself; the outer limit is for a server that does not answer at all.
                match timeout(COUNT_WITHIN * 2, count.into_future()).await {
                    Ok(Ok(count)) => Ok(i64::try_from(count).unwrap_or(i64::MAX)),
                    Ok(Err(error)) => Err(match &*error.kind {
                        ErrorKind::Command(refusal) => refused(refusal, &collection.namespace()),
                        _ => short(&error),
                    }),
                    Err(_) => Err("the database did not answer in time".to_owned()),
                }
            }
            Self::Command { command, template, environment } => {
                let (command, directory, environment) =
                    (command.clone(), template.directory.clone(), environment.clone());
                let counted = tokio::task::spawn_blocking(move || count_by_command(&command, &directory, &environment));
                counted.await.unwrap_or_else(|error| Err(error.to_string()))
            }
        }
    }
}

async fn connect(uri: &Secret) -> Result<Client, String> {
    let mut options = ClientOptions::parse(uri.expose()).await.map_err(|error| short(&error))?;
    options.app_name = Some("stopover remaining".to_owned());
    options.server_selection_timeout = Some(COUNT_WITHIN);
    options.max_pool_size = Some(1);
    // The count is for people: a secondary that is a little behind serves them as well and costs the primary nothing.
    options.selection_criteria =
        Some(SelectionCriteria::ReadPreference(ReadPreference::SecondaryPreferred { options: None }));
    Client::with_options(options).map_err(|error| short(&error))
}

/// Why the server does not count. Its own words repeat the whole command, or values that it met; only those on a mistake in the filter
/// are passed on.
fn refused(refusal: &CommandError, collection: &Namespace) -> String {
    const BAD_VALUE: i32 = 2;
    const FAILED_TO_PARSE: i32 = 9;
    const UNAUTHORIZED: i32 = 13;
    const MAX_TIME_EXPIRED: i32 = 50;
    match refusal.code {
        BAD_VALUE | FAILED_TO_PARSE => format!("{} ({})", refusal.message, refusal.code_name),
        UNAUTHORIZED => format!("the database user lacks the privilege to read {collection}"),
        MAX_TIME_EXPIRED => {
            let limit = COUNT_WITHIN.as_secs();
            format!("that took longer than {limit} s; an index on the fields of its filter may help")
        }
        code => format!("the server answered with error {code} ({})", refusal.code_name),
    }
}

/// The kind of an error without its text, which may hold data.
fn short(error: &mongodb::error::Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::ServerSelection { .. } => "the database cannot be reached".to_owned(),
        ErrorKind::Authentication { .. } => "the database refuses the credentials".to_owned(),
        ErrorKind::Io(error) => error.to_string(),
        _ => "the database's driver reports an error".to_owned(),
    }
}

fn count_by_command(
    command: &[String],
    directory: &std::path::Path,
    environment: &BTreeMap<OsString, OsString>,
) -> Result<i64, String> {
    let program = command.first().map_or("(nothing)", String::as_str);
    let mut child = process::start_group(command, directory, environment, |command| {
        command.stdout(Stdio::piped()).stderr(Stdio::null())
    })?;
    let group = Pid::from_child(&child);
    let stdout = child.stdout.take().expect("it is piped");
    let (send, output) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        let read = stdout.take(OUTPUT).read_to_end(&mut text);
        let _ = send.send(read.map(|_| text));
    });
    let text = output.recv_timeout(COMMAND_WITHIN);
    // Not reaped yet, so the number is still the group's own.
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait().map_err(|error| error.to_string())?;
    match text {
        Ok(Ok(text)) => {
            last_number(&text).ok_or_else(|| format!("{program} prints no number on its last line ({status})"))
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("{program} took longer than {} s", COMMAND_WITHIN.as_secs())),
    }
}

fn last_number(text: &[u8]) -> Option<i64> {
    let text = String::from_utf8_lossy(text);
    text.lines().rev().find(|line| !line.trim().is_empty())?.trim().parse().ok().filter(|&count| count >= 0)
}

/// Follows what remains while a program runs.
pub struct Countdown {
    counter: Counter,
    counts: watch::Sender<Option<RemainingCount>>,
    warnings: Warnings,
    falling: Falling,
}

impl Countdown {
    /// Tells every count to `counts`; `before` is what earlier attempts counted.
    #[must_use]
    pub fn new(
        counter: Counter,
        counts: watch::Sender<Option<RemainingCount>>,
        warnings: Warnings,
        before: Option<&RemainingCount>,
    ) -> Self {
        Self { counter, counts, warnings, falling: Falling::after(before) }
    }

    /// Counts again and again until told to stop.
    pub async fn follow(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let begun = Instant::now();
            tokio::select! {
                () = stop.cancelled() => {}
                _ = self.count() => {
                    let pause = EVERY.max(begun.elapsed() * 10);
                    let _ = timeout(pause, stop.cancelled()).await;
                }
            }
        }
    }

    /// Counts once more after a success: what then remains is told.
    pub async fn settle(&mut self) {
        if let Some(left) = self.count().await.filter(|&left| left > 0) {
            let text = format!("it succeeded, yet {left} items remain");
            self.warnings.set(Subject::Remaining, Some(text));
        }
    }

    async fn count(&mut self) -> Option<i64> {
        match self.counter.count().await {
            Ok(count) => {
                self.warnings.set(Subject::Remaining, None);
                self.counts.send_replace(Some(self.falling.note(count, Timestamp::of_this_machine())));
                Some(count)
            }
            Err(reason) => {
                let text = format!("what remains cannot be counted: {reason}");
                self.warnings.set(Subject::Remaining, Some(text));
                None
            }
        }
    }
}

/// The counts so far, thinned out evenly.
#[derive(Clone, Debug)]
pub struct Falling {
    kept: Vec<i64>,
    /// One in so many counts is kept.
    stride: u64,
    seen: u64,
    /// The lowest count, and since when it is that.
    lowest: Option<(i64, Timestamp)>,
}

impl Falling {
    /// Goes on from what earlier attempts counted.
    #[must_use]
    pub fn after(before: Option<&RemainingCount>) -> Self {
        let kept = before.map(|count| count.history.clone()).unwrap_or_default();
        Self { kept, stride: 1, seen: 0, lowest: None }
    }

    /// Adds a count.
    pub fn note(&mut self, count: i64, now: Timestamp) -> RemainingCount {
        let since = match self.lowest {
            Some((lowest, since)) if count >= lowest => since,
            _ => {
                self.lowest = Some((count, now));
                now
            }
        };
        // One place is left for the latest, which is always shown.
        while self.kept.len() >= Progress::MAX_HISTORY - 1 {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride *= 2;
        }
        let mut history = self.kept.clone();
        history.push(count);
        if self.seen.is_multiple_of(self.stride) {
            self.kept.push(count);
        }
        self.seen += 1;
        let stalled = count > 0 && now.since(since) >= STALLED_AFTER;
        RemainingCount { count, at: now, history, stalled_since: stalled.then_some(since) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_stays_short_and_keeps_its_ends() {
        let mut falling = Falling::after(None);
        let mut last = None;
        for second in 0..10_000 {
            last = Some(falling.note(10_000 - second, Timestamp::from_millis(second * 1000)));
        }
        let last = last.unwrap();
        assert!(last.history.len() <= Progress::MAX_HISTORY && last.history.len() > Progress::MAX_HISTORY / 3);
        assert_eq!((last.history[0], last.history.last()), (10_000, Some(&1)));
        assert!(last.history.is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn a_count_that_does_not_fall_for_a_minute_is_stalled_until_it_falls() {
        let mut falling = Falling::after(None);
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        assert_eq!(falling.note(50, at(0)).stalled_since, None);
        assert_eq!(falling.note(40, at(10)).stalled_since, None);
        assert_eq!(falling.note(45, at(69)).stalled_since, None);
        assert_eq!(falling.note(40, at(70)).stalled_since, Some(at(10)));
        assert_eq!(falling.note(39, at(80)).stalled_since, None);
        assert_eq!(falling.note(0, at(90)).stalled_since, None);
        assert_eq!(falling.note(0, at(900)).stalled_since, None, "nothing is left to fall");
    }

    #[test]
    fn a_program_counts_by_the_number_on_its_last_line() {
        let count = |script: &str| {
            let command = ["sh", "-c", script].map(str::to_owned);
            let path = std::env::vars_os().filter(|(name, _)| name == "PATH").collect();
            count_by_command(&command, std::path::Path::new("/"), &path)
        };
        assert_eq!(count("echo counting; echo ' 42 '; echo"), Ok(42));
        assert!(count("echo none; exit 3").unwrap_err().contains("exit status: 3"));
        assert!(count("echo -4").is_err());
    }
}
