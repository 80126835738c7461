//! Points in time as the ledger keeps them, and how people read them.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time in UTC with millisecond precision, which is what BSON dates hold.
///
/// Decisions (is a lease still good?) only ever compare timestamps taken from the ledger's own clock;
/// [`Timestamp::of_this_machine`] is for log lines and for ages on a screen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// From milliseconds since the Unix epoch; values outside chrono's range are clamped.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(DateTime::from_timestamp_millis(millis).unwrap_or(if millis < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        }))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// The wall clock of this machine: never an argument in a decision about a lease.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::from_millis(Utc::now().timestamp_millis())
    }

    /// This time plus `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let delta = whole_millis(duration);
        Self(self.0.checked_add_signed(delta).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    /// This time minus `duration`.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let delta = whole_millis(duration);
        Self(self.0.checked_sub_signed(delta).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        (self.0 - earlier.0).to_std().unwrap_or_default()
    }

    /// RFC 3339 in UTC with milliseconds, the form of every script output.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// The time as chrono knows it.
    #[must_use]
    pub fn utc(self) -> DateTime<Utc> {
        self.0
    }
}

/// The time since this machine booted, suspension included: no setting of a clock changes it, and every process here reads the same.
#[must_use]
pub fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// A duration cut to the precision of a timestamp.
fn whole_millis(duration: Duration) -> TimeDelta {
    i64::try_from(duration.as_millis()).ok().and_then(TimeDelta::try_milliseconds).unwrap_or(TimeDelta::MAX)
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self::from_millis(time.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Stored as a BSON date, so that the database's own clock (`$$NOW`) and TTL indexes work on it.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bson::DateTime::from_millis(self.as_millis()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bson::DateTime::deserialize(deserializer).map(|time| Self::from_millis(time.timestamp_millis()))
    }
}

/// A duration in at most two units, for a person: `850 ms`, `42 s`, `3 min 20 s`, `5 h 3 min`, `4 d 2 h`.
#[must_use]
pub fn short_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let pair = |big: u64, big_unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{big} {big_unit}") } else { format!("{big} {big_unit} {small} {small_unit}") }
    };
    match seconds {
        0 if duration.subsec_millis() > 0 => format!("{} ms", duration.subsec_millis()),
        0..60 => format!("{seconds} s"),
        60..3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_in_at_most_two_units() {
        let read = |millis| short_duration(Duration::from_millis(millis));
        assert_eq!(read(0), "0 s");
        assert_eq!(read(850), "850 ms");
        assert_eq!(read(42_000), "42 s");
        assert_eq!(read(200_000), "3 min 20 s");
        assert_eq!(read(180_000), "3 min");
        assert_eq!(read(18_180_000), "5 h 3 min");
        assert_eq!(read(352_800_000), "4 d 2 h");
    }

    #[test]
    fn a_timestamp_survives_bson_and_json() {
        let time = Timestamp::from_millis(1_764_000_000_123);
        assert_eq!(time.rfc3339(), "2025-11-24T16:00:00.123Z");
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
        let document = bson::serialize_to_document(&std::collections::BTreeMap::from([("at", time)])).unwrap();
        assert_eq!(document.get_datetime("at").unwrap().timestamp_millis(), time.as_millis());
    }

    #[test]
    fn a_sum_has_whole_milliseconds() {
        let time = Timestamp::from_millis(1_000);
        assert_eq!(time.plus(Duration::from_micros(1_999)), Timestamp::from_millis(1_001));
        assert_eq!(time.minus(Duration::from_micros(1_999)), Timestamp::from_millis(999));
    }

    #[test]
    fn a_span_that_runs_backwards_is_zero() {
        let early = Timestamp::from_millis(1_000);
        let late = Timestamp::from_millis(3_500);
        assert_eq!(late.since(early), Duration::from_millis(2_500));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
