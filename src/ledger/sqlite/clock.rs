//! The clock of an embedded ledger: this machine's, except that it never runs backwards.
//!
//! The wall clock may be set back, which would extend leases and revive lost runs. So every write stores the time it was given
//! together with the machine's uptime, and the ledger's clock is the later of the wall clock and the stored time
//! advanced by the uptime that has passed. After a reboot, or in another machine, the uptimes cannot be compared, and the clock stands at the stored
//! time until the first write.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use rustix::time::{ClockId, clock_gettime};

use crate::time::Timestamp;

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
        let passed =
            if self.boot.is_some() && self.boot == boot { self.uptime.saturating_sub(uptime) } else { Duration::ZERO };
        self.wall.max(time.plus(passed))
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
        assert_eq!(machine(5_000, "a", 800).after(Some(stored(4_000, "a", 700))).as_millis(), 5_000);
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
