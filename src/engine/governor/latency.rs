//! How long operations take, as the server counts them: in buckets, cumulatively, and with our own among them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bson::Document;

use super::sample::{number, whole};

/// Most of our own operations that are remembered between two samples; past it, some of them count as the foreground's.
const MOST_REMEMBERED: usize = 10_000;
/// By how many times the client's own measure of an operation may exceed the server's.
const WIRE: u64 = 8;

/// Operations by their duration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many, by the lower bound of their bucket in microseconds.
    buckets: BTreeMap<u64, u64>,
}

impl Histogram {
    /// What `opLatencies` says of one kind of operation; empty when there is no histogram.
    #[must_use]
    pub fn of(latencies: &Document) -> Self {
        let entries = latencies.get_array("histogram").map(Vec::as_slice).unwrap_or_default();
        let bucket = |entry: &bson::Bson| {
            let entry = entry.as_document()?;
            Some((whole(number(entry, &["micros"])?), whole(number(entry, &["count"])?)))
        };
        Self { buckets: entries.iter().filter_map(bucket).collect() }
    }

    /// How many operations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// Takes in the operations of another.
    pub fn add(&mut self, other: &Self) {
        for (bound, count) in &other.buckets {
            *self.buckets.entry(*bound).or_default() += count;
        }
    }

    /// What came since an earlier state; `None` when this is not a later state of the same server.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let mut buckets = self.buckets.clone();
        for (bound, count) in &earlier.buckets {
            let now = buckets.get_mut(bound)?;
            *now = now.checked_sub(*count)?;
        }
        buckets.retain(|_, count| *count > 0);
        Some(Self { buckets })
    }

    /// The duration that so great a part (0 to 1) of the operations does not exceed, interpolated within its bucket.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no server answers 2^52 operations between two samples")]
    pub fn percentile(&self, part: f64) -> Option<Duration> {
        let rank = self.count() as f64 * part;
        let mut before = 0.0;
        for (bound, count) in &self.buckets {
            let count = *count as f64;
            if before + count >= rank && count > 0.0 {
                let (low, high) = (*bound as f64, upper(*bound) as f64);
                return Some(Duration::from_secs_f64((low + (high - low) * (rank - before) / count) / 1e6));
            }
            before += count;
        }
        None
    }

    /// Takes out one operation that a client saw take `time`; the server counts a little less. `false` when there is none like it.
    fn remove(&mut self, time: Duration) -> bool {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let Some((bound, count)) = self.buckets.range_mut(..=time).next_back() else { return false };
        if upper(*bound).saturating_mul(WIRE) < time {
            return false;
        }
        *count -= 1;
        if *count == 0 {
            let bound = *bound;
            self.buckets.remove(&bound);
        }
        true
    }
}

/// Where the server's bucket that begins at `bound` ends: powers of two, and from 2 ms to 2 s also the middles between them.
fn upper(bound: u64) -> u64 {
    match bound {
        0 => 2,
        2_048..2_097_152 if bound.is_power_of_two() => bound / 2 * 3,
        2_048..2_097_152 => bound / 3 * 4,
        _ => bound.saturating_mul(2),
    }
}

/// What the engine itself asked of the server: lanes tell it, and the governor takes it out of the server's figures. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct OwnLoad {
    finished: Arc<Mutex<Finished>>,
}

#[derive(Debug, Default)]
struct Finished {
    reads: Vec<Duration>,
    writes: Vec<Duration>,
}

impl OwnLoad {
    /// Tells of a `find`, `aggregate` or `count` (or a `getMore` of one) that took `time`. Commands, commits among them, need not be told:
    /// the governor looks at reads and writes only.
    pub fn read(&self, time: Duration) {
        remember(&mut self.finished().reads, time);
    }

    /// Tells of an `update`, `insert`, `delete` or `findAndModify` that took `time`.
    pub fn wrote(&self, time: Duration) {
        remember(&mut self.finished().writes, time);
    }

    fn take(&self) -> Finished {
        std::mem::take(&mut *self.finished())
    }

    fn finished(&self) -> MutexGuard<'_, Finished> {
        // Nothing can panic while it is locked.
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remember(times: &mut Vec<Duration>, time: Duration) {
    if times.len() < MOST_REMEMBERED {
        times.push(time);
    }
}

/// The server's counts at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// Which process counted: another primary has counts of its own.
    pub server: String,
    /// Reads since it started.
    pub reads: Histogram,
    /// Writes since it started.
    pub writes: Histogram,
}

/// Tells the foreground's operations from our own.
#[derive(Debug, Default)]
pub struct Foreground {
    before: Option<Counted>,
    /// Of ours, what the server had not yet counted at the latest sample.
    owed: Finished,
}

