//! The speed that an operator gave a run, over what its manifest says.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::Speed;
use crate::place::Actor;
use crate::time::Timestamp;

/// A change of a run's speed: at least one part of it, each within its bounds. What it does not name stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct SpeedChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pace: Option<u8>,
}

/// A change as it is stored, before it is checked.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Parts {
    workers: Option<u8>,
    pace: Option<u8>,
}

/// Why something is no change of speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpeedError {
    /// Neither part is named.
    #[error("a change of speed names the number of workers, the pace, or both")]
    Nothing,
    /// See [`Speed::workers`].
    #[error("a run has 1 to {most} workers", most = Speed::MOST_WORKERS)]
    Workers,
    /// See [`Speed::pace`].
    #[error("a pace is 1 to 100 %; `stopover pause` stops a run")]
    Pace,
}

impl SpeedChange {
    /// A change to so many `workers`, or to a `pace` in percent, or both.
    ///
    /// # Errors
    /// [`SpeedError`] when neither is named or one is out of its range.
    pub fn new(workers: Option<u8>, pace: Option<u8>) -> Result<Self, SpeedError> {
        match (workers, pace) {
            (None, None) => Err(SpeedError::Nothing),
            (Some(workers), _) if !(1..=Speed::MOST_WORKERS).contains(&workers) => Err(SpeedError::Workers),
            (_, Some(pace)) if !(1..=100).contains(&pace) => Err(SpeedError::Pace),
            _ => Ok(Self { workers, pace }),
        }
    }

    /// A number of workers as a person types it.
    ///
    /// # Errors
    /// [`SpeedError::Workers`].
    pub fn parse_workers(text: &str) -> Result<u8, SpeedError> {
        let workers = text.trim().parse().ok().filter(|workers| (1..=Speed::MOST_WORKERS).contains(workers));
        workers.ok_or(SpeedError::Workers)
    }

    /// A pace as a person types it, e.g. `50` or `50%`.
    ///
    /// # Errors
    /// [`SpeedError::Pace`].
    pub fn parse_pace(text: &str) -> Result<u8, SpeedError> {
        let number = text.trim().trim_end_matches('%').trim_end();
        number.parse().ok().filter(|pace| (1..=100).contains(pace)).ok_or(SpeedError::Pace)
    }

    /// `speed` with this change.
    #[must_use]
    pub fn over(self, speed: Speed) -> Speed {
        Speed { workers: self.workers.unwrap_or(speed.workers), pace: self.pace.unwrap_or(speed.pace) }
    }

    /// This change and then `later`, as one.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self { workers: later.workers.or(self.workers), pace: later.pace.or(self.pace) }
    }
}

impl TryFrom<Parts> for SpeedChange {
    type Error = SpeedError;

    fn try_from(parts: Parts) -> Result<Self, SpeedError> {
        Self::new(parts.workers, parts.pace)
    }
}

impl From<Speed> for SpeedChange {
    /// All of a speed; what a manifest cannot hold is brought within its bounds.
    fn from(speed: Speed) -> Self {
        Self { workers: Some(speed.workers.clamp(1, Speed::MOST_WORKERS)), pace: Some(speed.pace.clamp(1, 100)) }
    }
}

/// What the speed is set to, e.g. `2 workers at 50 % pace`.
impl fmt::Display for SpeedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(workers) = self.workers {
            write!(f, "{workers} worker{}", if workers == 1 { "" } else { "s" })?;
        }
        if let Some(pace) = self.pace {
            write!(f, "{}{pace} % pace", if self.workers.is_some() { " at " } else { "" })?;
        }
        Ok(())
    }
}

/// The speed that operators gave a run, over all its attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tuning {
    /// All their changes, as one.
    pub speed: SpeedChange,
    /// Who made the latest.
    pub by: Actor,
    /// When, by the ledger's clock.
    pub at: Timestamp,
    /// When a worker recorded that it has heard it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let workers = SpeedChange::new(Some(2), None).unwrap();
        assert_eq!(workers.over(Speed { workers: 1, pace: 40 }), Speed { workers: 2, pace: 40 });
        let both = workers.then(SpeedChange::new(None, Some(50)).unwrap());
        assert_eq!(both.to_string(), "2 workers at 50 % pace");
        assert_eq!(both.then(SpeedChange::new(Some(1), None).unwrap()).to_string(), "1 worker at 50 % pace");
    }

    #[test]
    fn nothing_out_of_range_is_a_change_even_where_it_is_stored() {
        assert_eq!(SpeedChange::new(None, None), Err(SpeedError::Nothing));
        assert_eq!(SpeedChange::new(Some(0), Some(50)), Err(SpeedError::Workers));
        assert_eq!(SpeedChange::new(Some(17), None), Err(SpeedError::Workers));
        assert_eq!(SpeedChange::new(Some(1), Some(0)), Err(SpeedError::Pace));
        assert_eq!(SpeedChange::new(None, Some(101)), Err(SpeedError::Pace));
        assert!(serde_json::from_str::<SpeedChange>(r#"{"pace":0}"#).is_err());
        assert!(serde_json::from_str::<SpeedChange>("{}").is_err());
    }

    #[test]
    fn a_speed_is_typed_with_or_without_a_percent_sign() {
        assert_eq!((SpeedChange::parse_pace("50%"), SpeedChange::parse_pace(" 7 % ")), (Ok(50), Ok(7)));
        assert_eq!(SpeedChange::parse_workers("16"), Ok(16));
        for wrong in ["", "0", "101", "-1", "half", "5 0"] {
            assert_eq!(SpeedChange::parse_pace(wrong), Err(SpeedError::Pace), "{wrong}");
        }
        for wrong in ["", "0", "17", "300", "two"] {
            assert_eq!(SpeedChange::parse_workers(wrong), Err(SpeedError::Workers), "{wrong}");
        }
    }
}
