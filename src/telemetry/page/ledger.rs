//! The part that the ledger knows: the same in every pod.

use std::collections::BTreeSet;
use std::fmt::Display;

use crate::catalog::{Catalog, Entry};
use crate::ledger::{Histories, MigrationState, Progress, Run, Standing};
use crate::telemetry::census::Count;
use crate::telemetry::figures::Course;
use crate::time::Timestamp;

use super::families;
use super::text::{Family, Writer};

/// How many are in which state.
pub fn states(page: &mut Writer, catalog: &Catalog, histories: &Histories, now: Timestamp) {
    page.family(&families::RUNS, |series| {
        for (standing, count) in Count::of(histories, now).each() {
            series.add(&[("state", standing.word())], count);
        }
    });
    let ids: BTreeSet<_> = catalog.entries.iter().map(Entry::id).chain(histories.keys()).collect();
    let mut counts = [0_u64; MigrationState::ALL.len()];
    for id in ids {
        counts[MigrationState::of(catalog.entry(id), histories.get(id), now) as usize] += 1;
    }
    page.family(&families::MIGRATIONS, |series| {
        for (state, count) in MigrationState::ALL.into_iter().zip(counts) {
            series.add(&[("state", state.word())], count);
        }
    });
}

/// The latest runs that are neither done nor cancelled, by migration: of too many, those that somebody should look at first and that changed
/// last; and how many others there are.
pub fn unfinished(histories: &Histories, now: Timestamp, most: usize) -> (Vec<&Run>, usize) {
    let urgency = |run: &Run| match run.standing(now) {
        Standing::Lost => Some(0),
        Standing::Running | Standing::Pausing | Standing::Cancelling | Standing::Queued => Some(1),
        Standing::Failed => Some(2),
        Standing::Interrupted | Standing::Paused => Some(3),
        Standing::Succeeded | Standing::Cancelled => None,
    };
    let latest = histories.values().filter_map(|history| history.latest.as_deref());
    let mut runs: Vec<_> = latest.filter_map(|run| Some((urgency(run)?, run))).collect();
    runs.sort_by_key(|(urgency, run)| (*urgency, std::cmp::Reverse(run.updated_at)));
    let left_out = runs.len().saturating_sub(most);
    runs.truncate(most);
    let mut runs: Vec<_> = runs.into_iter().map(|(_, run)| run).collect();
    runs.sort_by(|one, other| one.migration.cmp(&other.migration));
    (runs, left_out)
}

/// What is known of each.
pub fn runs(page: &mut Writer, runs: &[&Run], now: Timestamp) {
    page.family(&families::UNFINISHED, |series| {
        for run in runs {
            series.add(&[("migration", run.migration.as_str()), ("state", run.standing(now).word())], 1);
        }
    });
    each(page, &families::ATTEMPT, runs, |run| Some(run.attempt));
    each(page, &families::AGE, runs, |run| Some(now.since(run.started_at?).as_secs_f64()));
    each(page, &families::HEARTBEAT_AGE, runs, |run| Some(now.since(run.lease()?.renewed_at).as_secs_f64()));
    each(page, &families::HELD, runs, |run| held(run, now));
    each(page, &families::DONE, runs, |run| course(run).done);
    each(page, &families::EXPECTED, runs, |run| course(run).total);
    // What stands still has no rate, whatever it was.
    each(page, &families::RATE, runs, |run| course(run).rate.filter(|_| run.standing(now).is_live()));
    each(page, &families::REMAINING, runs, |run| course(run).remaining);
    each(page, &families::QUARANTINED, runs, |run| course(run).quarantined);
}

fn each<V: Display>(page: &mut Writer, family: &Family, runs: &[&Run], value: impl Fn(&Run) -> Option<V>) {
    page.by_migration(family, runs.iter().map(|run| (&run.migration, value(run))));
}

fn course(run: &Run) -> Course {
    Course::of(&run.progress)
}

fn held(run: &Run, now: Timestamp) -> Option<u8> {
    let Progress { engine: Some(engine), .. } = &run.progress else { return None };
    run.standing(now).is_live().then(|| engine.is_held().into())
}

#[cfg(test)]
mod tests;
