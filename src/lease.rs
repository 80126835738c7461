//! The terms of a lease: how long a worker's right holds, how often it is renewed, and how much of it is kept to stop in.
//!
//! ```text
//! renewed                                     asked         killed   guard  over
//!    |------------------------------------------|-------------|--------|-----|
//!    0                              length - margin       -3/10 m   -3/20 m  length
//! ```
//!
//! All of it counts from the moment at which the last renewal that was answered was *sent*, by the monotonic clock of the worker's machine.
//! The ledger granted the lease later than that, so the worker's own reckoning always ends first.

use std::time::Duration;

use crate::time::short_duration;

/// See the module. One that exists makes sense: a worker can miss a renewal, and its program has time to stop before the lease is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    length: Duration,
    renewal: Duration,
    margin: Duration,
}

/// Terms as they are configured: what is left out has its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseSettings {
    /// `lease:`, how long the right holds without renewal.
    pub length: Option<Duration>,
    /// `renewal:`, how often it is renewed.
    pub renewal: Option<Duration>,
    /// `margin:`, how long before its end a worker that could not renew it stops its program.
    pub margin: Option<Duration>,
}

/// Why terms make no sense. Every text names the part and says what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseTermsError {
    /// A shorter one would be lost to an ordinary pause of the server; a longer one would hide a dead worker for a day.
    #[error("a lease of {} cannot be: make it {} to {}", short_duration(*.0), short_duration(LeaseTerms::SHORTEST), short_duration(LeaseTerms::LONGEST))]
    Length(Duration),
    /// A shorter one would only be a load on the ledger.
    #[error("a renewal every {} cannot be: make it at least {}", short_duration(*.0), short_duration(LeaseTerms::SHORTEST_RENEWAL))]
    Renewal(Duration),
    /// A program needs a moment to stop.
    #[error("a margin of {} cannot be: make it at least {}", short_duration(*.margin), short_duration(*.shortest))]
    Margin {
        /// What was given.
        margin: Duration,
        /// The least for a lease of this length.
        shortest: Duration,
    },
    /// The first renewal that fails would stop the program.
    #[error(
        "a lease of {} with a margin of {} leaves no room for two renewals, {} apart: make the lease longer, or the margin or the renewal shorter",
        short_duration(*.length), short_duration(*.margin), short_duration(*.renewal)
    )]
    Crowded {
        /// See [`LeaseTerms::length`].
        length: Duration,
        /// See [`LeaseTerms::renewal`].
        renewal: Duration,
        /// See [`LeaseTerms::margin`].
        margin: Duration,
    },
}

impl LeaseTerms {
    /// The length when none is configured.
    pub const DEFAULT: Duration = Duration::from_secs(30);
    /// The shortest length.
    pub const SHORTEST: Duration = Duration::from_secs(3);
    /// The longest length.
    pub const LONGEST: Duration = Duration::from_hours(24);
    /// The time between renewals when none is configured.
    pub const DEFAULT_RENEWAL: Duration = Duration::from_secs(1);
    /// The shortest time between renewals.
    pub const SHORTEST_RENEWAL: Duration = Duration::from_millis(100);
    /// The shortest margin.
    pub const SHORTEST_MARGIN: Duration = Duration::from_millis(500);
    /// At least one part of so many of the length is margin: no two clocks run at quite the same pace, and the longer a lease, the more that
    /// makes of it.
    pub const LEAST_MARGIN: u32 = 20;

    /// The terms that these settings make. The margin is a third of the length unless it is set.
    ///
    /// # Errors
    /// [`LeaseTermsError`] when they make no sense.
    pub fn new(settings: LeaseSettings) -> Result<Self, LeaseTermsError> {
        let length = settings.length.unwrap_or(Self::DEFAULT);
        let renewal = settings.renewal.unwrap_or(Self::DEFAULT_RENEWAL);
        let margin = settings.margin.unwrap_or(length / 3);
        if !(Self::SHORTEST..=Self::LONGEST).contains(&length) {
            return Err(LeaseTermsError::Length(length));
        }
        if renewal < Self::SHORTEST_RENEWAL {
            return Err(LeaseTermsError::Renewal(renewal));
        }
        let shortest = Self::SHORTEST_MARGIN.max(whole_seconds(length / Self::LEAST_MARGIN));
        if margin < shortest {
            return Err(LeaseTermsError::Margin { margin, shortest });
        }
        if length.saturating_sub(margin) < renewal.saturating_mul(2) {
            return Err(LeaseTermsError::Crowded { length, renewal, margin });
        }
        Ok(Self { length, renewal, margin })
    }

