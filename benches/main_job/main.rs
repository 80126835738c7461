//! What the main job costs, measured on whole processes: `cargo bench --bench main_job`.
//!
//! Three tables, each against a peer or the physical limit in the same run, rounds interleaved, medians shown:
//! the console (first frame, memory, idle, flood, launch), a worker's log path (against `cat` into a file), and
//! `stopover list` (against `migrate-mongo status`, which npm installs into `.dev/bench` on the first run).
//! Figures of single rounds vary with the machine; ratios of one run are what to compare.

mod console;
mod list;
mod log_path;
mod measure;
mod scene;

fn main() {
    // `cargo bench -- NAME` runs the parts whose name contains NAME; cargo itself passes `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let parts: [(&str, fn()); 3] = [("console", console::run), ("log_path", log_path::run), ("list", list::run)];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            part();
        }
    }
}
