//! How long and how often a call that fails is tried again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::time::short_duration;

use super::fault::{Fault, GIVE_UP_AFTER};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// A try that goes on for so long has not failed for the reason of the one before.
const SUCCESS: Duration = Duration::from_mins(1);

/// The patience of one lane; a success restores it.
#[derive(Debug, Default)]
pub struct Patience {
    failing: Option<Instant>,
    /// The latest failure.
    latest: Option<Instant>,
    tries: u32,
}

impl Patience {
    /// Something succeeded.
    pub fn restore(&mut self) {
        *self = Self::default();
    }

    /// Waits before the next try; longer each time, and not in step with others.
    ///
    /// # Errors
    /// [`Fault::Fatal`] when it has failed for too long, [`Fault::Stopped`] when the work is to stop.
    pub async fn wait(&mut self, reason: &str, stop: &CancellationToken) -> Result<(), Fault> {
        // What held for so long in between did succeed, though nobody said so.
        if self.latest.is_some_and(|latest| latest.elapsed() >= SUCCESS + LONGEST) {
            self.restore();
        }
        self.latest = Some(Instant::now());
        let since = *self.failing.get_or_insert_with(Instant::now);
        if since.elapsed() >= GIVE_UP_AFTER {
            return Err(Fault::Fatal(format!(
                "{reason}, again and again for {}; resume the run when that is mended",
                short_duration(GIVE_UP_AFTER)
            )));
        }
        let pause = (FIRST * 2u32.saturating_pow(self.tries.min(16))).min(LONGEST);
        self.tries += 1;
        let random = RandomState::new().hash_one(self.tries) % 512;
        tokio::select! {
            () = sleep(pause / 2 + pause.mul_f64(f64::from(u32::try_from(random).unwrap_or(0)) / 1024.0)) => Ok(()),
            () = stop.cancelled() => Err(Fault::Stopped),
        }
    }
}
