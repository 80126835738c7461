//! What operators and circumstances ask of a worker: it stops at a checkpoint, and goes on from there.

use std::fs;
use std::time::Instant;

use serde_json::json;
use tokio::time::sleep;

use super::*;
use crate::support::eventually;
use crate::support::mongo::Database as Data;
use crate::support::server::Server;

const NAME: &str = "20270104_adds";
const DOCUMENTS: i32 = 60_000;
/// So slow that it is at work for as long as a test needs it to be, also on a machine that is a few times faster.
const SLOW: &str = "batch: 10ms, pace: 2%";

/// A migration at work, with its ledger in a file.
struct Story {
    scene: Scene,
    database: Database,
    id: String,
    _data: Data,
}

impl Story {
    async fn of(manifest: &str, settle: impl FnOnce(Scene) -> Scene) -> Self {
        let data = Data::new();
        let database = data.open().await;
        fill(&database, NAME, DOCUMENTS).await;
        let scene = pod(data.uri()).manifest(NAME, manifest);
        let file = format!("sqlite:{}", scene.state().join("ledger.db").display());
        let scene = settle(scene.variable("STOPOVER_LEDGER", file));
        scene.must(&["init", "--environment", "staging"]);
        let id = scene.launch(&[NAME]);
        let story = Self { scene, database, id, _data: data };
        story.until_done(1);
        story
    }

    async fn slow() -> Self {
        Self::of(&once(NAME, SLOW), |scene| scene).await
    }

