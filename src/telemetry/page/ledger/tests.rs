use crate::catalog::MigrationId;
use crate::ledger::samples::{at, failure, finish, running};
use crate::ledger::{EngineProgress, Outcome, Rate, RemainingCount};

use super::*;

fn histories(runs: impl IntoIterator<Item = Run>) -> Histories {
    let mut histories = Histories::new();
    for run in runs {
        histories.entry(run.migration.clone()).or_default().absorb(run);
    }
    histories
}

fn named(run: Run, name: &str) -> Run {
    Run { migration: MigrationId::new(name).unwrap(), ..run }
}

#[test]
fn the_ledgers_part_has_every_state_and_what_is_known_of_unfinished_runs() {
    let engine = EngineProgress {
        hold: Some("holding: replication lag 4.2 s > 2 s".to_owned()),
        quarantined: 2,
        ..EngineProgress::default()
    };
    let mut steps = named(running(at(0)), "2026_steps");
    steps.progress = Progress {
        done: Some(1_200),
        total: Some(50_000),
        rate: Some(Rate { recent: 812.5, overall: 600.0 }),
        remaining: Some(RemainingCount { count: 48_800, at: at(9), history: vec![48_800], stalled_since: None }),
        engine: Some(Box::new(engine)),
        ..Progress::default()
    };
    let mut lost = named(running(at(-100)), "2026_lost");
    lost.progress = steps.progress.clone();
    let failed = named(running(at(0)).after(finish(1, failure(3)), at(1)), "2026_failed");
    let done = named(running(at(0)).after(finish(1, Outcome::Succeeded), at(1)), "2026_done");
    let histories = histories([steps, lost, failed, done]);
    let now = at(10);
    let (unfinished, left_out) = unfinished(&histories, now, 9);
    assert_eq!(left_out, 0);
    let mut page = Writer::default();
    states(&mut page, &Catalog::default(), &histories, now);
    runs(&mut page, &unfinished, now);
    insta::assert_snapshot!(page.finish());
}

#[test]
fn of_too_many_runs_those_that_need_somebody_come_first() {
    let fine = (0..300).map(|number| named(running(at(number % 20)), &format!("2026_{number:03}")));
    let now = at(25);
    let lost = named(running(at(-100)), "2025_lost");
    let failed = named(running(at(0)).after(finish(1, failure(3)), at(2)), "2025_failed");
    let histories = histories(fine.chain([lost, failed]));
    let (runs, left_out) = unfinished(&histories, now, 30);
    let names: Vec<_> = runs.iter().map(|run| run.migration.as_str()).collect();
    assert_eq!((names.len(), left_out), (30, 272));
    assert!(names.contains(&"2025_lost"));
    assert!(names.is_sorted());
    assert_eq!(unfinished(&histories, now, usize::MAX).0.len(), 302);
}
