//! `GET /metrics`: real runs, as Prometheus reads about them.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use rustix::fs::{CWD, FileType, OFlags, mknodat};
use rustix::process::Signal;

use super::listener::address;
use super::{STUBBORN, go, until_printed};
use crate::support::eventually;
use crate::support::mongo::Database;
use crate::support::pod::Pod;
use crate::support::promtool::Figures;
use crate::support::scene::{PATIENCE, Scene};

const LISTEN: &[&str] = &["--listen", "127.0.0.1:0"];

/// A program that says how far it is, and goes on until the file `go` is there.
const COUNTS: &str = "echo '::stopover {\"done\":1200,\"total\":50000}'; while [ ! -e go ]; do sleep 0.05; done";

/// Asks for the figures.
fn send(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    stream
}

/// Head and body of the answer.
fn receive(mut stream: TcpStream) -> (String, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

fn ask(address: &str) -> (String, String) {
    receive(send(address))
}

/// The figures that a keeper answers with.
#[track_caller]
fn scrape(address: &str) -> Figures {
    let (head, body) = ask(address);
    assert!(head.starts_with("http/1.1 200 "), "{head}\n{body}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    Figures::of(&body)
}

/// Asks until a series has a value.
#[track_caller]
fn until(address: &str, series: &str, value: f64) -> Figures {
    let mut page = String::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually(series, PATIENCE, || {
            let figures = scrape(address);
            figures.text().clone_into(&mut page);
            (figures.get(series) == Some(value)).then_some(figures)
        })
    }));
    found.unwrap_or_else(|_| panic!("{series} has never been {value}:\n{page}"))
}

/// The processes of a pod that make pages.
fn children(pod: &Pod) -> Vec<i32> {
    let makes_a_page = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).nth(1) == Some(b"metrics")
    };
    pod.processes().into_iter().filter(makes_a_page).collect()
}

#[test]
fn a_run_is_told_of_while_it_is_at_work_and_what_it_did_afterwards() {
    let scene = Scene::new().script("20261101_counts", COUNTS).script("20261102_later", "true");
    let pod = Pod::new(&scene, LISTEN).ready();
    let address = address(&pod);
    let figures = scrape(&address);
    assert_eq!(figures.count("stopover_ledger_up"), 1, "a ledger that does not exist yet is an empty one");
    assert_eq!(figures.count("stopover_migrations{state=\"pending\"}"), 2);
    assert_eq!((figures.series("stopover_runs"), figures.series("stopover_migrations")), (10, 13));
    assert_eq!(figures.series("stopover_build_info"), 1);
    assert!(figures.count("process_resident_memory_bytes") > 0);

    let run = pod.launch(&["20261101_counts"]);
    let of = |metric: &str| format!("{metric}{{migration=\"20261101_counts\"}}");
    let figures = until(&address, &of("stopover_documents_done"), 1_200.0);
    assert_eq!(figures.count(&of("stopover_documents_expected")), 50_000);
    assert_eq!(figures.count(&of("stopover_run_attempt")), 1);
    assert_eq!(figures.count("stopover_runs{state=\"running\"}"), 1);
    assert_eq!(figures.count("stopover_run_unfinished{migration=\"20261101_counts\",state=\"running\"}"), 1);
    assert!(figures.get(&of("stopover_documents_rate")).unwrap() >= 0.0);
    let (age, heard) = (of("stopover_run_age_seconds"), of("stopover_run_heartbeat_age_seconds"));
    assert!(figures.get(&age).unwrap() >= figures.get(&heard).unwrap());
    let renewed = "stopover_lease_renewals_total{migration=\"20261101_counts\",outcome=\"ok\"}";
    let first =
        eventually("renewals are counted", PATIENCE, || scrape(&address).get(renewed).filter(|count| *count > 1.0));
    go(&scene);
    scene.until("20261101_counts", &["succeeded"]);
    let figures = until(&address, "stopover_migrations{state=\"applied\"}", 1.0);
    assert_eq!(figures.series("stopover_run_unfinished"), 0, "what is done is no longer told of one by one");
    let figures = until(&address, &of("stopover_documents_processed_total"), 1_200.0);
    assert!(figures.get(renewed).unwrap() >= first);
    assert_eq!(figures.count(&of("stopover_mirror_lines_dropped_total")), 0);
    assert_eq!(figures.series("stopover_batch_duration_seconds_count"), 0, "a program has no batches");
    assert!(!figures.text().contains(&run), "a run's id is no label");

    let by_hand = Figures::of(&pod.stopover(&["metrics"]).stdout);
    assert_eq!(by_hand.count(&of("stopover_documents_processed_total")), 1_200);
}

