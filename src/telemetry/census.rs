//! How many runs are in which state.

use std::sync::{Mutex, PoisonError};

use crate::ledger::{Histories, Standing};
use crate::time::Timestamp;

/// How many migrations have a latest run of each standing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count([u64; Standing::ALL.len()]);

impl Count {
    /// At `now`, a time of the ledger's clock.
    #[must_use]
    pub fn of(histories: &Histories, now: Timestamp) -> Self {
        let mut count = Self::default();
        for run in histories.values().filter_map(|history| history.latest.as_deref()) {
            count.0[run.standing(now) as usize] += 1;
        }
        count
    }

    /// Every standing, those of which there is none as well.
    pub fn each(self) -> impl Iterator<Item = (Standing, u64)> {
        Standing::ALL.into_iter().zip(self.0)
    }
}

/// The latest count, shared by whoever watches the ledger and whoever sends it on.
#[derive(Debug, Default)]
pub struct Census(Mutex<Option<Count>>);

impl Census {
    /// Takes in how it is at `now`, a time of the ledger's clock.
    pub fn take(&self, histories: &Histories, now: Timestamp) {
        self.set(Some(Count::of(histories, now)));
    }

    /// The ledger is away: nothing is told that may no longer be so.
    pub fn forget(&self) {
        self.set(None);
    }

    /// The latest count, if one is known.
    #[must_use]
    pub fn latest(&self) -> Option<Count> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, count: Option<Count>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = count;
    }
}

#[cfg(test)]
mod tests {
    use crate::ledger::History;
    use crate::ledger::samples::{at, queued};

    use super::*;

    #[test]
    fn every_state_is_counted_also_those_without_a_run() {
        let run = queued(at(0));
        let expires = run.lease().unwrap().expires_at;
        let mut history = History::default();
        history.absorb(run.clone());
        let histories = Histories::from([(run.migration, history)]);
        let census = Census::default();
        assert_eq!(census.latest(), None);
        for (now, is) in [(run.created_at, Standing::Queued), (expires, Standing::Lost)] {
            census.take(&histories, now);
            let count: Vec<_> = census.latest().unwrap().each().collect();
            assert_eq!(count, Standing::ALL.map(|standing| (standing, u64::from(standing == is))));
        }
        census.forget();
        assert_eq!(census.latest(), None);
    }
}
