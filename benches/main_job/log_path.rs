//! What a worker's log path costs: a child that prints a file, supervised, against `cat` of the same file into another.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::measure::{median, show};
use crate::scene::Scene;

const LINES: u32 = 5_000_000;
const ROUNDS: usize = 5;

/// Prints the table.
pub fn run() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let input = scratch.path().join("input.log");
    write_lines(&input);
    let bytes = fs::metadata(&input).expect("written above").len();
    let script = format!("exec cat {}", input.display());
    let scene = Scene::new(0, &[("20260101_print", &script)]);
    scene.must(&["list"]);

    let mut plain = Vec::new();
    let mut supervised = Vec::new();
    let mut bare = Vec::new();
    for _ in 0..ROUNDS {
        let copy = scratch.path().join("copy.log");
        plain.push(seconds(|| {
            let output = File::create(&copy).expect("a file");
            let status = Command::new("cat").arg(&input).stdout(Stdio::from(output)).status().expect("cat");
            assert!(status.success());
        }));
        fs::remove_file(&copy).expect("written above");
        // What is not the log path: launching, claiming, finishing.
        bare.push(seconds(|| drop(scene.must(&["run", "20260101_print", "--rerun", "--wait"]))));
        let run = scene.must(&["runs", "--limit", "1", "--json"]);
        let runs: serde_json::Value = serde_json::from_str(&run).expect("JSON");
        let run = &runs[0];
        let time =
            |name: &str| chrono::DateTime::parse_from_rfc3339(run[name].as_str().expect("a time")).expect("RFC 3339");
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a benchmark")]
        supervised.push((time("endedAt") - time("startedAt")).num_milliseconds() as f64 / 1_000.0);
        let log = scene.state().join("runs").join(format!("{}.log", run["id"].as_str().expect("an id")));
        let kept = memchr::memchr_iter(b'\n', &fs::read(&log).expect("the run's log")).count();
        assert!(kept >= LINES as usize, "{kept} lines in the log, {LINES} were printed");
        fs::remove_file(&log).expect("read above");
    }
    let (plain, supervised, bare) = (median(plain), median(supervised), median(bare));
    #[expect(clippy::cast_precision_loss, reason = "a rate on a screen")]
    let rate = |seconds: f64| format!("{:.0} MB/s", bytes as f64 / seconds / 1e6);
    println!("\nlog path: {LINES} lines, {} MB, median of {ROUNDS}", bytes / 1_000_000);
    show("cat into a file", &format!("{plain:.2} s   {}", rate(plain)));
    show("the same through a worker (claim to end)", &format!("{supervised:.2} s   {}", rate(supervised)));
    show("launch to end, as the operator sees it", &format!("{bare:.2} s"));
    show("throughput against cat (aim: at least 0.5)", &format!("{:.2}", plain / supervised));
    show("added per line", &format!("{:.0} ns", (supervised - plain) / f64::from(LINES) * 1e9));
}

fn seconds(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

fn write_lines(path: &std::path::Path) {
    let mut file = std::io::BufWriter::new(File::create(path).expect("a file"));
    for number in 0..LINES {
        writeln!(
            file,
            "charge {number:>9}: sender set to customer cus_{:08x}, balance transaction verified, ok",
            number.wrapping_mul(2_654_435_761)
        )
        .expect("room on the disk");
    }
}