#[tokio::test]
async fn the_batches_of_steps_are_counted_over_all_runs_of_a_pod() {
    const NAME: &str = "20261103_flags";
    let database = Database::new();
    let driver = database.open().await;
    crate::support::documents::fill(&driver, "items", 5_000).await;
    let manifest = "description: Sets a flag\nbackfill: { collection: items, filter: { flag: { $ne: true } }, update: { $set: { flag: true } } }\nremaining: { collection: items, filter: { flag: { $ne: true } } }\n";
    let scene = Scene::new().manifest(NAME, manifest).variable("MONGODB_URI", database.uri());
    let pod = Pod::new(&scene, LISTEN).ready();
    let address = address(&pod);
    scene.must(&["init", "--environment", "staging"]);
    let (processed, batches) = (
        format!("stopover_documents_processed_total{{migration=\"{NAME}\"}}"),
        format!("stopover_batch_duration_seconds_count{{migration=\"{NAME}\",outcome=\"ok\"}}"),
    );
    let mut before = 0;
    for run in 1..=2 {
        let ended = pod.stopover(&["run", NAME, "--rerun", "--wait"]);
        assert_eq!(ended.status, 0, "{ended:?}");
        let figures = until(&address, &processed, f64::from(5_000 * run));
        let count = figures.count(&batches);
        assert!(count > before, "{count} batches after {before}");
        before = count;
        assert!(figures.get(&batches.replace("_count", "_sum")).unwrap() > 0.0);
        let all = batches.replace("_count", "_bucket").replace('}', ",le=\"+Inf\"}");
        assert_eq!(figures.count(&all), count);
        assert_eq!(figures.series("stopover_hold_seconds_total"), 6, "every reason has its series");
        // So that there is something to do again.
        driver.collection::<Document>("items").update_many(doc! {}, doc! { "$unset": { "flag": 1 } }).await.unwrap();
    }
}

