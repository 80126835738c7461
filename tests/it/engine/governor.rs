//! What the governor sees of real servers, and what it makes of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::{Document, doc};
use mongodb::Client;
use mongodb::options::WriteConcern;
use stopover::catalog::{Holds, Speed};
use stopover::engine::governor::{Governor, OwnLoad};
use stopover::engine::site::Site;
use stopover::engine::throttle::{Throttle, Verdict};
use stopover::secret::Secret;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::eventually_async;
use crate::support::mongo::Database;
use crate::support::replica_set::ReplicaSet;
use crate::support::server::Server;

const PATIENCE: Duration = Duration::from_secs(30);

/// A governor at work, and everything it noted.
struct Governed {
    throttle: Throttle,
    own: OwnLoad,
    notes: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Governed {
    async fn start(uri: &str, holds: Holds) -> Self {
        let site = Site::connect(&Secret::new(uri.to_owned())).await.unwrap();
        let (throttle, own) = (Throttle::new(Speed::default()), OwnLoad::default());
        let notes = Arc::new(Mutex::new(Vec::new()));
        let note = {
            let notes = Arc::clone(&notes);
            Arc::new(move |note| notes.lock().unwrap().push(note))
        };
        let stop = CancellationToken::new();
        let governor = Governor::new(site, throttle.clone(), holds, own.clone(), note);
        let task = tokio::spawn(governor.run(stop.clone()));
        Self { throttle, own, notes, stop, task }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    /// Waits until the reason that is shown contains `part`.
    async fn gives_the_reason(&self, part: &str) -> String {
        eventually_async(part, PATIENCE, async || self.throttle.reason().filter(|reason| reason.contains(part))).await
    }

    async fn lets_batches_begin(&self) {
        eventually_async("batches may begin", PATIENCE, async || self.throttle.verdict().hold.is_none().then_some(()))
            .await;
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        assert_eq!(self.throttle.verdict(), Verdict::FREE);
    }
}

/// Writes that go on until the token is dropped or cancelled.
async fn load(uri: &str) -> CancellationToken {
    let stop = CancellationToken::new();
    let items = Client::with_uri_str(uri).await.unwrap().default_database().unwrap().collection::<Document>("items");
    tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
        let one = WriteConcern::builder().w(mongodb::options::Acknowledgment::Nodes(1)).build();
        loop {
            items.insert_one(doc! { "a": 1 }).write_concern(one.clone()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }));
    stop
}

#[tokio::test]
async fn a_foreground_is_seen_and_measured_and_our_own_load_is_none() {
    let database = Database::new();
    let holds = Holds { foreground: Some(1_000.0), ..Holds::NONE };
    let governed = Governed::start(&database.uri(), holds).await;
    let load = load(&database.uri()).await;
    governed.gives_the_reason("holding: measuring the foreground latency without this run").await;
    governed.lets_batches_begin().await;
    load.cancel();
    assert_eq!(governed.notes(), [""; 0]);
    governed.own.wrote(Duration::from_millis(3));
    governed.end().await;
}

#[tokio::test]
async fn the_cache_of_a_real_server_is_seen() {
    let database = Database::new();
    let load = load(&database.uri()).await;
    let governed = Governed::start(&database.uri(), Holds { dirty_cache: Some(0.0), ..Holds::NONE }).await;
    governed.gives_the_reason("of the cache is dirty > 0 %").await;
    load.cancel();
    governed.end().await;
}

#[tokio::test]
async fn an_oplog_that_was_made_small_on_purpose_is_not_watched() {
    let database = Database::new();
    let governed = Governed::start(&database.uri(), Holds::default()).await;
    eventually_async("the note", PATIENCE, async || (!governed.notes().is_empty()).then_some(())).await;
    assert_eq!(governed.notes(), ["not watched: oplog window (the oplog is smaller than 990 MB)"]);
    governed.end().await;
}

#[tokio::test]
async fn who_may_not_see_the_server_is_told_once_and_goes_on() {
    let server = Server::start().await;
    let governed = Governed::start(&server.writer(), Holds::default()).await;
    eventually_async("the note", PATIENCE, async || (!governed.notes().is_empty()).then_some(())).await;
    let told = "not watched: cache, tickets, flow control, oplog window and foreground latency \
                (needs the privilege serverStatus; the role clusterMonitor has it)";
    assert_eq!(governed.notes(), [told]);
    assert_eq!(governed.throttle.verdict(), Verdict::FREE);
    governed.end().await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_holds_nobody() {
    let server = Server::start().await;
    let uri = server.uri("admin:passw0rd-of-admin");
    let load = load(&uri).await;
    let governed = Governed::start(&uri, Holds { dirty_cache: Some(0.0), ..Holds::NONE }).await;
    governed.gives_the_reason("of the cache is dirty > 0 %").await;
    server.freeze();
    governed.lets_batches_begin().await;
    server.thaw();
    governed.gives_the_reason("of the cache is dirty > 0 %").await;
    load.cancel();
    governed.end().await;
}

#[tokio::test]
async fn a_secondary_that_falls_behind_holds_the_run_until_it_has_caught_up() {
    let set = ReplicaSet::start().await;
    let load = load(&set.uri()).await;
    let holds = Holds { replication_lag: Some(Duration::from_secs(1)), ..Holds::NONE };
    let governed = Governed::start(&set.uri(), holds).await;
    let behind = set.secondary().await;
    set.run(behind, doc! { "fsync": 1, "lock": true }).await;
    let reason = governed.gives_the_reason("holding: replication lag ").await;
    assert!(reason.contains(" s > 1 s (127.0.0.1:"), "{reason}");
    set.run(behind, doc! { "fsyncUnlock": 1 }).await;
    governed.lets_batches_begin().await;
    load.cancel();
    governed.end().await;
}

#[tokio::test]
async fn a_secondary_that_is_down_is_not_waited_for() {
    let set = ReplicaSet::start().await;
    let load = load(&set.uri()).await;
    let governed =
        Governed::start(&set.uri(), Holds { replication_lag: Some(Duration::from_secs(1)), ..Holds::NONE }).await;
    let down = set.secondary().await;
    // The set counts a server as down that has been silent for its election timeout, here a second.
    set.freeze(down);
    eventually_async("the note", PATIENCE, async || (!governed.notes().is_empty()).then_some(())).await;
    let notes = governed.notes();
    assert!(notes[0].starts_with("not waited for: 127.0.0.1:"), "{notes:?}");
    governed.lets_batches_begin().await;
    load.cancel();
    governed.end().await;
}
