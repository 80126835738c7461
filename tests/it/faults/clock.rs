//! The system's clock is set back and forth by an hour while a worker runs; its monotonic clock goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::mongo::Database;

use super::*;

/// Where Debian has it for the machines that we build for.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// A pod whose wall clock is off by what stands in a file.
struct Clock(PathBuf);

impl Clock {
    fn of(scene: Scene) -> (Self, Scene) {
        let library = LIBRARIES.iter().find(|path| Path::new(path).exists());
        let library = *library.expect("this test needs libfaketime: `apt-get install libfaketime`");
        let file = scene.path().join("clock");
        let scene = scene
            .variable("LD_PRELOAD", library)
            .variable("FAKETIME_TIMESTAMP_FILE", file.display().to_string())
            .variable("FAKETIME_NO_CACHE", "1")
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let clock = Self(file);
        clock.set("+0");
        (clock, scene)
    }

    /// So many seconds off.
    fn set(&self, seconds: &str) {
        // In one step: it is read at every look at the clock.
        let next = self.0.with_extension("next");
        fs::write(&next, seconds).unwrap();
        fs::rename(next, &self.0).unwrap();
    }
}

/// For longer than a lease, the run is what it is at every look.
#[track_caller]
fn goes_on(case: &Case) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        let run = case.scene.run(NAME);
        assert_eq!((&run["state"], &run["attempt"]), (&"running".into(), &1.into()), "{run:#}");
    }
    case.program.works(5);
}

/// Whether the log's times show that the worker's clock was off.
fn off_by_an_hour(case: &Case, run: &Value) -> bool {
    let times: Vec<chrono::DateTime<chrono::Utc>> =
        case.log(run).lines().filter_map(|line| line.get(..24)?.parse().ok()).collect();
    times.windows(2).any(|pair| (pair[1] - pair[0]).abs() > chrono::TimeDelta::minutes(50))
}

fn through_the_hours(case: &Case, clock: &Clock) {
    let run = case.start();
    for seconds in ["-3600", "+3600", "+0"] {
        clock.set(seconds);
        goes_on(case);
    }
    assert!(off_by_an_hour(case, &run), "the clock of the worker was set: {}", case.log(&run));
    // And a lease ends when it must.
    clock.set("-3600");
    signal(worker_of(&run), Signal::KILL);
    case.scene.until(NAME, &["lost"]);
    assert_eq!(case.resume_and_check()["attempt"], 2);
}

#[test]
fn a_clock_set_by_an_hour_neither_ends_nor_extends_a_lease_of_an_embedded_ledger() {
    let (clock, scene) = Clock::of(Scene::new());
    through_the_hours(&Case::of(scene), &clock);
}

#[test]
fn a_clock_set_by_an_hour_means_nothing_where_the_server_s_clock_decides() {
    let database = Database::new();
    let (clock, scene) = Clock::of(Scene::new().variable("MONGODB_URI", database.uri()));
    through_the_hours(&Case::of(scene).stamped(), &clock);
}
