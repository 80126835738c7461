//! What stands between a lane and its next batch: the operator's speed, and the governor's verdict on the state of the server.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::catalog::Speed;
use crate::ledger::EngineProgress;

/// The longest rest after one batch, however slow it shall go.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// Why no batch may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// In one word, of a few that there are.
    pub kind: HoldKind,
    /// For people, e.g. `replication lag 4.2 s > 2 s`.
    pub text: String,
}

/// See [`Hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldKind {
    /// A secondary is too far behind.
    ReplicationLag,
    /// The server's flow control lets next to nothing through.
    FlowControl,
    /// No write tickets are free.
    WriteTickets,
    /// Too much of the cache is dirty.
    DirtyCache,
    /// The oplog covers too short a time.
    OplogWindow,
    /// The latency of others is measured without the run.
    Measuring,
}

impl HoldKind {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::ReplicationLag,
        Self::FlowControl,
        Self::WriteTickets,
        Self::DirtyCache,
        Self::OplogWindow,
        Self::Measuring,
    ];

    /// The word for it in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ReplicationLag => "replication_lag",
            Self::FlowControl => "flow_control",
            Self::WriteTickets => "write_tickets",
            Self::DirtyCache => "dirty_cache",
            Self::OplogWindow => "oplog_window",
            Self::Measuring => "measuring",
        }
    }

    /// A hold of this kind.
    #[must_use]
    pub fn because(self, text: impl Into<String>) -> Hold {
        Hold { kind: self, text: text.into() }
    }
}

/// What the governor thinks of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Why no batch may begin.
    pub hold: Option<Hold>,
    /// Why it goes slower.
    pub slow: Option<String>,
    /// How much of the operator's pace is granted, 0.02 to 1.
    pub factor: f64,
    /// How much of a batch's target time is granted, 0.02 to 1.
    pub scale: f64,
}

impl Verdict {
    /// Nothing stands in the way.
    pub const FREE: Self = Self { hold: None, slow: None, factor: 1.0, scale: 1.0 };
    /// The least [`Verdict::factor`] and [`Verdict::scale`].
    pub const LEAST: f64 = 0.02;
}

/// Shared by all lanes of a run, its governor, and who takes the operator's wishes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Throttle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    speed: watch::Sender<Speed>,
    verdict: watch::Sender<Verdict>,
}

impl Throttle {
    /// One that goes at `speed` until it is told otherwise.
    #[must_use]
    pub fn new(speed: Speed) -> Self {
        let shared = Shared { speed: watch::Sender::new(speed), verdict: watch::Sender::new(Verdict::FREE) };
        Self { shared: Arc::new(shared) }
    }

    /// How fast it may go.
    #[must_use]
    pub fn speed(&self) -> Speed {
        *self.shared.speed.borrow()
    }

    /// Changes how fast it may go. Acts at once, also on lanes that rest.
    pub fn set_speed(&self, speed: Speed) {
        self.shared.speed.send_if_modified(|now| std::mem::replace(now, speed) != speed);
    }