#[test]
fn a_ledger_that_is_away_costs_its_part_and_shows_no_secret() {
    const SECRET: &str = "passw0rd";
    let scene = Scene::new().script("20261104_done", "echo '::stopover {\"done\":7}'");
    scene.launch(&["20261104_done", "--wait"]);
    eventually("the last figures are kept", PATIENCE, || {
        scene
            .must(&["metrics"])
            .contains("stopover_documents_processed_total{migration=\"20261104_done\"} 7")
            .then_some(())
    });
    let scene = scene.variable("STOPOVER_LEDGER", format!("mongodb://ada:{SECRET}@127.0.0.1:1/payments"));
    let pod = Pod::new(&scene, LISTEN).ready();
    let figures = scrape(&address(&pod));
    assert_eq!(figures.count("stopover_ledger_up"), 0);
    assert_eq!(figures.series("stopover_runs"), 0, "nothing is told that may not be so");
    assert_eq!(figures.count("stopover_documents_processed_total{migration=\"20261104_done\"}"), 7);
    let by_hand = pod.stopover(&["metrics"]);
    assert_eq!(by_hand.status, 0);
    assert!(by_hand.stderr.contains("warning: the ledger") && by_hand.stderr.contains("127.0.0.1:1"), "{by_hand:?}");
    for text in [figures.text(), &by_hand.stdout, &by_hand.stderr, &pod.output()] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_page_that_cannot_be_made_is_answered_with_the_reason() {
    let scene = Scene::new();
    let secret = scene.path().join("uri");
    fs::write(&secret, "mongodb://127.0.0.1:1/payments").unwrap();
    let scene = scene.variable("MONGODB_URI_FILE", secret.display().to_string());
    let scene = scene.variable("STOPOVER_LEDGER", "sqlite:ledger.db");
    let pod = Pod::new(&scene, LISTEN).ready();
    fs::remove_file(&secret).unwrap();
    let (head, body) = ask(&address(&pod));
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert!(body.contains("MONGODB_URI_FILE") && !body.contains("# EOF"), "{body}");
}

/// A pod whose keeper has started, and whose children wait at the file of a secret until somebody writes to it.
struct Stuck {
    scene: Scene,
}

impl Stuck {
    fn new() -> Self {
        let scene = Scene::new();
        let file = scene.path().join("uri");
        fs::write(&file, URI).unwrap();
        let scene = scene.variable("MONGODB_URI_FILE", file.display().to_string());
        Self { scene: scene.variable("STOPOVER_LEDGER", "sqlite:ledger.db") }
    }

    fn file(&self) -> PathBuf {
        self.scene.path().join("uri")
    }

    /// From now on whoever opens the file waits.
    fn block(&self, pod: &Pod) {
        // The other child of a keeper has read it by then.
        pod.says("no run is unfinished");
        fs::remove_file(self.file()).unwrap();
        mknodat(CWD, self.file(), FileType::Fifo, 0o600.into(), 0).unwrap();
    }

    /// Lets the one go on that waits, and whoever comes later.
    fn release(&self) {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
        let mut end = eventually("somebody waits", PATIENCE, || {
            OpenOptions::new().write(true).custom_flags(flags).open(self.file()).ok()
        });
        let aside = self.scene.path().join("aside");
        fs::write(&aside, URI).unwrap();
        fs::rename(&aside, self.file()).unwrap();
        end.write_all(URI.as_bytes()).unwrap();
    }
}

const URI: &str = "mongodb://127.0.0.1:1/payments";

#[test]
fn many_who_ask_at_once_share_the_answer_of_one_child() {
    let stuck = Stuck::new();
    let pod = Pod::new(&stuck.scene, LISTEN).ready();
    let address = address(&pod);
    stuck.block(&pod);
    let askers: Vec<_> = (0..50).map(|_| send(&address)).collect();
    let [child] = eventually("a child is at work", PATIENCE, || children(&pod).try_into().ok());
    // One who does not wait for the answer changes nothing for the others.
    drop(send(&address));
    assert_eq!(children(&pod), [child]);
    stuck.release();
    let answers: Vec<_> = askers.into_iter().map(receive).collect();
    for (head, body) in &answers {
        assert!(head.starts_with("http/1.1 200 "), "{head}\n{body}");
        assert_eq!(body, &answers[0].1);
    }
    Figures::of(&answers[0].1);
    eventually("the child is reaped", PATIENCE, || (!fs::exists(format!("/proc/{child}")).unwrap()).then_some(()));
}

#[test]
fn a_child_that_hangs_is_ended_and_the_keeper_answers_on() {
    let stuck = Stuck::new();
    let pod = Pod::new(&stuck.scene, LISTEN).ready();
    let address = address(&pod);
    stuck.block(&pod);
    let asker = send(&address);
    eventually("a child is at work", PATIENCE, || (children(&pod).len() == 1).then_some(()));
    let mut probe = TcpStream::connect(&address).unwrap();
    write!(probe, "GET /livez HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    let mut answer = String::new();
    probe.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (head, body) = receive(asker);
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert!(body.starts_with("no answer within 8 s"), "{body}");
    eventually("the child is gone", PATIENCE, || children(&pod).is_empty().then_some(()));
}

#[test]
fn a_pod_that_is_shut_down_starts_no_child_any_more() {
    let scene = Scene::new().script("stubborn", STUBBORN);
    let mut pod = Pod::new(&scene, &["--grace", "60s", LISTEN[0], LISTEN[1]]).ready();
    let address = address(&pod);
    let run = pod.launch(&["stubborn"]);
    until_printed(&scene, &run, "on");
    pod.signal(Signal::TERM);
    pod.says("this pod is being shut down");
    let (head, body) = ask(&address);
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert_eq!(body, "the pod is being shut down\n");
    go(&scene);
    assert!(pod.ends().success());
}

/// Asks without looking at the answer, which is whole.
#[track_caller]
fn scrape_in_haste(address: &str) {
    let (head, body) = ask(address);
    assert!(head.starts_with("http/1.1 200 ") && body.ends_with("# EOF\n"), "{head}");
}

#[test]
fn scrapers_leave_a_keeper_as_idle_as_they_found_it() {
    let scene = Scene::new();
    let pod = Pod::new(&scene, LISTEN).ready();
    let address = address(&pod);
    let first = scrape(&address);
    let start = first.count("process_start_time_seconds");
    assert!(start > 1_700_000_000, "{start}");
    for _ in 0..200 {
        scrape_in_haste(&address);
    }
    eventually("no child is left", PATIENCE, || children(&pod).is_empty().then_some(()));
    let keeper = pod.keeper();
    let status = fs::read_to_string(format!("/proc/{keeper}/status")).unwrap();
    assert!(status.contains("Threads:\t1\n"), "{status}");
    let (before, begun) = (super::idle::ticks(keeper), Instant::now());
    eventually("a while has passed", PATIENCE, || (begun.elapsed() > Duration::from_secs(3)).then_some(()));
    assert!(super::idle::ticks(keeper) - before <= 1);
}
