//! Keeps a run from harming the server: looks at the server's own figures about once a second, and holds or slows the lanes.

pub mod calm;
pub mod judge;
pub mod latency;
pub mod sample;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::site::Site;
use super::throttle::{Throttle, Verdict};
use crate::catalog::Holds;
use judge::Judge;
pub use latency::OwnLoad;
use watch::Watch;

/// Between two samples.
const EVERY: Duration = Duration::from_secs(1);
/// Between two samples while the run pauses to measure the foreground, and before the first.
const EVERY_IN_A_PAUSE: Duration = Duration::from_millis(250);
/// A server that has not answered for so long is judged no more: batches have their own ways with it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes what an operator should know, once, e.g. that something cannot be watched.
pub type Note = Arc<dyn Fn(String) + Send + Sync>;

/// The task that watches the server.
pub struct Governor {
    watch: Watch,
    throttle: Throttle,
    holds: Holds,
}

impl Governor {
    /// A governor of `throttle` for the server of `site`, which looks at what `holds` names. `own` is what the lanes tell of their operations.
    #[must_use]
    pub fn new(site: Site, throttle: Throttle, holds: Holds, own: OwnLoad, note: Note) -> Self {
        Self { watch: Watch::new(site, holds, own, note), throttle, holds }
    }

    /// Watches until `stop` is cancelled, and leaves the lanes free. It never fails: what cannot be seen is not watched.
    pub async fn run(mut self, stop: CancellationToken) {
        if self.holds != Holds::NONE {
            let _ = stop.run_until_cancelled(self.watch_on()).await;
        }
        self.throttle.set_verdict(Verdict::FREE);
    }

    async fn watch_on(&mut self) {
        let mut judge = Judge::new(self.holds);
        let mut answered = Instant::now();
        let mut every = EVERY_IN_A_PAUSE;
        loop {
            let begun = Instant::now();
            if let Some(sample) = self.watch.sample().await {
                answered = Instant::now();
                self.throttle.set_verdict(judge.judge(&sample, answered));
            } else if answered.elapsed() >= PATIENCE {
                self.throttle.set_verdict(Verdict::FREE);
            }
            tokio::time::sleep(every.saturating_sub(begun.elapsed())).await;
            every = if judge.is_measuring() { EVERY_IN_A_PAUSE } else { EVERY };
        }
    }
}
