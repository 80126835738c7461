//! Runs of steps, as scripts see them: their speed, their progress, what they left out. The worker is played by the test.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use stopover::catalog::{Checksum, MigrationId, Speed};
use stopover::ledger::{
    Acted, Action, Beat, EngineProgress, Launch, LedgerAddress, LedgerWriter, NewQuarantined, NewRun, Outcome,
    Progress, Run, RunId, Worker, open_writer,
};
use stopover::place::{Actor, Place};
use stopover::process::ProcessIdentity;

use crate::support::scene::Scene;

const LEASE: Duration = Duration::from_mins(10);
const NAME: &str = "20260101_charges";

struct Story {
    scene: Scene,
    ledger: Arc<dyn LedgerWriter>,
    run: Run,
}

impl Story {
    /// A run of these words, at work.
    async fn of(command: &[&str]) -> Self {
        let scene = Scene::new();
        // Stamps the ledger.
        let scene = scene.script("20260100_stamp", "true");
        scene.launch(&["20260100_stamp", "--wait"]);
        let ledger = open_writer(&LedgerAddress::Sqlite(scene.state().join("ledger.db"))).await.unwrap();
        let place: Arc<Place> = Place::current().into();
        let new = NewRun {
            id: RunId::generate(),
            migration: MigrationId::new(NAME).unwrap(),
            launch: Launch {
                by: Actor { operator: "ada".to_owned(), place: place.clone() },
                rerun: false,
                forced: false,
                command: command.iter().map(ToString::to_string).collect(),
                params: vec![],
                checksum: serde_json::from_value::<Checksum>("a".repeat(64).into()).unwrap(),
                resume: stopover::catalog::ResumePolicy::Manual,
                quarantine_of: None,
            },
            lease: LEASE,
        };
        let run = ledger.open(new).await.unwrap();
        let worker = Worker { place, process: ProcessIdentity { pid: 1, start_ticks: 1 } };
        let Acted::Changed(run) = ledger.act(run.id, Action::Claim { attempt: 1, worker, lease: LEASE }).await.unwrap()
        else {
            panic!("it is claimed")
        };
        Self { scene, ledger, run: *run }
    }

    async fn native() -> Self {
        Self::of(&["steps:", "backfill charges"]).await
    }

    async fn leaves_out(&self, step: u32, document: &str) {
        let document = NewQuarantined {
            run: self.run.id,
            step,
            database: "payments".to_owned(),
            collection: "charges".to_owned(),
            document: document.to_owned(),
            error: "Document failed validation".to_owned(),
            attempt: 1,
        };
        self.ledger.quarantine(document).await.unwrap();
    }

    fn short(&self) -> String {
        self.run.id.short()
    }
}

