//! Asks the server for its figures. What it refuses to tell is noted once and not asked for again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::error::Error;

use super::Note;
use super::latency::{Foreground, OwnLoad};
use super::sample::{self, OplogSize, Sample};
use crate::catalog::Holds;
use crate::engine::fault::server_error;
use crate::engine::site::{Site, Topology};

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks at what changes slowly: the oplog, and who is a member of the set.
const RARELY: Duration = Duration::from_secs(30);
/// The server's codes for what will not be answered the next time either: unauthorized, no such command, no replication, not on this service.
const REFUSALS: [i32; 4] = [13, 59, 76, 8_000];

/// Samples one server.
pub(super) struct Watch {
    site: Site,
    holds: Holds,
    own: OwnLoad,
    note: Note,
    status: Source,
    replication: Source,
    config: Source,
    oplog: Source,
    foreground: Foreground,
    rarely: Option<Instant>,
    followers: BTreeSet<String>,
    absent: BTreeSet<String>,
    /// Whether the oplog drops its oldest entries.
    full: bool,
    window: Option<Duration>,
}

/// A command whose answer is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Asked,
    NotAsked,
}

enum Answer {
    Is(Document),
    Missing,
    Refused,
}

impl Watch {
    pub(super) fn new(site: Site, holds: Holds, own: OwnLoad, note: Note) -> Self {
        let asked = |wanted: bool| if wanted { Source::Asked } else { Source::NotAsked };
        let set = site.topology == Topology::ReplicaSet;
        let server = site.topology != Topology::Sharded;
        if site.topology == Topology::Sharded && holds != Holds::NONE {
            note("not watched: the state of the shards (a router does not tell it)".to_owned());
        }
        let figures = holds.congestion || holds.dirty_cache.is_some() || holds.foreground.is_some();
        let oplog = set && holds.oplog_window.is_some();
        Self {
            status: asked((server && figures) || oplog || holds.foreground.is_some()),
            replication: asked(set && holds.replication_lag.is_some()),
            config: asked(set && holds.replication_lag.is_some()),
            oplog: asked(oplog),
            foreground: Foreground::default(),
            rarely: None,
            followers: BTreeSet::new(),
            absent: BTreeSet::new(),
            full: false,
            window: None,
            site,
            holds,
            own,
            note,
        }
    }

    /// The server's figures; `None` when it does not answer.
    pub(super) async fn sample(&mut self) -> Option<Sample> {
        let rarely = self.rarely.is_none_or(|then| then.elapsed() >= RARELY);
        if rarely {
            self.look_rarely().await;
        }
        let (status, replication) = tokio::join!(
            self.ask(self.status, "admin", sample::server_status(rarely && self.oplog == Source::Asked)),
            self.ask(self.replication, "admin", doc! { "replSetGetStatus": 1 }),
        );
        if matches!((&status, &replication), (Answer::Missing, Answer::Missing)) && self.is_asking() {
            return None;
        }
        let mut sample = Sample::default();
        match status {
            Answer::Is(status) => self.take_status(&status, &mut sample),
            Answer::Refused => {
                self.status = Source::NotAsked;
                let what = "cache, tickets, flow control, oplog window and foreground latency";
                self.say_unwatched(what, "serverStatus");
            }
            Answer::Missing => {}
        }
        match replication {
            Answer::Is(status) => sample.lag = self.take_replication(&status),
            Answer::Refused => {
                self.replication = Source::NotAsked;
                self.say_unwatched("replication lag", "replSetGetStatus");
            }
            Answer::Missing => {}
        }
        if rarely {
            self.rarely = Some(Instant::now());
        }
        sample.oplog = self.window;
        Some(sample)
    }

    fn is_asking(&self) -> bool {
        [self.status, self.replication].contains(&Source::Asked)
    }

    /// Who is in the set, and whether its oplog has a window at all.
    async fn look_rarely(&mut self) {
        let (config, stats) = tokio::join!(
            self.ask(self.config, "admin", doc! { "replSetGetConfig": 1 }),
            self.ask(self.oplog, "local", doc! { "collStats": "oplog.rs" }),
        );
        match config {
            Answer::Is(config) => self.followers = sample::followers(&config).unwrap_or_default(),
            // Without a word: those that may become primary are known to everybody.
            Answer::Refused => self.config = Source::NotAsked,
            Answer::Missing => {}
        }
        if self.config == Source::NotAsked
            && let Answer::Is(hello) = self.ask(self.replication, "admin", doc! { "hello": 1 }).await
        {
            self.followers = sample::electable(&hello).unwrap_or_default();
        }
        match stats {
            Answer::Is(stats) => {
                let size = sample::oplog_size(&stats);
                self.full = size == Some(OplogSize::Full);
                if size == Some(OplogSize::Tiny) {
                    self.oplog = Source::NotAsked;
                    (self.note)("not watched: oplog window (the oplog is smaller than 990 MB)".to_owned());
                }
            }
            Answer::Refused => {
                self.oplog = Source::NotAsked;
                self.say_unwatched("oplog window", "collStats on local.oplog.rs");
            }
            Answer::Missing => {}
        }
    }

    fn take_status(&mut self, status: &Document, sample: &mut Sample) {
        let holds = self.holds;
        if status.contains_key("oplog") {
            self.window = sample::window(status).filter(|_| self.full);
        }
        if holds.congestion {
            (sample.flow, sample.tickets) = (sample::flow(status), sample::tickets(status));
        }
        if holds.dirty_cache.is_some() {
            sample.dirty = sample::dirty(status);
        }
        if holds.foreground.is_some() {
            let counted = sample::counted(status);
            sample.foreground = counted.and_then(|counted| self.foreground.since_last(&counted, &self.own));
        }
    }

    fn take_replication(&mut self, status: &Document) -> Option<(String, Duration)> {
        let replication = sample::replication(status, &self.followers)?;
        for member in replication.absent.difference(&self.absent) {
            (self.note)(format!("not waited for: {member} does not follow the primary"));
        }
        self.absent = replication.absent;
        replication.lag
    }

    async fn ask(&self, source: Source, database: &str, mut command: Document) -> Answer {
        if source == Source::NotAsked {
            return Answer::Missing;
        }
        command.insert("maxTimeMS", i64::try_from(ANSWER_WITHIN.as_millis()).unwrap_or(i64::MAX));
        let database = self.site.client.database(database);
        match tokio::time::timeout(ANSWER_WITHIN, database.run_command(command).into_future()).await {
            Ok(Ok(answer)) => Answer::Is(answer),
            Ok(Err(error)) if is_refusal(&error) => Answer::Refused,
            Ok(Err(_)) | Err(_) => Answer::Missing,
        }
    }

    fn say_unwatched(&self, what: &str, privilege: &str) {
        (self.note)(format!("not watched: {what} (needs the privilege {privilege}; the role clusterMonitor has it)"));
    }
}

fn is_refusal(error: &Error) -> bool {
    server_error(error).is_some_and(|(code, ..)| REFUSALS.contains(&code))
}
