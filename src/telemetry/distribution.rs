//! How long something took, over many times: counts by fixed bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The upper bounds in milliseconds, each inclusive. A batch is steered to some hundreds of milliseconds, the renewal of a lease takes a few.
const BOUNDS: [u32; 12] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

/// See the module. It only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// Times within each bound and above the one before; the last are those above all.
    counts: [u64; BOUNDS.len() + 1],
    /// All together, in microseconds.
    micros: u64,
}

impl Distribution {
    /// The upper bounds, in seconds.
    #[must_use]
    pub fn bounds() -> [f64; BOUNDS.len()] {
        BOUNDS.map(|millis| f64::from(millis) / 1e3)
    }

    /// Takes one more in.
    pub fn add(&mut self, took: Duration) {
        let within = BOUNDS.iter().position(|&millis| took <= Duration::from_millis(millis.into()));
        let count = &mut self.counts[within.unwrap_or(BOUNDS.len())];
        *count = count.saturating_add(1);
        self.micros = self.micros.saturating_add(micros(took));
    }

    /// Bound by bound, as `with` makes one count of two: the sum of both, or what came since another.
    #[must_use]
    pub fn combined(&self, other: &Self, with: fn(u64, u64) -> u64) -> Self {
        let mut both = *self;
        for (count, other) in both.counts.iter_mut().zip(other.counts) {
            *count = with(*count, other);
        }
        both.micros = with(both.micros, other.micros);
        both
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// How long all of them took together.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        seconds(self.micros)
    }

    /// How many took at most so many seconds, for each bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let sums = self.counts.iter().scan(0_u64, |sum, &count| {
            *sum = sum.saturating_add(count);
            Some(*sum)
        });
        Self::bounds().into_iter().zip(sums)
    }
}

/// Whole microseconds: what is added up for weeks keeps its precision, and no file can bring in what is no number.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// As seconds.
#[expect(clippy::cast_precision_loss, reason = "285 years are within 53 bits")]
pub(super) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the bounds are what they are written as")]
    fn a_time_counts_within_its_bound_and_every_longer_one() {
        let mut times = Distribution::default();
        for millis in [0, 5, 6, 100, 30_000, 30_001, 90_000] {
            times.add(Duration::from_millis(millis));
        }
        let within: Vec<_> = times.cumulative().map(|(_, count)| count).collect();
        assert_eq!(within, [2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5]);
        assert_eq!(times.count(), 7);
        assert_eq!(times.seconds(), 150.112);
        assert_eq!(Distribution::bounds()[0], 0.005);
    }

    #[test]
    fn two_together_are_as_if_all_were_of_one() {
        let (mut one, mut other, mut all) = Default::default();
        let add = |to: &mut Distribution, millis| to.add(Duration::from_millis(millis));
        for millis in 0..40 {
            add(if millis % 3 == 0 { &mut one } else { &mut other }, millis);
            add(&mut all, millis);
        }
        assert_eq!(one.combined(&other, u64::saturating_add), all);
        assert_eq!(all.combined(&one, u64::saturating_sub), other);
    }
}
