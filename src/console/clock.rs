//! The ledger's clock as the console knows it: what states are judged by, and what ages are counted from.

use std::time::Duration;

use crate::time::Timestamp;

/// A reading of the ledger's clock, and how much time has passed here since.
///
/// States are judged at the reading itself. While the ledger is away that reading stands still, so that a run is not called lost
/// merely because nobody could look; ages go on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    reading: Option<(Timestamp, Duration)>,
    uptime: Duration,
}

impl Clock {
    /// Time of this console, monotonic, since its start.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.uptime
    }

    /// Lets time pass; `uptime` is the time since the console's start.
    pub fn advance(&mut self, uptime: Duration) {
        self.uptime = self.uptime.max(uptime);
    }

    /// Takes a new reading of the ledger's clock.
    pub fn set(&mut self, ledger: Timestamp) {
        self.reading = Some((ledger, self.uptime));
    }

    /// The latest reading: the time at which states are judged.
    #[must_use]
    pub fn judged_at(&self) -> Timestamp {
        self.reading.map_or_else(Timestamp::of_this_machine, |(ledger, _)| ledger)
    }

    /// The present, in the ledger's time: for ages.
    #[must_use]
    pub fn present(&self) -> Timestamp {
        self.reading.map_or_else(Timestamp::of_this_machine, |(ledger, at)| ledger.plus(self.uptime.saturating_sub(at)))
    }

    /// What the ledger's clock showed at an uptime, as far as can be told from the latest reading.
    #[must_use]
    pub fn at(&self, uptime: Duration) -> Timestamp {
        self.present().minus(self.uptime.saturating_sub(uptime))
    }

    /// How old the latest reading is.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.reading.map(|(_, at)| self.uptime.saturating_sub(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_judged_at_the_reading_and_ages_go_on() {
        let mut clock = Clock::default();
        clock.advance(Duration::from_secs(10));
        clock.set(Timestamp::from_millis(1_000_000));
        clock.advance(Duration::from_secs(52));
        assert_eq!(clock.judged_at(), Timestamp::from_millis(1_000_000));
        assert_eq!(clock.present(), Timestamp::from_millis(1_042_000));
        assert_eq!(clock.age(), Some(Duration::from_secs(42)));
        assert_eq!(clock.at(Duration::from_secs(22)), Timestamp::from_millis(1_012_000));
    }

    #[test]
    fn time_never_runs_backwards() {
        let mut clock = Clock::default();
        clock.advance(Duration::from_secs(10));
        clock.advance(Duration::from_secs(3));
        assert_eq!(clock.uptime(), Duration::from_secs(10));
    }
}