#[tokio::test]
async fn a_run_of_steps_is_tuned_and_says_who_did_it() {
    let story = Story::native().await;
    let printed = story.scene.must(&["tune", NAME, "--workers", "2"]);
    assert!(printed.ends_with("is set to 2 workers\n"), "{printed}");
    let printed = story.scene.must(&["tune", &story.short(), "--pace", "50%"]);
    assert_eq!(printed, format!("run {} is set to 2 workers at 50 % pace\n", story.run.id));
    let printed = story.scene.must(&["tune", NAME, "--workers", "2", "--pace", "50"]);
    assert!(printed.contains("is set to 2 workers at 50 % pace already: ada did it"), "{printed}");
    let progress = Progress::default();
    let reply =
        story.ledger.beat(story.run.id, 1, Beat { number: 1, progress, checkpoint: None, lease: LEASE }).await.unwrap();
    assert_eq!(reply.speed.unwrap().over(Speed::default()), Speed { workers: 2, pace: 50 });

    let run = &story.scene.json(&["runs", NAME, "--json"])[0];
    assert_eq!(run["speed"], json!({ "workers": 2, "pace": 50 }));
    let report = story.ledger.act(story.run.id, Action::Finish { attempt: 1, outcome: Outcome::Succeeded });
    report.await.unwrap();
    let ended = story.scene.stopover(&["tune", NAME, "--workers", "3"]);
    assert_eq!(ended.status, 7, "{}", ended.stderr);
    assert!(ended.stderr.contains("there is nothing left to tune"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_speed_that_cannot_be_is_a_mistake_of_usage() {
    let story = Story::native().await;
    for (arguments, reason) in [
        (&["tune", NAME][..], "required"),
        (&["tune", NAME, "--workers", "17"], "a run has 1 to 16 workers"),
        (&["tune", NAME, "--workers", "0"], "a run has 1 to 16 workers"),
        (&["tune", NAME, "--pace", "101%"], "a pace is 1 to 100 %"),
        (&["tune", NAME, "--pace", "0"], "`stopover pause` stops a run"),
    ] {
        let ended = story.scene.stopover(arguments);
        assert_eq!(ended.status, 2, "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{arguments:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_program_has_no_speed() {
    let story = Story::of(&["node", "charges.js"]).await;
    let ended = story.scene.stopover(&["tune", NAME, "--workers", "2"]);
    assert_eq!(ended.status, 7);
    assert!(ended.stderr.contains("only native steps have a speed"), "{}", ended.stderr);
}

#[tokio::test]
async fn what_a_run_left_out_is_listed_by_step() {
    let story = Story::native().await;
    let printed = story.scene.must(&["quarantine", NAME]);
    assert!(printed.contains("has left out no document"), "{printed}");
    assert_eq!(story.scene.json(&["quarantine", NAME, "--json"]), json!([]));

    story.leaves_out(1, "\"b\u{202e}\"").await;
    story.leaves_out(0, r#"{"$oid":"65f000000000000000000001"}"#).await;
    let printed = story.scene.must(&["quarantine", &story.short()]);
    let rows: Vec<_> = printed.lines().collect();
    assert!(rows[0].starts_with("STEP") && rows[1].starts_with("1     payments.charges"), "{printed}");
    assert!(rows[1].contains(r#"{"$oid":"65f000000000000000000001"}  Document failed validation"#), "{printed}");
    assert!(!printed.contains('\u{202e}'), "{printed}");
    let left_out = story.scene.json(&["quarantine", NAME, "--json"]);
    assert_eq!(left_out[0]["_id"], json!({ "$oid": "65f000000000000000000001" }));
    assert_eq!((&left_out[0]["step"], &left_out[1]["step"]), (&json!(1), &json!(2)));
    assert_eq!(left_out[0]["error"], "Document failed validation");
}

#[tokio::test]
async fn a_retry_is_refused_without_anything_to_retry_and_while_the_run_is_open() {
    let story = Story::native().await;
    let ended = story.scene.stopover(&["quarantine", NAME, "--retry"]);
    assert_eq!(ended.status, 7, "{}", ended.stderr);
    assert!(ended.stderr.contains("there is nothing to retry"), "{}", ended.stderr);
    story.leaves_out(0, "1").await;
    let ended = story.scene.stopover(&["quarantine", NAME, "--retry"]);
    assert_eq!(ended.status, 3, "{}", ended.stderr);
}

#[tokio::test]
async fn the_progress_of_steps_is_shown() {
    let story = Story::native().await;
    let engine = EngineProgress {
        step: 1,
        steps: 3,
        title: "backfill charges".to_owned(),
        estimated: true,
        matched: 1_200,
        modified: 1_100,
        quarantined: 4,
        hold: Some("replication lag 4.2 s > 2 s".to_owned()),
        batch: 500,
        ..EngineProgress::default()
    };
    let progress =
        Progress { done: Some(1_200), total: Some(9_000), engine: Some(Box::new(engine)), ..Progress::default() };
    story.ledger.beat(story.run.id, 1, Beat { number: 1, progress, checkpoint: None, lease: LEASE }).await.unwrap();
    let shown = story.scene.must(&["show", NAME]);
    for line in [
        "by ada, at work for ",
        "done         1200 of ~9000",
        "step         2 of 3: backfill charges",
        "documents    1200 matched, 1100 modified, 0 skipped, 4 quarantined",
        "speed        1 worker at 100 % pace, batches of 500",
        "pace         replication lag 4.2 s > 2 s",
        "4 left out; `stopover quarantine ",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let engine = &story.scene.run(NAME)["engine"];
    assert_eq!((&engine["step"], &engine["estimated"]), (&json!(2), &json!(true)));
    assert_eq!(engine["hold"], "replication lag 4.2 s > 2 s");
    assert_eq!(engine["speed"], json!({ "workers": 1, "pace": 100 }));
}