    /// Waits until so many documents are said to be done.
    #[track_caller]
    fn until_done(&self, count: i64) -> Value {
        eventually("documents are done", PATIENCE, || {
            Some(self.scene.run(NAME)).filter(|run| run["done"].as_i64().is_some_and(|done| done >= count))
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.scene.state().join("runs").join(format!("{}.log", self.id))).unwrap_or_default()
    }

    #[track_caller]
    fn until_logged(&self, text: &str) {
        eventually(text, PATIENCE, || self.log().contains(text).then_some(()));
    }

    /// The run stands still at a checkpoint: what it says is done is what is there, and nothing more is done.
    async fn stands_still(&self) {
        let run = self.scene.run(NAME);
        let done = i32::try_from(run["done"].as_i64().unwrap()).unwrap();
        assert!(done > 0 && done < DOCUMENTS, "{run:#}");
        assert_eq!(by_touched(&self.database, NAME).await, [(0, DOCUMENTS - done), (1, done)]);
        assert!(!run["checkpoint"].is_null(), "{run:#}");
    }

    /// The run goes on at full speed from where it stood, to its end.
    async fn goes_on(&self) {
        self.scene.must(&["resume", NAME]);
        self.reaches_its_end().await;
    }

    /// The second attempt does what is left, at full speed.
    async fn reaches_its_end(&self) {
        self.scene.must(&["tune", NAME, "--pace", "100"]);
        let run = self.scene.until(NAME, &["succeeded"]);
        assert_eq!((&run["attempt"], &run["done"]), (&2.into(), &DOCUMENTS.into()), "{run:#}");
        assert_eq!(by_touched(&self.database, NAME).await, [(1, DOCUMENTS)]);
    }
}

#[tokio::test]
async fn it_is_paused_at_a_checkpoint_and_resumed_from_there() {
    let story = Story::slow().await;
    story.scene.must(&["pause", NAME, "--wait"]);
    assert_eq!(story.scene.run(NAME)["state"], "paused");
    story.stands_still().await;
    story.goes_on().await;
}

#[tokio::test]
async fn it_is_cancelled_at_a_checkpoint_and_that_is_the_end_of_it() {
    let story = Story::slow().await;
    story.scene.must(&["cancel", NAME, "--wait"]);
    assert_eq!(story.scene.run(NAME)["state"], "cancelled");
    story.stands_still().await;
    assert_eq!(story.scene.stopover(&["resume", NAME]).status, 7);
}

#[tokio::test]
async fn a_speed_holds_within_about_a_second_is_recorded_and_outlasts_a_resume() {
    let story = Story::slow().await;
    assert_eq!(story.scene.run(NAME)["engine"]["speed"], json!({ "workers": 1, "pace": 2 }));
    let tuned = json!({ "workers": 2, "pace": 3 });
    story.scene.must(&["tune", NAME, "--workers", "2", "--pace", "3%"]);
    let asked = Instant::now();
    let at = |what: &str| {
        eventually(what, PATIENCE, || Some(story.scene.run(NAME)).filter(|run| run["engine"]["speed"] == tuned))
    };
    let run = at("it has the new speed");
    // One heartbeat tells it, and the next one says that it has it.
    assert!(asked.elapsed() < Duration::from_secs(4), "after {:?}", asked.elapsed());
    let event = run["events"].as_array().unwrap().iter().find(|event| event["kind"] == "tuned").unwrap();
    assert_eq!(event["by"], "ada");
    assert!(event["text"].as_str().unwrap().contains("2 workers"), "{event}");
    let heard = eventually("its worker answers", PATIENCE, || {
        let run = story.scene.run(NAME);
        run["events"].as_array().unwrap().iter().find(|event| event["kind"] == "acknowledged").cloned()
    });
    assert_eq!(heard["text"], "attempt 1 heard it: it goes on at 2 workers at 3 % pace");

    story.scene.must(&["pause", NAME, "--wait"]);
    story.scene.must(&["resume", NAME]);
    let run = at("it has it still");
    assert_eq!(run["attempt"], 2);
    story.reaches_its_end().await;
}

#[tokio::test]
async fn a_worker_that_is_asked_to_end_interrupts_the_run_at_a_checkpoint() {
    let story = Story::slow().await;
    signal(worker_of(&story.scene.run(NAME)), Signal::TERM);
    let run = story.scene.until(NAME, &["interrupted"]);
    assert_eq!(run["reason"], "its pod was shut down");
    story.stands_still().await;
    story.goes_on().await;
}

#[tokio::test]
async fn it_stops_before_its_lease_ends_when_its_ledger_is_locked() {
    let story = Story::slow().await;
    let ledger = rusqlite::Connection::open(story.scene.state().join("ledger.db")).unwrap();
    ledger.busy_timeout(Duration::from_secs(10)).unwrap();
    ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let locked = Instant::now();
    story.until_logged("the ledger cannot be reached, and the right to run will end");
    story.until_logged(": interrupted");
    assert!(locked.elapsed() < Duration::from_secs(6), "only after {:?}", locked.elapsed());
    let there = by_touched(&story.database, NAME).await;
    // Much longer than there is between two batches.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(by_touched(&story.database, NAME).await, there, "nothing more is done");
    ledger.execute_batch("ROLLBACK").unwrap();
    let run = story.scene.until(NAME, &["interrupted"]);
    assert_eq!(run["reason"], "its worker could not reach the ledger in time");
    story.stands_still().await;
    story.goes_on().await;
}

#[tokio::test]
async fn it_stops_before_its_lease_ends_when_its_ledger_does_not_answer() {
    let server = Server::start().await;
    let writer = server.writer();
    let story = Story::of(&once(NAME, SLOW), |scene| scene.variable("STOPOVER_LEDGER", writer)).await;
    server.freeze();
    story.until_logged("the ledger cannot be reached, and the right to run will end");
    story.until_logged(": interrupted");
    let there = by_touched(&story.database, NAME).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(by_touched(&story.database, NAME).await, there, "nothing more is done");
    server.thaw();
    story.scene.until(NAME, &["interrupted"]);
    story.stands_still().await;
    story.goes_on().await;
}

#[tokio::test]
async fn it_fails_at_a_checkpoint_when_it_takes_longer_than_it_may_and_can_be_resumed() {
    let manifest = format!("timeout: 4s\n{}", once(NAME, SLOW));
    let story = Story::of(&manifest, |scene| scene).await;
    let run = story.scene.until(NAME, &["failed"]);
    assert!(run["error"]["message"].as_str().unwrap().contains("4 s"), "{run:#}");
    story.stands_still().await;
    story.scene.must(&["resume", NAME]);
    let done = story.scene.until(NAME, &["failed"]);
    assert_eq!(done["attempt"], 2);
    assert!(done["done"].as_i64() > run["done"].as_i64(), "{done:#}");
    story.stands_still().await;
}
