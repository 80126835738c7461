//! Runs whose documents go through a program of the application: the real binary, a real Node, a real database.

use std::fs;

use bson::{Document, doc};
use mongodb::Collection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stopover::process::ProcessIdentity;

use crate::support::eventually;
use crate::support::mongo::Database;
use crate::support::scene::{PATIENCE, Scene};

const NAME: &str = "20260101_amounts";

/// What every program here begins with.
const PROLOGUE: &str = r#"
const fs = require("node:fs");
console.log = console.error;
fs.writeFileSync("pid", String(process.pid));
console.log("the program starts " + (Object.keys(process.env).some((name) => name.startsWith("MONGODB_URI")) ? "with a database" : "without a database"));
const pause = (milliseconds) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { n, document } = JSON.parse(line);
  process.stdout.write(JSON.stringify({ n, ...answer(document) }) + "\n");
});
"#;

struct Story {
    scene: Scene,
    database: Database,
}

impl Story {
    /// A backfill by a program, with more keys of its own.
    fn new(keys: &str, answer: &str) -> Self {
        let database = Database::new();
        let manifest = format!(
            "backfill:\n  collection: items\n  transform: {{ command: [node, transform.js] }}\n{keys}hold: off\n"
        );
        let scene = Scene::new()
            .manifest(NAME, &manifest)
            .variable("MONGODB_URI", database.uri())
            .variable("STOPOVER_LEASE", "4s");
        fs::write(scene.path().join("migrations/transform.js"), format!("{PROLOGUE}{answer}")).unwrap();
        scene.must(&["init", "--environment", "staging"]);
        Self { scene, database }
    }

    async fn items(&self) -> Collection<Document> {
        self.database.open().await.collection("items")
    }

    async fn fill(&self, count: i32) {
        let documents = (0..count).map(|id| doc! { "_id": id, "amount": f64::from(id) / 4.0, "touched": 0 });
        self.items().await.insert_many(documents).await.unwrap();
    }

    async fn count(&self, filter: Document) -> u64 {
        self.items().await.count_documents(filter).await.unwrap()
    }

