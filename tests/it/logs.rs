//! Reading logs: from the file in this pod, from the ledger's archive, and by `stopover logs`.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use stopover::catalog::{Checksum, MigrationId};
use stopover::config::StateDir;
use stopover::ledger::{
    Acted, Action, Launch, LedgerAddress, LedgerWriter, LogChunk, NewRun, Outcome, Run, RunId, Worker, open_reader,
    open_writer,
};
use stopover::logs::reader::{Direction, Extent, LogReader, Origin, Query};
use stopover::logs::record::{Stream, push_prefix};
use stopover::place::{Actor, Place};
use stopover::process::ProcessIdentity;
use stopover::time::Timestamp;

use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};

const LEASE: Duration = Duration::from_mins(10);

/// A run with its ledger and state directory; its worker is played by the test.
struct Story {
    scene: Scene,
    ledger: Arc<dyn LedgerWriter>,
    run: Run,
}

/// The pod that the tests read from. The binary is told the same name.
fn here() -> String {
    Place::current().pod
}

fn place(pod: &str) -> Place {
    Place { pod: pod.to_owned(), ..Place::current() }
}

fn actor(pod: &str) -> Actor {
    Actor { operator: "ada".to_owned(), place: place(pod).into() }
}

impl Story {
    /// A run whose first attempt is at work in a pod.
    async fn in_pod(pod: &str) -> Self {
        let scene = Scene::new().variable("STOPOVER_POD", here());
        let ledger = open_writer(&LedgerAddress::Sqlite(scene.state().join("ledger.db"))).await.unwrap();
        let new = NewRun {
            id: RunId::generate(),
            migration: MigrationId::new("20260101_charges").unwrap(),
            launch: Launch {
                by: actor(pod),
                rerun: false,
                forced: false,
                command: vec!["true".to_owned()],
                params: vec![],
                checksum: serde_json::from_value::<Checksum>("a".repeat(64).into()).unwrap(),
                resume: stopover::catalog::ResumePolicy::Manual,
                quarantine_of: None,
            },
            lease: LEASE,
        };
        let run = ledger.open(new).await.unwrap();
        let mut story = Self { scene, ledger, run };
        story.claim(pod).await;
        story
    }

    async fn act(&mut self, action: Action) {
        match self.ledger.act(self.run.id, action).await.unwrap() {
            Acted::Changed(run) => self.run = *run,
            Acted::Already(sentence) => panic!("{sentence}"),
        }
    }

    async fn claim(&mut self, pod: &str) {
        let worker = Worker { place: place(pod).into(), process: ProcessIdentity::current() };
        self.act(Action::Claim { attempt: self.run.attempt, worker, lease: LEASE }).await;
    }

    async fn finish(&mut self, outcome: Outcome) {
        self.act(Action::Finish { attempt: self.run.attempt, outcome }).await;
    }

    /// Ends the attempt and starts the next one in a pod.
    async fn resume_in(&mut self, pod: &str) {
        self.finish(Outcome::Stopped).await;
        self.act(Action::resume(actor(pod), LEASE)).await;
        self.claim(pod).await;
    }

    fn state(&self) -> StateDir {
        StateDir::new(self.scene.state())
    }

    fn file(&self) -> PathBuf {
        self.state().run_log(self.run.id)
    }

    /// Appends records to the run's log file in this pod.
    fn write(&self, records: &[u8]) {
        fs::create_dir_all(self.file().parent().unwrap()).unwrap();
        OpenOptions::new().create(true).append(true).open(self.file()).unwrap().write_all(records).unwrap();
    }

    /// Archives records of the current attempt at an offset of its log.
    async fn archive(&self, offset: u64, records: &[u8]) {
        let chunk = LogChunk { run: self.run.id, attempt: self.run.attempt, offset, bytes: records.to_vec() };
        self.ledger.archive(chunk).await.unwrap();
    }

    async fn open(&self) -> LogReader {
        LogReader::open(&self.state(), self.ledger.clone(), &self.run).await.unwrap()
    }

    /// The texts of all lines, as they can be read now.
    async fn texts(&self, reader: &mut LogReader) -> Vec<String> {
        let extent = reader.refresh().await.unwrap();
        let lines = reader.lines(0..extent.lines).await.unwrap();
        lines.into_iter().map(|line| line.spans.into_iter().map(|span| span.text).collect()).collect()
    }

    /// What `stopover logs RUN` prints with further arguments.
    fn logs(&self, arguments: &[&str]) -> String {
        self.scene.must(&[&["logs", &self.run.id.to_string()], arguments].concat())
    }

