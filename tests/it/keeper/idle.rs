//! What a keeper costs while nothing happens.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::pod::Pod;
use crate::support::scene::{PATIENCE, Scene};

/// Processor time used, in hundredths of a second.
pub fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn an_idle_keeper_uses_no_processor_time_and_a_few_megabytes() {
    let scene = Scene::new();
    let pod = Pod::new(&scene, &["--listen", "127.0.0.1:0"]).ready();
    let keeper = pod.keeper();
    let (before, begun) = (ticks(keeper), Instant::now());
    eventually("a while has passed", PATIENCE, || (begun.elapsed() > Duration::from_secs(5)).then_some(()));
    let used = ticks(keeper) - before;
    assert!(used <= 1, "{used} hundredths of a second");
    let status = fs::read_to_string(format!("/proc/{keeper}/status")).unwrap();
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib: u64 = own.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 8 * 1024, "{kib} KiB of its own");
    assert!(status.contains("Threads:\t1\n"), "{status}");
}
