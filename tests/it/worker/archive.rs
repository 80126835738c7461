//! The copy of the log in the ledger.

use std::fs;

use stopover::ledger::{LedgerAddress, LogChunk, LogPosition, RunId, open_reader};
use stopover::logs::archive::KEEP;

use super::log_path;
use crate::support::scene::Scene;

/// All that the ledger has of the log of a run.
pub async fn archived(scene: &Scene, run: &serde_json::Value) -> Vec<LogChunk> {
    let id: RunId = run["id"].as_str().unwrap().parse().unwrap();
    let ledger = open_reader(&LedgerAddress::Sqlite(scene.state().join("ledger.db"))).await.unwrap();
    let mut chunks: Vec<LogChunk> = Vec::new();
    let mut from = LogPosition::default();
    loop {
        let more = ledger.log(id, from, 16).await.unwrap();
        let Some(last) = more.last() else { return chunks };
        from = LogPosition { attempt: last.attempt, offset: last.offset + 1 };
        chunks.extend(more);
    }
}

#[tokio::test]
async fn the_whole_log_of_every_attempt_is_in_the_ledger_when_the_run_has_ended() {
    let scene =
        Scene::new().script("twice", "echo \"in attempt $STOPOVER_ATTEMPT\"; [ $STOPOVER_ATTEMPT = 2 ] || exit 75");
    let id = scene.launch(&["twice"]);
    scene.until("twice", &["interrupted"]);
    scene.must(&["resume", &id]);
    let run = scene.until("twice", &["succeeded"]);
    let chunks = archived(&scene, &run).await;
    let attempts: Vec<_> = chunks.iter().filter(|chunk| chunk.offset == 0).map(|chunk| chunk.attempt).collect();
    assert_eq!(attempts, [1, 2]);
    let text: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.bytes).collect();
    assert_eq!(text, fs::read(log_path(&scene, &run)).unwrap());
}

#[tokio::test]
async fn of_a_flood_the_ledger_keeps_the_beginning_and_the_end() {
    let scene = Scene::new().script("flood", "seq -f 'line %.0f of the flood' 1000000");
    scene.launch(&["flood"]);
    let run = scene.until("flood", &["succeeded"]);
    // The report of the end does not wait long for the archive, which is then completed.
    super::until_dead("the worker", super::worker_of(&run));
    let file = fs::read(log_path(&scene, &run)).unwrap();
    let chunks = archived(&scene, &run).await;
    let mut covered = 0;
    let mut gaps = Vec::new();
    for chunk in &chunks {
        let start = usize::try_from(chunk.offset).unwrap();
        assert_eq!(chunk.bytes, file[start..start + chunk.bytes.len()], "what is archived is what the file has");
        assert!(chunk.bytes.len() <= 256 * 1024 && chunk.bytes.ends_with(b"\n"));
        if start > covered {
            gaps.push(covered..start);
        }
        covered = start + chunk.bytes.len();
    }
    assert_eq!(covered, file.len(), "the end is there");
    let keep = usize::try_from(KEEP).unwrap();
    assert!(gaps.iter().all(|gap| gap.start >= keep && gap.end <= file.len() - keep + 256 * 1024), "{gaps:?}");
    let size: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
    assert!(size <= 2 * keep + 3 * 256 * 1024, "{size} bytes are kept");
    assert!(file.len() > size, "something had to be left out");
}