impl Foreground {
    /// The foreground's operations since the previous call; `None` at the first, and where another server has taken over.
    pub fn since_last(&mut self, now: &Counted, own: &OwnLoad) -> Option<Histogram> {
        let own = own.take();
        let owed = std::mem::take(&mut self.owed);
        let before = self.before.replace(now.clone()).filter(|before| before.server == now.server)?;
        let (mut reads, mut writes) = (now.reads.since(&before.reads)?, now.writes.since(&before.writes)?);
        self.owed.reads = take_out(&mut reads, owed.reads, own.reads);
        self.owed.writes = take_out(&mut writes, owed.writes, own.writes);
        reads.add(&writes);
        Some(reads)
    }
}

/// Takes our operations out; returns those that are not there yet. They are looked for once more, never longer.
fn take_out(counted: &mut Histogram, mut owed: Vec<Duration>, mut fresh: Vec<Duration>) -> Vec<Duration> {
    // The longest first: they have the fewest like them.
    owed.sort_unstable_by(|a, b| b.cmp(a));
    fresh.sort_unstable_by(|a, b| b.cmp(a));
    for time in owed {
        counted.remove(time);
    }
    fresh.retain(|time| !counted.remove(*time));
    fresh
}

#[cfg(test)]
pub(super) mod tests {
    use bson::doc;

    use super::*;

    pub fn histogram(buckets: &[(u64, u64)]) -> Histogram {
        Histogram { buckets: buckets.iter().copied().collect() }
    }

    fn counted(writes: &[(u64, u64)]) -> Counted {
        Counted { server: "db-0:1".to_owned(), reads: Histogram::default(), writes: histogram(writes) }
    }

    #[test]
    fn buckets_are_read_whatever_the_type_of_their_numbers() {
        let latencies = doc! { "latency": 7_i64, "ops": 3_i64, "histogram": [
            { "micros": 0_i64, "count": 1_i64 }, { "micros": 128_i32, "count": 2.0 }, { "micros": "?" },
        ] };
        assert_eq!(Histogram::of(&latencies), histogram(&[(0, 1), (128, 2)]));
        assert_eq!(Histogram::of(&doc! {}).count(), 0);
    }

    #[test]
    fn a_percentile_lies_within_its_bucket() {
        let some = histogram(&[(1_024, 90), (4_096, 10)]);
        assert_eq!(some.percentile(0.95).unwrap(), Duration::from_micros(5_120));
        assert_eq!(some.percentile(0.45).unwrap(), Duration::from_micros(1_536));
        assert_eq!(Histogram::default().percentile(0.5), None);
    }

    #[test]
    fn buckets_end_where_the_next_begins() {
        let bounds = [0, 2, 4, 1_024, 2_048, 3_072, 4_096, 6_144, 8_192, 1_048_576, 1_572_864, 2_097_152, 4_194_304];
        for pair in [(0, 1), (1, 2), (4, 5), (5, 6), (6, 7), (7, 8), (9, 10), (10, 11), (11, 12)] {
            assert_eq!(upper(bounds[pair.0]), bounds[pair.1]);
        }
    }

    #[test]
    fn our_own_operations_are_taken_out() {
        let (own, mut foreground) = (OwnLoad::default(), Foreground::default());
        assert_eq!(foreground.since_last(&counted(&[(1_024, 5)]), &own), None);
        own.wrote(Duration::from_millis(101));
        own.wrote(Duration::from_millis(99));
        let rest = foreground.since_last(&counted(&[(1_024, 25), (65_536, 1), (98_304, 2)]), &own).unwrap();
        assert_eq!(rest, histogram(&[(1_024, 20), (65_536, 1)]));
    }

    #[test]
    fn an_operation_that_the_server_has_not_counted_yet_is_taken_out_of_the_next_sample() {
        let (own, mut foreground) = (OwnLoad::default(), Foreground::default());
        foreground.since_last(&counted(&[(1_024, 5)]), &own);
        own.wrote(Duration::from_millis(100));
        assert_eq!(foreground.since_last(&counted(&[(1_024, 25)]), &own), Some(histogram(&[(1_024, 20)])));
        let next = counted(&[(1_024, 26), (65_536, 1)]);
        assert_eq!(foreground.since_last(&next, &own), Some(histogram(&[(1_024, 1)])));
    }

    #[test]
    fn another_primary_begins_anew() {
        let (own, mut foreground) = (OwnLoad::default(), Foreground::default());
        foreground.since_last(&counted(&[(1_024, 5)]), &own);
        let other = Counted { server: "db-1:1".to_owned(), ..counted(&[(1_024, 900)]) };
        assert_eq!(foreground.since_last(&other, &own), None);
        assert_eq!(counted(&[(1_024, 4)]).writes.since(&counted(&[(1_024, 5)]).writes), None);
    }
}
