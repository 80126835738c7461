//! How much slower than in calm the foreground is.
//!
//! The calm latency cannot be seen while we work. So when there is a foreground and it is not known, the run pauses for a few
//! seconds to measure it; and again after a minute of going slow, in case the foreground has become slower by itself.

use std::time::{Duration, Instant};

use super::latency::Histogram;

/// Operations that a percentile takes.
const FEW: u64 = 20;
/// Operations from which on the 99th percentile is more than a single one's luck; below, it is the 95th.
const MANY: u64 = 300;
/// Seen in one sample, so many operations are a foreground that is worth a pause.
const TRAFFIC: u64 = 5;
/// The first part of a pause, in which batches that were under way still end.
const SETTLING: Duration = Duration::from_millis(500);
/// A pause ends after so long, or after [`ENOUGH`] operations.
const PAUSE: Duration = Duration::from_secs(4);
const ENOUGH: u64 = 2 * MANY;
/// So long after a pause there is none.
const BETWEEN_PAUSES: Duration = Duration::from_mins(1);
/// So many samples are looked at together.
const WINDOW: usize = 3;
/// Operations that come so slowly say nothing of the present.
const STALE: Duration = Duration::from_secs(15);
/// Below this, a difference is noise.
const NOISE: Duration = Duration::from_millis(5);

/// What to do about the foreground.
#[derive(Clone, Debug, PartialEq)]
pub enum Pressure {
    /// It is as in calm, or there is too little of it to say.
    None,
    /// Not calm, and not bad: as it is.
    Steady,
    /// It nears the limit.
    Some(String),
    /// It is past the limit.
    Strong(String),
    /// It has to be measured without us.
    Pause,
}

/// Watches the foreground's latency.
#[derive(Debug)]
pub struct Calm {
    /// How many times the calm latency is too much.
    times: f64,
    /// What is measured in a pause.
    undisturbed: Histogram,
    seen: Vec<(Instant, Histogram)>,
    pause: Option<Pause>,
    paused: Option<Instant>,
}

#[derive(Debug)]
struct Pause {
    since: Instant,
    seen: Histogram,
}

impl Calm {
    /// A watch that knows nothing yet; a latency of `times` the calm one is too much.
    #[must_use]
    pub fn new(times: f64) -> Self {
        Self { times, undisturbed: Histogram::default(), seen: Vec::new(), pause: None, paused: None }
    }

    /// Takes in what the foreground did since the previous sample. `slow` says whether the run has been slow for long.
    pub fn look(&mut self, seen: &Histogram, now: Instant, slow: bool) -> Pressure {
        if self.pause.is_some() {
            return self.go_on_pausing(seen, now);
        }
        let unknown = self.undisturbed.count() < FEW && seen.count() >= TRAFFIC;
        let due = self.paused.is_none_or(|paused| now - paused >= BETWEEN_PAUSES);
        if due && (unknown || (slow && self.undisturbed.count() >= FEW)) {
            self.pause = Some(Pause { since: now, seen: Histogram::default() });
            self.seen.clear();
            return Pressure::Pause;
        }
        self.compare(seen, now)
    }

    fn go_on_pausing(&mut self, seen: &Histogram, now: Instant) -> Pressure {
        let Some(pause) = &mut self.pause else { return Pressure::None };
        let settled = now - pause.since > SETTLING;
        if settled {
            pause.seen.add(seen);
        }
        if now - pause.since < PAUSE && pause.seen.count() < ENOUGH {
            return Pressure::Pause;
        }
        if pause.seen.count() >= FEW {
            self.undisturbed = std::mem::take(&mut pause.seen);
        }
        (self.pause, self.paused) = (None, Some(now));
        Pressure::None
    }

    fn compare(&mut self, seen: &Histogram, now: Instant) -> Pressure {
        self.seen.retain(|(at, _)| now - *at < STALE);
        self.seen.push((now, seen.clone()));
        let mut all = Histogram::default();
        self.seen.iter().for_each(|(_, seen)| all.add(seen));
        let few = all.count().min(self.undisturbed.count());
        if few < FEW {
            return Pressure::None;
        }
        let part = if few < MANY { 0.95 } else { 0.99 };
        let (Some(is), Some(calm)) = (all.percentile(part), self.undisturbed.percentile(part)) else {
            return Pressure::None;
        };
        let limit = calm.mul_f64(self.times).max(calm + NOISE);
        let margin = limit.saturating_sub(calm);
        let full = self.seen.len() >= WINDOW;
        if full {
            self.seen.remove(0);
        }
        let pressure = if is > limit {
            Pressure::Strong(format!("foreground latency {} > {}", millis(is), excess(self.times, calm, limit)))
        } else if full && is > calm + margin / 2 {
            Pressure::Some(format!("foreground latency {}, in calm {}", millis(is), millis(calm)))
        } else if full && is <= calm + margin / 4 {
            Pressure::None
        } else {
            Pressure::Steady
        };
        if matches!(pressure, Pressure::Some(_) | Pressure::Strong(_)) {
            // What is done about it shows only in what comes now.
            self.seen.clear();
        }
        pressure
    }
}

