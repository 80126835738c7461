//! Numbers that differ with every run of the tests, and can be had again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The variable that holds the seed of a run to repeat.
const SEED: &str = "STOPOVER_TEST_SEED";

/// Xorshift: good enough to choose moments.
pub struct Random(u64);

impl Random {
    /// The seed of this run of a test, which is printed.
    pub fn seed() -> u64 {
        let seed = std::env::var(SEED).map_or_else(|_| RandomState::new().hash_one(0), |seed| seed.parse().unwrap());
        eprintln!("{SEED}={seed}");
        seed
    }

    /// One of several sequences that a seed has.
    pub fn new(seed: u64, sequence: u64) -> Self {
        let mut random = Self((seed ^ sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1);
        random.below(1);
        random.below(1);
        random
    }

    /// A number from 0 to `end`, without it.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    /// A time shorter than `end`.
    pub fn within(&mut self, end: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(end.as_micros()).unwrap()))
    }
}
