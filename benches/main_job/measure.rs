//! Reading a process's costs, and showing figures.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The middle of some figures; of an even number, the mean of the two in the middle.
pub fn median(mut figures: Vec<f64>) -> f64 {
    assert!(!figures.is_empty(), "a median needs figures");
    figures.sort_by(f64::total_cmp);
    f64::midpoint(figures[(figures.len() - 1) / 2], figures[figures.len() / 2])
}

/// A line of `/proc/PID/status` in MiB: `VmRSS` (now) or `VmHWM` (the highest so far).
pub fn memory(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the kernel tells it");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB");
    kib / 1024.0
}

/// Seconds of processor time that a process has used.
pub fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    let fields: Vec<f64> =
        stat.rsplit_once(") ").expect("a stat line").1.split(' ').map(|field| field.parse().unwrap_or(0.0)).collect();
    // utime and stime, in the 100 Hz ticks of user space (see time(7)).
    (fields[11] + fields[12]) / 100.0
}

/// Wall time in milliseconds and peak memory in MiB of a command that must succeed; its output is thrown away.
pub fn whole_process(command: &mut Command) -> (f64, f64) {
    let started = Instant::now();
    let child =
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).spawn().expect("the command starts");
    let pid = child.id();
    let mut child = child;
    let mut peak = 0.0_f64;
    loop {
        // A process that has just ended shows no memory any more: the last look counts.
        if let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status"))
            && let Some(kib) = status
                .lines()
                .find(|line| line.starts_with("VmHWM"))
                .and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
        {
            peak = peak.max(kib / 1024.0);
        }
        if let Some(status) = child.try_wait().expect("it is our child") {
            assert!(status.success(), "{command:?} ended with {status}");
            return (started.elapsed().as_secs_f64() * 1_000.0, peak);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One line of a table.
pub fn show(what: &str, figure: &str) {
    println!("  {what:<58} {figure}");
}