/// The limit in words: as the manifest says it, or as it is where that would be less than noise.
fn excess(times: f64, calm: Duration, limit: Duration) -> String {
    if calm.mul_f64(times) < limit {
        format!("{} (in calm {})", millis(limit), millis(calm))
    } else {
        format!("{times} x {}", millis(calm))
    }
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::super::latency::tests::histogram;
    use super::*;

    fn second(start: Instant, second: u64) -> Instant {
        start + Duration::from_secs(second)
    }

    /// About 200 operations of which the slowest are in the bucket at `tail`.
    fn busy(tail: u64) -> Histogram {
        histogram(&[(1_024, 180), (tail, 20)])
    }

    /// One that has measured a calm of 8 to 12 ms, in 600 operations; it is second 4.
    fn calm(start: Instant) -> Calm {
        let mut calm = Calm::new(2.0);
        for at in 0..3 {
            assert_eq!(calm.look(&busy(8_192), second(start, at), false), Pressure::Pause);
        }
        assert_eq!(calm.look(&busy(8_192), second(start, 3), false), Pressure::None);
        calm
    }

    #[test]
    fn a_foreground_is_measured_in_a_pause_first() {
        calm(Instant::now());
    }

    #[test]
    fn nobody_pauses_for_a_server_that_nobody_uses() {
        let (mut calm, start) = (Calm::new(2.0), Instant::now());
        for at in 0..100 {
            assert_eq!(calm.look(&histogram(&[(65_536, 2)]), second(start, at), true), Pressure::None);
        }
    }

    #[test]
    fn a_pause_ends_although_the_foreground_has_gone() {
        let (mut calm, start) = (Calm::new(2.0), Instant::now());
        assert_eq!(calm.look(&busy(8_192), start, false), Pressure::Pause);
        assert_eq!(calm.look(&Histogram::default(), second(start, 3), false), Pressure::Pause);
        assert_eq!(calm.look(&Histogram::default(), second(start, 4), false), Pressure::None);
        assert_eq!(calm.look(&busy(8_192), second(start, 5), false), Pressure::None, "there was a pause just now");
    }

    #[test]
    fn past_the_limit_it_says_so_at_once_and_near_it_after_a_while() {
        let start = Instant::now();
        let mut strong = calm(start);
        let Pressure::Strong(why) = strong.look(&busy(65_536), second(start, 5), false) else { panic!("it is slow") };
        assert_eq!(why, "foreground latency 82 ms > 2 x 10 ms");
        let mut some = calm(start);
        assert_eq!(some.look(&busy(12_288), second(start, 5), false), Pressure::Steady);
        assert_eq!(some.look(&busy(12_288), second(start, 6), false), Pressure::Steady);
        let near = some.look(&busy(16_384), second(start, 7), false);
        assert!(matches!(&near, Pressure::Some(why) if why.ends_with("ms, in calm 12 ms")), "{near:?}");
        assert_eq!(some.look(&busy(16_384), second(start, 8), false), Pressure::Steady, "it looks anew");
    }

    #[test]
    fn a_calm_foreground_is_no_pressure() {
        let start = Instant::now();
        let mut calm = calm(start);
        let pressures: Vec<Pressure> = (5..9).map(|at| calm.look(&busy(8_192), second(start, at), false)).collect();
        assert_eq!(pressures[2..], [Pressure::None, Pressure::None]);
    }

    #[test]
    fn a_few_milliseconds_more_are_noise_however_fast_the_calm_is() {
        let (mut calm, start) = (Calm::new(2.0), Instant::now());
        for at in 0..5 {
            calm.look(&histogram(&[(256, 200)]), second(start, at), false);
        }
        assert!(!matches!(calm.look(&histogram(&[(2_048, 200)]), second(start, 5), false), Pressure::Strong(_)));
        let Pressure::Strong(why) = calm.look(&histogram(&[(6_144, 200)]), second(start, 6), false) else { panic!() };
        assert_eq!(why, "foreground latency 8.1 ms > 5.5 ms (in calm 0.5 ms)");
    }

    #[test]
    fn a_run_that_is_slow_for_long_measures_again() {
        let start = Instant::now();
        let mut calm = calm(start);
        assert_ne!(calm.look(&busy(65_536), second(start, 30), true), Pressure::Pause);
        assert_eq!(calm.look(&busy(65_536), second(start, 70), true), Pressure::Pause);
    }
}