    /// How long the right holds without renewal.
    #[must_use]
    pub fn length(self) -> Duration {
        self.length
    }

    /// How often it is renewed; progress and an operator's wish travel with each renewal.
    #[must_use]
    pub fn renewal(self) -> Duration {
        self.renewal
    }

    /// How long before the end a worker that could not renew stops its program.
    #[must_use]
    pub fn margin(self) -> Duration {
        self.margin
    }

    /// After how long without renewal a program is asked to stop.
    #[must_use]
    pub fn asked_after(self) -> Duration {
        self.length.saturating_sub(self.margin)
    }

    /// After how long without renewal a program must not live any more.
    #[must_use]
    pub fn killed_after(self) -> Duration {
        self.length.saturating_sub(self.margin * 3 / 10)
    }

    /// After how long without renewal the guard ends worker and program. It leaves the worker the time to end the program itself.
    #[must_use]
    pub fn guarded_until(self) -> Duration {
        self.length.saturating_sub(self.margin * 3 / 20)
    }

    /// How long an answer of the ledger is waited for: a connection that has gone dead must not use up the lease.
    #[must_use]
    pub fn patience(self) -> Duration {
        (self.asked_after() / 2).clamp(Duration::from_millis(500), Duration::from_secs(10))
    }
}

impl LeaseSettings {
    /// These settings, and those of `below` where these say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            length: self.length.or(below.length),
            renewal: self.renewal.or(below.renewal),
            margin: self.margin.or(below.margin),
        }
    }
}

/// Rounded up, as a length of time is told.
fn whole_seconds(time: Duration) -> Duration {
    if time < Duration::from_secs(1) {
        time
    } else {
        Duration::from_secs((time + Duration::from_nanos(999_999_999)).as_secs())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(length: Option<u64>, renewal: Option<u64>, margin: Option<u64>) -> Result<LeaseTerms, LeaseTermsError> {
        let [length, renewal, margin] = [length, renewal, margin].map(|millis| millis.map(Duration::from_millis));
        LeaseTerms::new(LeaseSettings { length, renewal, margin })
    }

    #[test]
    fn half_a_minute_is_stopped_at_two_thirds_and_guarded_to_nineteen_twentieths() {
        let terms = terms(None, None, None).unwrap();
        assert_eq!((terms.length(), terms.renewal()), (Duration::from_secs(30), Duration::from_secs(1)));
        assert_eq!(terms.asked_after(), Duration::from_secs(20));
        assert_eq!(terms.killed_after(), Duration::from_secs(27));
        assert_eq!(terms.guarded_until(), Duration::from_millis(28_500));
        assert_eq!(terms.patience(), Duration::from_secs(10));
    }

    #[test]
    fn terms_that_make_no_sense_are_refused_with_what_would() {
        let refused = |terms: Result<LeaseTerms, LeaseTermsError>| terms.unwrap_err().to_string();
        assert_eq!(refused(terms(Some(2_000), None, None)), "a lease of 2 s cannot be: make it 3 s to 1 d");
        assert_eq!(refused(terms(None, Some(10), None)), "a renewal every 10 ms cannot be: make it at least 100 ms");
        assert_eq!(refused(terms(None, None, Some(0))), "a margin of 0 s cannot be: make it at least 2 s");
        let crowded = refused(terms(Some(10_000), None, Some(9_000)));
        assert!(
            crowded.starts_with("a lease of 10 s with a margin of 9 s leaves no room for two renewals"),
            "{crowded}"
        );
        assert!(terms(Some(3_000), None, None).is_ok(), "the shortest lease goes with the other defaults");
    }

    proptest! {
        #[test]
        fn whatever_the_terms_stopping_comes_in_its_order_and_before_the_end(
            length in 1_000_u64..100_000, renewal in 1_u64..20_000, margin in 0_u64..100_000,
        ) {
            let Ok(terms) = terms(Some(length), Some(renewal), Some(margin)) else { return Ok(()) };
            prop_assert!(terms.renewal() * 2 <= terms.asked_after());
            prop_assert!(terms.asked_after() < terms.killed_after());
            prop_assert!(terms.killed_after() < terms.guarded_until());
            prop_assert!(terms.guarded_until() < terms.length());
            prop_assert!(terms.patience() < terms.length());
        }
    }
}
