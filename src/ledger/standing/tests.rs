//! How runs add up to the state of a migration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::catalog::{Broken, CommandTemplate, Migration, Work};
use crate::ledger::samples::{at, checksum, courses, failure, finish, queued, resume, running, stop};
use crate::ledger::{Applied, Outcome, WishKind};

fn entry(digit: char) -> Entry {
    Entry::Ready(Box::new(Migration {
        id: MigrationId::new("20261104_sample").unwrap(),
        file: PathBuf::from("20261104_sample.yaml"),
        checksum: checksum(digit),
        description: String::new(),
        owner: None,
        tags: vec![],
        requires: vec![],
        params: vec![],
        remaining: None,
        timeout: None,
        resume: crate::catalog::ResumePolicy::Manual,
        needs_mongodb: false,
        work: Work::Executable(CommandTemplate::new(
            vec!["true".to_owned()],
            Path::new("/").into(),
            Path::new("/20261104_sample.yaml"),
        )),
    }))
}

fn broken() -> Entry {
    Entry::Broken(Broken {
        id: MigrationId::new("20261104_sample").unwrap(),
        file: PathBuf::from("20261104_sample.yaml"),
        problems: vec![],
    })
}

fn history(runs: impl IntoIterator<Item = Run>) -> History {
    let mut history = History::default();
    for run in runs {
        history.absorb(run);
    }
    history
}

fn state(entry: &Entry, runs: impl IntoIterator<Item = Run>) -> MigrationState {
    MigrationState::of(Some(entry), Some(&history(runs)), at(10))
}

#[test]
fn a_migration_is_pending_until_it_is_run() {
    assert_eq!(MigrationState::of(Some(&entry('a')), None, at(0)), MigrationState::Pending);
    assert_eq!(state(&entry('a'), []), MigrationState::Pending);
}

#[test]
fn a_migration_is_applied_when_its_latest_run_succeeded_with_this_content() {
    let succeeded = running(at(0)).after(finish(1, Outcome::Succeeded), at(1));
    assert_eq!(state(&entry('a'), [succeeded.clone()]), MigrationState::Applied);
    assert_eq!(state(&entry('b'), [succeeded]), MigrationState::Changed);
}

#[test]
fn a_rerun_that_failed_hides_that_it_was_applied_but_the_history_remembers() {
    let succeeded = running(at(0)).after(finish(1, Outcome::Succeeded), at(1));
    let failed = running(at(2)).after(finish(1, failure(1)), at(3));
    let history = history([failed, succeeded.clone()]);
    assert_eq!(MigrationState::of(Some(&entry('a')), Some(&history), at(10)), MigrationState::Failed);
    assert_eq!(history.applied.unwrap().run, succeeded.id);
}

#[test]
fn a_checkpoint_of_an_older_run_is_remembered() {
    let mut begun = running(at(0)).after(finish(1, failure(1)), at(1));
    begun.checkpoint = Some(crate::ledger::Checkpoint::new("7".to_owned()).unwrap());
    let failed = running(at(2)).after(finish(1, failure(1)), at(3));
    assert_eq!(history([failed.clone(), begun.clone()]).begun, Some(begun.id));
    assert_eq!(history([failed]).begun, None);
}

#[test]
fn what_is_at_work_shows_even_when_this_image_does_not_know_it() {
    let run = history([running(at(0))]);
    assert_eq!(MigrationState::of(None, Some(&run), at(10)), MigrationState::Running);
    assert_eq!(MigrationState::of(Some(&broken()), Some(&run), at(10)), MigrationState::Running);
    assert_eq!(MigrationState::of(Some(&broken()), Some(&run), at(40)), MigrationState::Lost);
    assert_eq!(MigrationState::of(None, None, at(10)), MigrationState::Missing);
    assert_eq!(MigrationState::of(Some(&broken()), None, at(10)), MigrationState::Broken);
}

#[test]
fn a_wish_shows_as_what_it_leads_to() {
    let entry = entry('a');
    for (kind, asked, held) in [
        (WishKind::Pause, MigrationState::Pausing, MigrationState::Paused),
        (WishKind::Cancel, MigrationState::Cancelling, MigrationState::Cancelled),
    ] {
        let asking = running(at(0)).after(stop(kind, "ana"), at(1));
        assert_eq!(state(&entry, [asking.clone()]), asked);
        assert_eq!(state(&entry, [asking.after(finish(1, Outcome::Stopped), at(2))]), held);
    }
}

#[test]
fn an_older_state_that_arrives_late_changes_nothing_even_within_a_millisecond() {
    let first = queued(at(0));
    let second = first.after(stop(WishKind::Pause, "ana"), at(0));
    let third = second.after(resume("ana"), at(0));
    let known = history([first.clone(), second.clone(), third.clone()]);
    assert_eq!(known.latest.as_deref(), Some(&third));
    assert_eq!(history([third, first, second]), known);
}

/// All states that a few runs of one migration pass through, one run after the other.
fn lives() -> impl Strategy<Value = Vec<Run>> {
    prop::collection::vec(courses(), 1..4).prop_map(|courses| {
        let mut now = at(0);
        let mut states = Vec::new();
        for course in courses {
            now = now.plus(Duration::from_millis(1));
            let mut run = queued(now);
            states.push(run.clone());
            for (seconds, action) in course {
                now = now.plus(Duration::from_secs(seconds.unsigned_abs()));
                if let Ok(Applied::Changed(next, _)) = run.apply(action, now) {
                    run = *next;
                    states.push(run.clone());
                }
            }
        }
        states
    })
}

proptest! {
    #[test]
    fn a_history_does_not_depend_on_the_order_or_the_number_of_arrivals(
        (lived, arrived) in lives().prop_flat_map(|lived| {
            let twice: Vec<_> = lived.iter().cloned().chain(lived.iter().cloned()).collect();
            (Just(lived), Just(twice).prop_shuffle())
        })
    ) {
        prop_assert_eq!(history(arrived), history(lived));
    }

    #[test]
    fn every_history_has_a_state_and_only_a_success_is_applied(
        lived in lives(),
        here in prop_oneof![Just(None), Just(Some(entry('a'))), Just(Some(entry('b'))), Just(Some(broken()))],
        later in 0..200_i64,
    ) {
        let history = history(lived.clone());
        let now = lived.iter().map(|run| run.updated_at).max().unwrap_or(at(0)).plus(Duration::from_secs(later.unsigned_abs()));
        let state = MigrationState::of(here.as_ref(), Some(&history), now);
        if state.is_applied() {
            prop_assert_eq!(history.latest.as_ref().unwrap().standing(now), Standing::Succeeded);
            prop_assert_eq!(history.applied.as_ref().unwrap().run, history.latest.as_ref().unwrap().id);
        }
        // A run that holds or awaits a process is never hidden behind the catalog.
        let open = history.latest.as_ref().unwrap().is_open();
        let settled = matches!(state, MigrationState::Missing | MigrationState::Broken | MigrationState::Applied | MigrationState::Changed | MigrationState::Failed | MigrationState::Cancelled | MigrationState::Pending);
        prop_assert_eq!(open, !settled);
    }
}
