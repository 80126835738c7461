//! What all tests share.

pub mod documents;
pub mod ecs;
pub mod http;
pub mod hung;
pub mod link;
pub mod mongo;
pub mod nobody;
pub mod otlp;
pub mod pod;
pub mod promtool;
pub mod proxy;
pub mod pty;
pub mod replica_set;
pub mod scene;
pub mod server;
pub mod steady;
pub mod told;
pub mod webhook;

use std::time::{Duration, Instant};

/// Waits until `probe` answers, looking every 20 ms; fails with `what` when it has not within `within`.
#[track_caller]
pub fn eventually<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As [`eventually`], for a probe that awaits.
pub async fn eventually_async<T>(what: &str, within: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
