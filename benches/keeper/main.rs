//! What the keeper costs, measured on whole processes in process namespaces of their own: `cargo bench --bench keeper` (as root).
//!
//! Four parts: idling (processor time and memory over ten seconds), the exec probe, the end of a pod with ten workers (from SIGTERM to its exit), and a
//! storm of orphans, against a shell as PID 1, rounds interleaved. Ratios of one run are what to compare.

#[path = "../main_job/measure.rs"]
mod measure;
mod pod;

use std::time::{Duration, Instant};

use measure::{cpu, median, memory, show, whole_process};
use pod::Pod;

/// What a pod idles in where there is no keeper.
const SHELL: [&str; 3] = ["sh", "-c", "while true; do sleep 30; done"];
const WORKERS: usize = 10;
const ROUNDS: usize = 5;
const ORPHANS: usize = 5_000;

fn main() {
    // `cargo bench -- NAME` runs the parts whose name contains NAME; cargo itself passes `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let parts: [(&str, fn()); 4] = [("idle", idle), ("probe", probe), ("shutdown", shutdown), ("storm", storm)];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            part();
        }
    }
}

fn idle() {
    println!("\nidle: ten seconds");
    let (keeper, shell) = (Pod::keeper(), Pod::of(&SHELL));
    for (name, pod) in [("stopover keep", &keeper), ("sh", &shell)] {
        let before = cpu(pod.first());
        std::thread::sleep(Duration::from_secs(10));
        show(&format!("{name}: processor time"), &format!("{:.0} ms", (cpu(pod.first()) - before) * 1_000.0));
        let (all, own) = (memory(pod.first(), "VmRSS"), memory(pod.first(), "RssAnon"));
        show(&format!("{name}: memory"), &format!("{all:.1} MiB, of which {own:.1} its own"));
    }
}

fn probe() {
    const PROBES: usize = 50;
    println!("\nprobe: `stopover doctor --probe=ready`, median of {PROBES}");
    let pod = Pod::keeper();
    let times = (0..PROBES).map(|_| whole_process(&mut pod.probe()).0).collect();
    show("from its start to its answer", &format!("{:.1} ms", median(times)));
}

fn shutdown() {
    println!("\nshutdown: {WORKERS} workers whose programs stop when they are asked to, median of {ROUNDS}");
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut pod = Pod::keeper();
        pod.launch(WORKERS);
        let begun = Instant::now();
        pod.terminate();
        times.push(begun.elapsed().as_secs_f64());
        assert_eq!(pod.interrupted(), WORKERS, "every run is interrupted");
    }
    show("from SIGTERM to the end of the pod", &format!("{:.2} s", median(times)));
}

fn storm() {
    println!("\nstorm: {ORPHANS} orphans, median of {ROUNDS}, interleaved");
    let (mut keeper, mut shell) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        keeper.push(weather(&Pod::keeper()));
        shell.push(weather(&Pod::of(&SHELL)));
    }
    let column = |figures: &[(f64, f64)], pick: fn(&(f64, f64)) -> f64| median(figures.iter().map(pick).collect());
    for (name, figures) in [("stopover keep", &keeper), ("sh", &shell)] {
        let (time, cost) = (column(figures, |figure| figure.0), column(figures, |figure| figure.1));
        show(&format!("{name}: until none is left"), &format!("{time:.2} s"));
        show(&format!("{name}: processor time for each"), &format!("{cost:.0} us"));
    }
}

/// Seconds until all orphans are born and gone, and the first process's processor time for each in microseconds.
fn weather(pod: &Pod) -> (f64, f64) {
    let (begun, before) = (Instant::now(), cpu(pod.first()));
    pod.orphan(ORPHANS);
    while pod.zombies() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let used = cpu(pod.first()) - before;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let each = used * 1e6 / ORPHANS as f64;
    (begun.elapsed().as_secs_f64(), each)
}
