//! Whether telemetry may begin where a container may have only so many threads: a run comes first.
//!
//! Limits of a container say little, for that of its pod is not seen from within; so it is tried.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::threads::STARTER;

/// Threads of telemetry, at most, and as many processes and threads as a simple program starts.
const ROOM: usize = 16;
/// How long the system may take to forget threads that have ended.
const GONE_WITHIN: Duration = Duration::from_millis(100);
/// The stack of a thread that does nothing.
const SMALL: usize = 64 * 1024;

/// Whether this container may have as many threads more as telemetry uses, and as the run needs beside it.
pub fn has_room() -> bool {
    let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    let before = threads();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let mut waiting = Vec::with_capacity(ROOM);
    for _ in 0..ROOM {
        let gate = gate.clone();
        let wait = move || drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
        let Ok(thread) = thread::Builder::new().name(STARTER.to_owned()).stack_size(SMALL).spawn(wait) else { break };
        waiting.push(thread);
    }
    drop(closed);
    let room = waiting.len();
    for thread in waiting {
        let _ = thread.join();
    }
    // One that has ended is counted by the system a moment longer: gone before anything else is started.
    let latest = Instant::now() + GONE_WITHIN;
    while threads() > before && Instant::now() < latest {
        thread::sleep(Duration::from_millis(1));
    }
    room == ROOM
}
