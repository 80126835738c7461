//! Stopover itself, with manifests for the payments: the real binary, its worker on its own, its ledger in the same MongoDB.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bson::DateTime;
use serde_json::Value;
use tempfile::TempDir;

use crate::measure::memory;
use crate::node::write_transform;

const STOPOVER: &str = env!("CARGO_BIN_EXE_stopover");

const UPDATE: &str = "update: [{ $set: { amountInCents: { $toLong: { $round: { $multiply: [$amount, 100] } } } } }]";
const TRANSFORM: &str = "transform: { command: [node, transform.js] }";

/// A way to do it: its name, what computes, how many workers, and whether the governor is left at its default.
pub struct Way(&'static str, &'static str, u8, bool);

/// One worker.
pub const ONE: Way = Way("20260101_one", UPDATE, 1, false);
/// Two.
pub const TWO: Way = Way("20260101_two", UPDATE, 2, false);
/// Application code.
pub const CODE: Way = Way("20260101_code", TRANSFORM, 1, false);
/// Application code, two workers.
pub const CODE_TWO: Way = Way("20260101_code_two", TRANSFORM, 2, false);
/// One worker, as gentle as by default.
pub const GENTLE: Way = Way("20260101_gentle", UPDATE, 1, true);

/// A catalog and a state directory.
pub struct Scene {
    directory: TempDir,
    uri: String,
}

/// What a run came to.
pub struct Outcome {
    /// From its start to its end, in seconds, as the ledger has it.
    pub seconds: f64,
    /// The highest memory of its worker, in MiB.
    pub peak: f64,
    /// Documents of a batch, at the end.
    pub batch: u32,
    /// Documents changed.
    pub modified: i64,
}

impl Scene {
    /// On a database.
    pub fn new(uri: String) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let folder = directory.path().join("migrations");
        fs::create_dir(&folder).expect("a folder for migrations");
        fs::write(directory.path().join("stopover.yaml"), "catalog:\n  - files: migrations/*.yaml\n")
            .expect("a catalog");
        write_transform(&folder);
        for Way(name, change, workers, governed) in [&ONE, &TWO, &CODE, &CODE_TWO, &GENTLE] {
            let hold = if *governed { "" } else { "hold: off\n" };
            let manifest = format!(
                "backfill:\n  collection: payments\n  filter: {{ amountInCents: {{ $exists: false }} }}\n  {change}\nspeed: {{ workers: {workers} }}\n{hold}"
            );
            fs::write(folder.join(format!("{name}.yaml")), manifest).expect("a manifest");
        }
        let scene = Self { directory, uri };
        scene.must(&["init", "--environment", "bench"]);
        scene
    }

    fn stopover(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(STOPOVER);
        command
            .args(arguments)
            .env("STOPOVER_CATALOG", self.directory.path().join("stopover.yaml"))
            .env("STOPOVER_STATE_DIR", self.directory.path().join("state"))
            .envs([("STOPOVER_MIRROR", "off"), ("STOPOVER_OPERATOR", "bench"), ("MONGODB_URI", &self.uri)])
            .env_remove("STOPOVER_LEDGER");
        command
    }

    fn must(&self, arguments: &[&str]) -> String {
        let output = self.stopover(arguments).output().expect("the binary starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Launches a run.
    pub fn launch(&self, way: &Way) -> Running<'_> {
        self.launch_with(way, &[])
    }

    fn launch_with(&self, way: &Way, variables: &[(&str, String)]) -> Running<'_> {
        let mut command = self.stopover(&["run", way.0, "--rerun", "--wait"]);
        // The first is no rerun.
        if self.latest(way.0).is_none() {
            command = self.stopover(&["run", way.0, "--wait"]);
        }
        let process = command
            .envs(variables.iter().cloned())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        Running { scene: self, name: way.0, process, pid: None, peak: 0.0 }
    }

    /// Launches a run and waits for its end.
    pub fn run(&self, way: &Way) -> Outcome {
        self.run_with(way, &[])
    }

    /// The same with these variables.
    pub fn run_with(&self, way: &Way, variables: &[(&str, String)]) -> Outcome {
        let mut running = self.launch_with(way, variables);
        while !running.is_over() {
            std::thread::sleep(Duration::from_millis(20));
        }
        running.outcome()
    }

    fn latest(&self, name: &str) -> Option<Value> {
        let runs: Value = serde_json::from_str(&self.must(&["runs", name, "--json"])).expect("JSON");
        runs.get(0).cloned()
    }
}

/// A run under way.
pub struct Running<'a> {
    scene: &'a Scene,
    name: &'static str,
    process: Child,
    pid: Option<u32>,
    peak: f64,
}

impl Running<'_> {
    /// Whether it is over. To be asked again and again: it looks at the worker's memory, too.
    pub fn is_over(&mut self) -> bool {
        if self.pid.is_none() {
            self.pid = self.worker();
        }
        if let Some(pid) = self.pid.filter(|pid| fs::metadata(format!("/proc/{pid}/exe")).is_ok()) {
            let alive = fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("VmHWM"));
            if alive {
                self.peak = self.peak.max(memory(pid, "VmHWM"));
            }
        }
        self.process.try_wait().expect("it is our child").is_some()
    }

    /// What it came to; waits for its end.
    pub fn outcome(mut self) -> Outcome {
        let status = self.process.wait().expect("it is our child");
        let run = self.scene.latest(self.name).expect("there was a run");
        assert!(status.success() || run["state"] == "cancelled", "{run:#}");
        let at = |field: &str| {
            let text = run[field].as_str().unwrap_or_else(|| panic!("{field} in {run:#}"));
            DateTime::parse_rfc3339_str(text).expect("a time").timestamp_millis() as f64 / 1_000.0
        };
        Outcome {
            seconds: at("endedAt") - at("startedAt"),
            peak: self.peak,
            batch: run["engine"]["batch"].as_u64().and_then(|batch| batch.try_into().ok()).unwrap_or(1_000),
            modified: run["engine"]["modified"].as_i64().unwrap_or(0),
        }
    }

    /// Cancels it.
    pub fn cancel(self) -> Outcome {
        self.scene.must(&["cancel", self.name]);
        self.outcome()
    }

    /// Its worker is a process of its own, which has the same state directory.
    fn worker(&self) -> Option<u32> {
        let state = format!("STOPOVER_STATE_DIR={}", self.scene.directory.path().join("state").display());
        let contains = |file: String, text: &str| {
            fs::read(file).is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|word| word == text.as_bytes()))
        };
        fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()).find(
            |pid| {
                contains(format!("/proc/{pid}/cmdline"), "worker") && contains(format!("/proc/{pid}/environ"), &state)
            },
        )
    }
}

/// Seconds that some work takes.
pub fn seconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let begun = Instant::now();
    let done = work();
    (begun.elapsed().as_secs_f64(), done)
}
