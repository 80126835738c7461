//! What the system knows of the keeper, by the names that are usual for it.

use std::fs;

use crate::config::StateDir;
use crate::pod;
use crate::process::ProcessIdentity;
use crate::time::{Timestamp, since_boot};

use super::families;
use super::text::Writer;

/// Clock ticks in a second, of everything that Linux tells of times in `/proc`.
const TICKS: f64 = 100.0;

/// Nothing where no keeper lives.
pub fn facts(page: &mut Writer, state: &StateDir) {
    let Some(keeper) = pod::keeper(state) else { return };
    if let Some(seconds) = processor_time(keeper.pid) {
        page.family(&families::KEEPER_CPU, |series| series.add(&[], seconds));
    }
    if let Some(bytes) = resident_memory(keeper.pid) {
        page.family(&families::KEEPER_MEMORY, |series| series.add(&[], bytes));
    }
    page.family(&families::KEEPER_START, |series| series.add(&[], started(keeper)));
}

fn processor_time(pid: i32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; counting begins after it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let (user, system) = (fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?);
    Some((f64::from(user) + f64::from(system)) / TICKS)
}

fn resident_memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "to a hundredth of a second")]
fn started(keeper: ProcessIdentity) -> f64 {
    let now = Timestamp::of_this_machine().as_millis() as f64 / 1e3;
    let age = since_boot().as_secs_f64() - keeper.start_ticks as f64 / TICKS;
    // The two clocks are read one after the other: rounded, it is the same each time.
    (now - age).round()
}