    fn log(&self, run: &Value) -> String {
        let path = self.scene.state().join("runs").join(format!("{}.log", run["id"].as_str().unwrap()));
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    /// The number of the program that was started last.
    fn program(&self) -> i32 {
        let path = self.scene.path().join("migrations/pid");
        eventually("a program", PATIENCE, || fs::read_to_string(&path).ok()?.parse().ok())
    }

    /// Waits until the run is over, and shows its log if it is not.
    fn succeeds(&self) -> Value {
        let end = std::time::Instant::now() + 2 * PATIENCE;
        loop {
            let run = self.scene.run(NAME);
            match run["state"].as_str().unwrap() {
                "succeeded" => return run,
                "queued" | "running" if std::time::Instant::now() < end => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                state => panic!("it is {state}: {}", self.log(&run)),
            }
        }
    }

    /// Waits until some documents are done, and not all; the worker's process.
    async fn until_midway(&self, filter: Document, all: u64) -> i32 {
        let run = self.scene.until(NAME, &["running"]);
        crate::support::eventually_async("it is midway", PATIENCE, async || {
            (self.count(filter.clone()).await > 0).then_some(())
        })
        .await;
        assert!(self.count(filter).await < all, "it is done before anything could happen to it");
        i32::try_from(run["pid"].as_i64().unwrap()).unwrap()
    }
}

/// Slow enough to meet it midway.
const COUNTING: &str = "const answer = () => (pause(1), { update: { $inc: { touched: 1 } } });";

#[tokio::test]
async fn a_program_changes_every_document_but_those_that_it_refuses_or_dies_of() {
    let answer = r#"
function answer({ _id, amount }) {
  if (_id === 777) return { error: "no currency" };
  if (_id === 1500) throw new Error("no rate for 1500");
  if (_id === 2000 && !fs.existsSync("stumbled")) { fs.writeFileSync("stumbled", ""); process.exit(3); }
  if (_id % 10 === 0) return {};
  return { update: { $set: { amountInCents: amount * 100 } } };
}"#;
    let keys = "  filter: { amountInCents: { $exists: false } }\n  maxQuarantined: 2\n";
    let story = Story::new(keys, answer);
    story.fill(3000).await;
    story.scene.launch(&[NAME]);
    let run = story.scene.until(NAME, &["succeeded", "failed", "interrupted"]);
    let log = story.log(&run);
    assert_eq!(run["state"], "succeeded", "{log}");
    let right = doc! { "$expr": { "$eq": ["$amountInCents", { "$multiply": ["$amount", 100] }] } };
    // 300 are left alone; 1500, which would be one of them, is among those that are left out.
    assert_eq!(story.count(right).await, 2699);
    let left_out = story.scene.json(&["quarantine", NAME, "--json"]);
    let left_out = left_out.as_array().unwrap();
    let mut ids: Vec<String> = left_out.iter().map(|one| one["_id"].to_string()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [r#"{"$numberInt":"1500"}"#, r#"{"$numberInt":"777"}"#]);
    assert_eq!(run["engine"]["quarantined"], 2, "those that a later pass meets again are counted once");
    let errors = json!(left_out).to_string();
    assert!(errors.contains("no currency") && errors.contains("no rate for 1500"), "{errors}");
    assert!(log.contains(" stderr F the program starts without a database"), "{log}");
    assert!(!log.contains("with a database"), "{log}");
    let program = story.program();
    assert!(ProcessIdentity::of(program).is_none(), "the program has ended with its run");
}

#[tokio::test]
async fn a_run_that_is_paused_midway_goes_on_where_it_was() {
    let story = Story::new("  idempotent: false\nspeed: { batch: 20ms }\n", COUNTING);
    story.fill(2500).await;
    story.scene.launch(&[NAME]);
    story.until_midway(doc! { "touched": 1 }, 2500).await;
    story.scene.must(&["pause", NAME]);
    story.scene.until(NAME, &["paused"]);
    assert!(ProcessIdentity::of(story.program()).is_none(), "the program has ended with its attempt");
    assert!(story.count(doc! { "touched": 0 }).await > 0, "it was midway");
    story.scene.must(&["resume", NAME]);
    let run = story.succeeds();
    assert_eq!(story.count(doc! { "touched": 1 }).await, 2500, "{}", story.log(&run));
}

#[tokio::test]
async fn a_worker_that_is_killed_leaves_no_program_behind_and_no_document_twice() {
    let story = Story::new("  idempotent: false\nspeed: { batch: 20ms }\n", COUNTING);
    story.fill(2500).await;
    story.scene.launch(&[NAME]);
    let worker = story.until_midway(doc! { "touched": 1 }, 2500).await;
    let program = story.program();
    assert!(ProcessIdentity::of(program).is_some());
    kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    eventually("the program is gone", PATIENCE, || ProcessIdentity::of(program).is_none().then_some(()));
    story.scene.until(NAME, &["lost"]);
    story.scene.must(&["resume", NAME]);
    let run = story.succeeds();
    assert_eq!(story.count(doc! { "touched": 1 }).await, 2500, "{}", story.log(&run));
}

/// The most memory that the worker of a launched run ever had, in MB, when the run has succeeded.
fn peak(scene: &Scene) -> u64 {
    scene.launch(&[NAME]);
    let run = scene.until(NAME, &["running", "succeeded"]);
    let status = format!("/proc/{}/status", run["pid"]);
    let mut peak = 0;
    while let Some(now) = fs::read_to_string(&status).ok().as_deref().and_then(high_water) {
        peak = now;
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let run = scene.until(NAME, &["succeeded", "failed", "interrupted", "lost"]);
    assert_eq!(run["state"], json!("succeeded"), "{}", scene.must(&["show", NAME]));
    assert!(peak > 0, "the worker was seen");
    peak
}

/// `VmHWM` in MB.
fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}

#[rstest::rstest]
#[case::update("backfill: { collection: items, filter: { touched: 0 }, update: { $set: { touched: 1 } } }")]
#[case::transform(
    "backfill: { collection: items, filter: { touched: 0 }, transform: { command: [node, transform.js] } }"
)]
#[case::copy("copy: { collection: items, into: { collection: copies } }")]
#[tokio::test]
async fn memory_stays_flat_whatever_the_size_of_the_documents(#[case] step: &str) {
    let story = Story::new("", "const answer = () => ({ update: { $set: { touched: 1 } } });");
    for (count, length, most) in [(30_000, 450, 60), (5, 15_900_000, 200)] {
        let items = story.items().await;
        items.drop().await.unwrap();
        let document = |id: i32| doc! { "_id": id, "touched": 0, "text": "x".repeat(length) };
        for ids in (0..count).collect::<Vec<i32>>().chunks(if length > 1000 { 1 } else { 10_000 }) {
            items.insert_many(ids.iter().copied().map(document)).await.unwrap();
        }
        let scene = Scene::new()
            .manifest(NAME, step)
            .variable("MONGODB_URI", story.database.uri())
            .variable("STOPOVER_LEDGER", "sqlite:./ledger.db");
        fs::copy(story.scene.path().join("migrations/transform.js"), scene.path().join("migrations/transform.js"))
            .unwrap();
        let peak = peak(&scene);
        eprintln!("{count} documents of {length} bytes: {peak} MB");
        assert!(peak <= most, "{count} documents of {length} bytes take {peak} MB");
        let (done, wanted) = if step.starts_with("copy") {
            (story.database.open().await.collection("copies"), doc! { "text": { "$type": "string" } })
        } else {
            (items, doc! { "touched": 1 })
        };
        assert_eq!(done.count_documents(wanted).await.unwrap(), u64::try_from(count).unwrap());
        done.drop().await.unwrap();
    }
}

#[test]
fn the_script_of_a_transform_is_looked_for_as_that_of_any_command() {
    let text = "backfill:\n  collection: c\n  transform: { command: [node, transform.js, --rates, rates.json] }\n";
    let scene = Scene::new().manifest("amounts", text);
    let ended = scene.stopover(&["lint"]);
    assert_ne!(ended.status, 0, "{}", ended.stdout);
    let place = "amounts.yaml:3:32";
    assert!(
        ended.stdout.contains(place) && ended.stdout.contains("there is no file `transform.js` in"),
        "{}",
        ended.stdout
    );
    // What follows are the script's own arguments, and may be files that are made later.
    fs::write(scene.path().join("migrations/transform.js"), "").unwrap();
    let ended = scene.stopover(&["lint"]);
    assert!(!ended.stdout.contains("there is no file"), "{}", ended.stdout);
}
