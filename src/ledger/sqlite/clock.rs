//! The clock of an embedded ledger: this machine's, except that it never runs backwards and never jumps.
//!
//! The wall clock may be set back, which would extend leases and revive lost runs, or forth, which would have living runs read as lost and be taken over
//! beside their program. So every write stores the time it was given together with the machine's uptime, and the ledger's clock is the stored time
//! advanced by the uptime that has passed. Where the wall clock is ahead of that, it follows slowly, as a clock that is kept by the network does: by less than the
//! margins that a worker and its guard keep. After a reboot, or in another machine, the uptimes cannot be compared, no worker of before can live, and the
//! clock is the later of the wall clock and the stored time.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use rustix::time::{ClockId, clock_gettime};

use crate::time::Timestamp;

/// The ledger's clock runs ahead of the uptime by one part of so many while the wall clock is ahead of it. By default a worker's guard keeps one twentieth of
/// the lease, so that one part of ten of that is used up.
const FOLLOWS: u32 = 200;

/// What this machine's clocks say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MachineTime {
    wall: Timestamp,
    /// Names the boot that `uptime` counts from; `None` where it cannot be told.
    boot: Option<String>,
    /// Since boot, sleep included.
    uptime: Duration,
}

impl MachineTime {
    pub(super) fn read() -> Self {
        let uptime = clock_gettime(ClockId::Boottime);
        Self {
            wall: Timestamp::of_this_machine(),
            boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned()),
            uptime: Duration::new(
                uptime.tv_sec.try_into().unwrap_or_default(),
                uptime.tv_nsec.try_into().unwrap_or_default(),
            ),
        }
    }

    /// The ledger's clock at this moment, given the latest time it has handed out and the machine's time at that moment.
    fn after(&self, last: Option<(Timestamp, Option<String>, Duration)>) -> Timestamp {
        let Some((time, boot, uptime)) = last else {
            return self.wall;
        };
        if self.boot.is_none() || self.boot != boot {
            return self.wall.max(time);
        }
        let passed = self.uptime.saturating_sub(uptime);
        let steady = time.plus(passed);
        steady.plus(self.wall.since(steady).min(passed / FOLLOWS))
    }
}

/// The ledger's clock, for a reader.
pub(super) fn now(connection: &Connection) -> rusqlite::Result<Timestamp> {
    Ok(MachineTime::read().after(last(connection)?))
}

/// The ledger's clock, for a writer inside its transaction: nobody will ever read an earlier time.
pub(super) fn tick(connection: &Connection) -> rusqlite::Result<Timestamp> {
    let machine = MachineTime::read();
    let now = machine.after(last(connection)?);
    connection
        .prepare_cached("INSERT OR REPLACE INTO clock (id, time, boot, uptime) VALUES (1, ?1, ?2, ?3)")?
        .execute((now.as_millis(), machine.boot, i64::try_from(machine.uptime.as_millis()).unwrap_or(i64::MAX)))?;
    Ok(now)
}

fn last(connection: &Connection) -> rusqlite::Result<Option<(Timestamp, Option<String>, Duration)>> {
    connection
        .prepare_cached("SELECT time, boot, uptime FROM clock")?
        .query_row([], |row| {
            let uptime = Duration::from_millis(row.get::<_, i64>(2)?.try_into().unwrap_or_default());
            Ok((Timestamp::from_millis(row.get(0)?), row.get(1)?, uptime))
        })
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(wall: i64, boot: &str, uptime: u64) -> MachineTime {
        MachineTime {
            wall: Timestamp::from_millis(wall),
            boot: Some(boot.to_owned()),
            uptime: Duration::from_millis(uptime),
        }
    }

    fn stored(time: i64, boot: &str, uptime: u64) -> (Timestamp, Option<String>, Duration) {
        (Timestamp::from_millis(time), Some(boot.to_owned()), Duration::from_millis(uptime))
    }

    #[test]
    fn a_fresh_ledger_follows_the_wall_clock() {
        assert_eq!(machine(5_000, "a", 7).after(None).as_millis(), 5_000);
    }

    #[test]
    fn a_wall_clock_that_is_ahead_is_followed_slowly() {
        let last = || Some(stored(10_000_000, "a", 7_000));
        // An hour forth, a second after the last write, and nine days later.
        assert_eq!(machine(10_001_000 + 3_600_000, "a", 8_000).after(last()).as_millis(), 10_001_005);
        let later = 9 * 24 * 3_600_000;
        let wall = 10_000_000 + later + 3_600_000;
        assert_eq!(machine(wall, "a", 7_000 + later.unsigned_abs()).after(last()).as_millis(), wall);
        // What the network corrects every now and then.
        assert_eq!(machine(10_001_003, "a", 8_000).after(last()).as_millis(), 10_001_003);
    }

    #[test]
    fn a_wall_clock_set_back_does_not_take_the_ledger_along() {
        // An hour back, two seconds after the last write.
        let set_back = machine(10_000_000 - 3_600_000, "a", 9_000);
        assert_eq!(set_back.after(Some(stored(10_000_000, "a", 7_000))).as_millis(), 10_002_000);
    }

    #[test]
    fn another_boot_starts_from_the_stored_time() {
        assert_eq!(machine(1_000, "b", 50).after(Some(stored(4_000, "a", 700))).as_millis(), 4_000);
        assert_eq!(machine(9_000, "b", 50).after(Some(stored(4_000, "a", 700))).as_millis(), 9_000);
    }
}