    /// Starts `stopover logs RUN`, to read what it prints as it comes.
    fn start_logs(&self, arguments: &[&str]) -> Child {
        let mut command = self.scene.command(&[&["logs", &self.run.id.to_string()], arguments].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

fn record_at(millis: i64, stream: Stream, partial: bool, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_prefix(&mut bytes, Timestamp::from_millis(millis), stream, partial);
    bytes.extend_from_slice(text);
    bytes.push(b'\n');
    bytes
}

fn said(text: &str) -> Vec<u8> {
    record_at(1_764_000_000_000, Stream::Stdout, false, text.as_bytes())
}

/// One record a second from a fixed time on.
fn numbered(lines: std::ops::Range<i64>) -> Vec<u8> {
    lines
        .flat_map(|line| {
            record_at(1_764_000_000_000 + line * 1_000, Stream::Stdout, false, format!("line {line}").as_bytes())
        })
        .collect()
}

#[tokio::test]
async fn a_run_of_this_pod_is_read_from_its_file_as_it_grows() {
    let story = Story::in_pod(&here()).await;
    let mut reader = story.open().await;
    assert_eq!(reader.origin(), Origin::File(story.file()));
    assert_eq!(reader.refresh().await.unwrap(), Extent::default());
    story.write(&numbered(0..3));
    assert_eq!(story.texts(&mut reader).await, ["line 0", "line 1", "line 2"]);
    story.write(&numbered(3..4));
    assert_eq!(reader.refresh().await.unwrap().lines, 4);
    let line = reader.lines(3..9).await.unwrap().remove(0);
    assert_eq!(
        (line.number, line.time, line.stream),
        (3, Some(Timestamp::from_millis(1_764_000_003_000)), Stream::Stdout)
    );
    assert_eq!(reader.line_since(Timestamp::from_millis(1_764_000_001_500)).await.unwrap(), 2);
    let query = Query { text: "LINE 2".to_lowercase() };
    assert_eq!(reader.find(&query, 0, Direction::Down).await.unwrap(), Some(2));
    assert_eq!(reader.find(&query, 1, Direction::Up).await.unwrap(), None);
}

#[tokio::test]
async fn a_search_that_nobody_waits_for_leaves_the_log_usable() {
    let story = Story::in_pod(&here()).await;
    story.write(&numbered(0..200_000));
    let mut reader = story.open().await;
    reader.refresh().await.unwrap();
    let query = Query { text: "nowhere".to_owned() };
    let search = reader.find(&query, 0, Direction::Down);
    assert!(tokio::time::timeout(Duration::from_millis(1), search).await.is_err());
    assert_eq!(reader.lines(199_999..200_000).await.unwrap()[0].spans[0].text, "line 199999");
}

#[tokio::test]
async fn a_run_of_another_pod_is_read_from_the_archive_as_it_grows() {
    let story = Story::in_pod("another").await;
    let mut reader = story.open().await;
    assert_eq!(reader.origin(), Origin::Archive);
    assert_eq!(reader.refresh().await.unwrap(), Extent::default());
    let (first, second) = (numbered(0..2_000), numbered(2_000..2_002));
    story.archive(0, &first).await;
    assert_eq!(reader.refresh().await.unwrap().lines, 2_000);
    story.archive(first.len() as u64, &second).await;
    assert_eq!(reader.refresh().await.unwrap().lines, 2_002);
    assert_eq!(story.texts(&mut reader).await[1_999..], ["line 1999", "line 2000", "line 2001"]);
}

#[tokio::test]
async fn the_end_of_an_archived_log_is_read_without_what_comes_before_and_as_it_grows() {
    let story = Story::in_pod("elsewhere").await;
    let mut offset = 0;
    for piece in 0..5 {
        let records = numbered(piece * 10..piece * 10 + 10);
        story.archive(offset, &records).await;
        offset += records.len() as u64;
    }
    let ledger = open_reader(&LedgerAddress::Sqlite(story.scene.state().join("ledger.db"))).await.unwrap();
    let mut reader = LogReader::open_end(&story.state(), ledger.clone(), &story.run).await.unwrap();
    assert_eq!(reader.origin(), Origin::Archive);
    let texts = story.texts(&mut reader).await;
    assert_eq!((texts.len(), texts[0].as_str(), texts[19].as_str()), (20, "line 30", "line 49"), "two pieces of five");
    story.archive(offset, &said("more")).await;
    assert_eq!(story.texts(&mut reader).await[20], "more");

    let here = Story::in_pod(&here()).await;
    here.write(&numbered(0..3));
    let mut reader = LogReader::open_end(&here.state(), ledger.clone(), &here.run).await.unwrap();
    assert_eq!(here.texts(&mut reader).await.len(), 3, "a file in this pod is read as it is");

    let silent = Story::in_pod("elsewhere").await;
    let mut reader = LogReader::open_end(&silent.state(), ledger, &silent.run).await.unwrap();
    assert!(silent.texts(&mut reader).await.is_empty());
}

#[tokio::test]
async fn what_the_archive_left_out_is_told_in_its_place() {
    let mut story = Story::in_pod("another").await;
    let first = said("one");
    story.archive(0, &first).await;
    story.archive(first.len() as u64 + 12_400_000, &said("two")).await;
    story.resume_in("a-third").await;
    story.archive(5_000, &said("three")).await;
    let mut reader = story.open().await;
    assert_eq!(
        story.texts(&mut reader).await,
        [
            "one",
            "... 12.4 MB left out of the archive; the log file in the pod of attempt 1 has them ...",
            "two",
            "... 5.0 kB left out of the archive; the log file in pod a-third has them ...",
            "three"
        ]
    );
}

#[tokio::test]
async fn a_run_resumed_here_shows_what_its_attempts_elsewhere_said_before() {
    let mut story = Story::in_pod("another").await;
    story.archive(0, &[said("elsewhere"), said("stopped")].concat()).await;
    story.resume_in(&here()).await;
    story.write(&said("here"));
    let mut reader = story.open().await;
    assert_eq!(reader.origin(), Origin::File(story.file()));
    assert_eq!(story.texts(&mut reader).await, ["elsewhere", "stopped", "here"]);
    story.write(&said("and on"));
    assert_eq!(story.texts(&mut reader).await, ["elsewhere", "stopped", "here", "and on"]);
}

#[tokio::test]
async fn attempts_in_the_same_pod_are_not_shown_twice() {
    let mut story = Story::in_pod(&here()).await;
    story.write(&said("first"));
    story.archive(0, &said("first")).await;
    story.resume_in(&here()).await;
    story.write(&numbered(1..2));
    story.archive(0, &numbered(1..2)).await;
    let mut reader = story.open().await;
    assert_eq!(story.texts(&mut reader).await, ["first", "line 1"]);
}

#[tokio::test]
async fn a_file_that_an_earlier_attempt_left_here_gives_way_to_the_archive() {
    let mut story = Story::in_pod(&here()).await;
    story.write(&said("first, here"));
    story.archive(0, &said("first, here")).await;
    story.resume_in("another").await;
    story.archive(0, &numbered(1..2)).await;
    let mut reader = story.open().await;
    assert_eq!(reader.origin(), Origin::Archive);
    assert_eq!(story.texts(&mut reader).await, ["first, here", "line 1"]);
}

#[tokio::test]
async fn a_state_directory_that_pods_share_is_read_directly() {
    let story = Story::in_pod("another").await;
    story.write(&numbered(0..50));
    story.archive(0, &numbered(0..10)).await;
    let mut reader = story.open().await;
    assert_eq!(reader.origin(), Origin::File(story.file()));
    assert_eq!(reader.refresh().await.unwrap().lines, 50);
}

#[tokio::test]
async fn a_log_file_that_is_gone_is_replaced_by_the_archive() {
    let mut story = Story::in_pod(&here()).await;
    story.archive(0, &said("kept")).await;
    story.finish(Outcome::Succeeded).await;
    let mut reader = story.open().await;
    assert_eq!(reader.origin(), Origin::Archive);
    assert_eq!(story.texts(&mut reader).await, ["kept"]);
}

#[tokio::test]
async fn logs_prints_what_is_asked_for() {
    let story = Story::in_pod(&here()).await;
    story.write(&numbered(0..2_000));
    story.write(&record_at(4_000_000_000_000, Stream::Stderr, false, b"\x1b[31mred\x1b[0m \x1b]0;title\x07end"));
    assert_eq!(story.logs(&[]).lines().count(), 2_001);
    assert_eq!(story.logs(&["--tail", "2"]), "line 1999\nred end\n");
    assert_eq!(story.logs(&["--tail", "1", "--raw"]), "\x1b[31mred\x1b[0m \x1b]0;title\x07end\n");
    assert_eq!(
        story.logs(&["--since", "2025-11-24T16:33:19Z", "-t"]).lines().next().unwrap(),
        "2025-11-24T16:33:19.000Z line 1999"
    );
    assert_eq!(story.logs(&["--since", "10m", "--tail", "1"]), "red end\n", "the last line is in the future");
    assert_eq!(story.scene.must(&["logs", "20260101_charges", "--tail", "1"]), "red end\n");
    assert_eq!(story.scene.must(&["logs", &story.run.id.short(), "--tail", "1"]), "red end\n");
    let line: Value = serde_json::from_str(&story.logs(&["--tail", "1", "--json"])).unwrap();
    assert_eq!(line["stream"], "stderr");
    assert_eq!(line["text"], "red end");
    assert_eq!(line["cut"], false);
    assert_eq!(line["time"], Timestamp::from_millis(4_000_000_000_000).rfc3339());
}

#[tokio::test]
async fn logs_rejoins_a_cut_line_only_in_its_raw_form() {
    let story = Story::in_pod(&here()).await;
    let piece = vec![b'x'; 16 * 1024];
    for _ in 0..100 {
        story.write(&record_at(0, Stream::Stdout, true, &piece));
    }
    story.write(&record_at(0, Stream::Stdout, false, b"end"));
    assert_eq!(story.logs(&["--raw"]), "x".repeat(100 * 16 * 1024) + "end\n");
    assert_eq!(story.logs(&[]), "x".repeat(16 * 1024) + " ... (cut; --raw shows all)\n");
}

#[tokio::test]
async fn following_ends_when_the_run_stands_still() {
    let mut story = Story::in_pod(&here()).await;
    story.write(&said("before"));
    let mut child = story.start_logs(&["-f"]);
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(printed.next().unwrap().unwrap(), "before");
    story.write(&said("meanwhile"));
    assert_eq!(printed.next().unwrap().unwrap(), "meanwhile");
    story.write(&said("at last"));
    story.finish(Outcome::Succeeded).await;
    assert_eq!(printed.next().unwrap().unwrap(), "at last");
    assert!(printed.next().is_none());
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!(complaints, "20260101_charges succeeded\n");
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn a_run_in_another_pod_can_be_followed() {
    let mut story = Story::in_pod("another").await;
    let mut child = story.start_logs(&["-f"]);
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    story.archive(0, &said("one")).await;
    assert_eq!(printed.next().unwrap().unwrap(), "one");
    story.archive(said("one").len() as u64, &said("two")).await;
    story.finish(Outcome::Succeeded).await;
    assert_eq!(printed.next().unwrap().unwrap(), "two");
    assert!(printed.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn following_ends_quietly_when_nobody_reads_any_more() {
    let story = Story::in_pod(&here()).await;
    story.write(&said("before"));
    let mut child = story.start_logs(&["-f"]);
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    printed.read_line(&mut String::new()).unwrap();
    drop(printed);
    let status = eventually("it ends", PATIENCE, || child.try_wait().unwrap());
    assert!(status.success());
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!(complaints, "");
}

#[tokio::test]
async fn printing_a_large_log_takes_little_memory() {
    let story = Story::in_pod(&here()).await;
    let block = [numbered(0..5_000), record_at(0, Stream::Stderr, true, &[0xff; 16 * 1024]).repeat(700)].concat();
    for _ in 0..10 {
        story.write(&block);
    }
    let size = fs::metadata(story.file()).unwrap().len();
    assert!(size > 100 << 20);
    for form in [&["--raw"][..], &[], &["--json"]] {
        let mut child = story.start_logs(form);
        let mut stdout = child.stdout.take().unwrap();
        let mut buffer = vec![0; 1 << 20];
        // The most that it ever took, as far as it can be seen until the end.
        let mut peak = 0;
        while stdout.read(&mut buffer).unwrap() > 0 {
            peak = peak_memory(child.id()).unwrap_or(peak);
        }
        assert!(child.wait().unwrap().success());
        assert!((1..64 << 20).contains(&peak), "{form:?}: {peak} bytes");
    }
}

/// The peak of a process's resident memory in bytes.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_does_not_hide_the_file() {
    let mut story = Story::in_pod(&here()).await;
    story.resume_in(&here()).await;
    story.write(&said("here"));
    let path = story.scene.state().join("ledger.db");
    let ledger = open_reader(&LedgerAddress::Sqlite(path.clone())).await.unwrap();
    fs::write(path.with_extension("broken"), b"not a database".repeat(1_000)).unwrap();
    fs::remove_file(path.with_extension("db-wal")).unwrap();
    fs::remove_file(path.with_extension("db-shm")).unwrap();
    fs::rename(path.with_extension("broken"), path).unwrap();
    assert!(ledger.run(story.run.id).await.is_err());
    let mut reader = LogReader::open(&story.state(), ledger, &story.run).await.unwrap();
    let texts = story.texts(&mut reader).await;
    assert!(texts.len() == 2 && texts[0].contains("earlier attempts are not shown") && texts[1] == "here", "{texts:?}");
}