    /// What the governor thinks.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.shared.verdict.borrow().clone()
    }

    /// Changes what the governor thinks. Acts at once.
    pub fn set_verdict(&self, verdict: Verdict) {
        self.shared.verdict.send_if_modified(|now| {
            let changed = *now != verdict;
            *now = verdict;
            changed
        });
    }

    /// How many lanes may work.
    #[must_use]
    pub fn workers(&self) -> u8 {
        self.speed().workers.clamp(1, Speed::MOST_WORKERS)
    }

    /// How much of a batch's target time is granted, for [`Pacer::size`](super::pacer::Pacer::size).
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.shared.verdict.borrow().scale.clamp(Verdict::LEAST, 1.0)
    }

    /// Why it holds or goes slower, for people: `holding: replication lag 4.2 s > 2 s`.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let verdict = self.shared.verdict.borrow();
        match (&verdict.hold, &verdict.slow) {
            (Some(hold), _) => Some(format!("{}{}", EngineProgress::HOLDING, hold.text)),
            (None, Some(slow)) if verdict.factor >= 0.995 => Some(format!("in smaller batches: {slow}")),
            (None, Some(slow)) => Some(format!("slowed to {:.0} %: {slow}", (verdict.factor * 100.0).max(1.0))),
            (None, None) => None,
        }
    }

    /// Waits until the speed or the verdict changes after this call.
    pub fn changed(&self) -> impl Future<Output = ()> + use<> {
        let (mut speed, mut verdict) = (self.shared.speed.subscribe(), self.shared.verdict.subscribe());
        let shared = Arc::clone(&self.shared);
        async move {
            // The senders live as long as this does: there is no end to be told of.
            tokio::select! {
                _ = speed.changed() => {}
                _ = verdict.changed() => {}
            }
            drop(shared);
        }
    }

    /// Waits while the verdict holds. Returns whether a batch may begin; it may not once `stop` is cancelled.
    pub async fn wait_turn(&self, stop: &CancellationToken) -> bool {
        loop {
            let changed = self.changed();
            if stop.is_cancelled() {
                return false;
            }
            if self.shared.verdict.borrow().hold.is_none() {
                return true;
            }
            tokio::select! {
                () = changed => {}
                () = stop.cancelled() => return false,
            }
        }
    }

    /// Rests after a batch of `busy`, so that a lane works only for its share of the time. A change of speed or verdict counts for the rest that
    /// is under way; `stop` ends it.
    pub async fn rest(&self, busy: Duration, stop: &CancellationToken) {
        let start = Instant::now();
        loop {
            let changed = self.changed();
            let end = start + self.rest_after(busy);
            if end <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(end) => return,
                () = changed => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn rest_after(&self, busy: Duration) -> Duration {
        let pace = f64::from(self.speed().pace.clamp(1, 100)) / 100.0;
        let share = pace * self.shared.verdict.borrow().factor.clamp(Verdict::LEAST, 1.0);
        busy.mul_f64((1.0 - share) / share).min(LONGEST_REST)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn throttle(pace: u8, factor: f64) -> Throttle {
        let throttle = Throttle::new(Speed { workers: 2, pace });
        throttle.set_verdict(Verdict { factor, ..Verdict::FREE });
        throttle
    }

    fn held() -> Verdict {
        Verdict { hold: Some(HoldKind::ReplicationLag.because("replication lag 4.2 s > 2 s")), ..Verdict::FREE }
    }

    #[test]
    fn a_rest_keeps_the_share_of_the_time() {
        let rest = |pace, factor, busy| throttle(pace, factor).rest_after(Duration::from_millis(busy)).as_millis();
        assert_eq!(rest(100, 1.0, 100), 0);
        assert_eq!(rest(50, 1.0, 100), 100);
        assert_eq!(rest(25, 1.0, 100), 300);
        assert_eq!(rest(50, 0.5, 100), 300);
        assert_eq!(rest(1, 0.1, 5_000), 10_000);
        assert_eq!(rest(0, 0.0, 5_000), 10_000);
    }

    #[test]
    fn the_reason_is_in_words() {
        let throttle = throttle(100, 1.0);
        assert_eq!(throttle.reason(), None);
        throttle.set_verdict(held());
        assert_eq!(throttle.reason().unwrap(), "holding: replication lag 4.2 s > 2 s");
        let slow = Some("foreground latency 42 ms > 2 x 12 ms".to_owned());
        throttle.set_verdict(Verdict { slow: slow.clone(), factor: 0.35, ..Verdict::FREE });
        assert_eq!(throttle.reason().unwrap(), "slowed to 35 %: foreground latency 42 ms > 2 x 12 ms");
        throttle.set_verdict(Verdict { slow, scale: 0.35, ..Verdict::FREE });
        assert_eq!(throttle.reason().unwrap(), "in smaller batches: foreground latency 42 ms > 2 x 12 ms");
    }

    #[tokio::test]
    async fn a_lane_waits_while_the_verdict_holds() {
        let (throttle, stop) = (throttle(100, 1.0), CancellationToken::new());
        assert!(throttle.wait_turn(&stop).await);
        throttle.set_verdict(held());
        let lane = tokio::spawn({
            let (throttle, stop) = (throttle.clone(), stop.clone());
            async move { throttle.wait_turn(&stop).await }
        });
        tokio::task::yield_now().await;
        assert!(!lane.is_finished());
        throttle.set_verdict(Verdict::FREE);
        assert!(timeout(SOON, lane).await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn a_lane_that_waits_or_rests_stops_at_once() {
        let (throttle, stop) = (throttle(1, 1.0), CancellationToken::new());
        throttle.set_verdict(held());
        let both = async { tokio::join!(throttle.wait_turn(&stop), throttle.rest(Duration::from_secs(9), &stop)) };
        let (both, ()) = tokio::join!(timeout(SOON, both), async { stop.cancel() });
        assert!(!both.unwrap().0);
    }

    #[tokio::test]
    async fn a_change_of_speed_counts_for_the_rest_under_way() {
        let (throttle, stop) = (throttle(1, 1.0), CancellationToken::new());
        let rest = timeout(SOON, throttle.rest(Duration::from_secs(9), &stop));
        let (rested, ()) = tokio::join!(rest, async { throttle.set_speed(Speed { workers: 1, pace: 100 }) });
        rested.unwrap();
        assert_eq!(throttle.workers(), 1);
    }
}
