use crate::catalog::Speed;
use crate::engine::apply::Counts;
use crate::engine::checkpoint::Totals as StepTotals;
use crate::engine::observer::How;
use crate::ledger::samples::{at, queued};
use crate::ledger::{EngineProgress, Rate, RemainingCount};
use crate::time::Timestamp;

use super::*;

pub fn figures() -> Figures {
    Figures::new(&queued(at(0)), LeftOut::default())
}

pub fn batch(millis: u64, failures: u32, result: BatchResult<'_>) -> Batch<'_> {
    Batch { range: "0", documents: 10, took: Duration::from_millis(millis), failures, result }
}

pub fn done(matched: i64) -> BatchResult<'static> {
    BatchResult::Done(Counts { matched, modified: matched, skipped: 0 })
}

fn begin(figures: &Figures) {
    let step = StepBegun { index: 0, title: "backfill items", kind: "backfill", database: "shop", collection: None };
    figures.step_begins(&step);
}

fn end(figures: &Figures) {
    figures.step_ends(&StepEnd { totals: StepTotals::default(), how: How::Done });
}

fn verdict(hold: Option<HoldKind>, slow: bool) -> Verdict {
    let slow = slow.then(|| "foreground latency".to_owned());
    Verdict { hold: hold.map(|kind| kind.because("it is so")), slow, ..Verdict::FREE }
}

/// Lets a hold go on for a moment that can be measured.
fn a_moment() {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2) {
        std::thread::yield_now();
    }
}

#[test]
fn batches_count_by_what_came_of_them_and_those_after_a_failure_are_retries() {
    let figures = figures();
    figures.batch(&batch(20, 0, done(10)));
    figures.batch(&batch(40, 0, BatchResult::Failed("write conflict")));
    figures.batch(&batch(30, 1, BatchResult::Failed("write conflict")));
    figures.batch(&batch(30, 2, done(10)));
    figures.batch(&batch(1, 0, BatchResult::DoneBefore));
    let totals = figures.totals();
    assert_eq!((totals.batches.ok.count(), totals.batches.failed.count()), (3, 2));
    assert_eq!((totals.retries, totals.processed), (2, 20));
    figures.confirmed(Counts { matched: 10, modified: 9, skipped: 0 });
    assert_eq!(figures.totals().processed, 30, "what was done without an answer counts as soon as that is known");
}

#[test]
fn the_time_of_a_hold_counts_while_it_goes_on_and_only_within_a_step() {
    let figures = figures();
    let kind = HoldKind::ReplicationLag;
    figures.throttled(&verdict(Some(kind), false));
    a_moment();
    assert_eq!(figures.totals().held_by(kind), 0, "nothing is held up before the first step");
    begin(&figures);
    a_moment();
    let first = figures.totals().held_by(kind);
    a_moment();
    let second = figures.totals().held_by(kind);
    assert!(0 < first && first < second, "{first} {second}");
    end(&figures);
    let after = figures.totals();
    a_moment();
    assert_eq!(figures.totals(), after, "nor between two steps");
    begin(&figures);
    a_moment();
    figures.throttled(&verdict(None, true));
    let third = figures.totals().held_by(kind);
    assert!(third > second, "the hold outlasted its step");
    a_moment();
    figures.throttled(&verdict(None, false));
    let free = figures.totals();
    a_moment();
    assert_eq!(figures.totals(), free);
    assert_eq!(free.held_by(kind), third);
    assert!(free.slowed > 0);
    assert_eq!(free.held.len(), 1, "other reasons have no time");
}

#[test]
fn what_a_program_says_it_has_done_counts_from_what_the_run_had_come_to() {
    let mut run = queued(at(0));
    run.progress.done = Some(70);
    let figures = Figures::new(&run, LeftOut::default());
    let say = |done| figures.progress(&Progress { done: Some(done), ..Progress::default() });
    for done in [70, 100, 5, 10] {
        say(done);
    }
    assert_eq!(figures.totals().processed, 35, "one that counts from nothing again has undone nothing");
    let engine =
        Some(Box::new(EngineProgress { quarantined: 3, speed: Speed::default(), ..EngineProgress::default() }));
    let remaining =
        Some(RemainingCount { count: 7, at: Timestamp::from_millis(0), history: vec![7], stalled_since: None });
    let rate = Some(Rate { recent: 2.5, overall: 1.0 });
    figures.progress(&Progress { done: Some(900), total: Some(1_000), rate, remaining, engine, ..Progress::default() });
    assert_eq!(figures.totals().processed, 35, "the engine tells of its batches itself");
    let course =
        Course { done: Some(900), total: Some(1_000), rate: Some(2.5), remaining: Some(7), quarantined: Some(3) };
    assert_eq!(figures.course(), course);
}

#[test]
fn renewals_and_what_was_left_out_are_counted() {
    let figures = figures();
    figures.renewed(Duration::from_millis(3), true);
    figures.renewed(Duration::from_secs(2), false);
    figures.dropped(Signal::Traces, 2);
    figures.dropped(Signal::Logs, 5);
    let totals = figures.totals();
    assert_eq!((totals.renewals.ok.count(), totals.renewals.failed.count()), (1, 1));
    assert_eq!(totals.dropped.each(), [("traces", 2), ("metrics", 0), ("logs", 5)]);
}

#[test]
fn what_an_attempt_adds_to_what_was_before_never_falls() {
    let figures = figures();
    begin(&figures);
    figures.throttled(&verdict(Some(HoldKind::Measuring), false));
    figures.batch(&batch(20, 1, done(10)));
    a_moment();
    let before = figures.totals();
    let sum = before.plus(&before);
    assert_eq!((sum.processed, sum.retries, sum.batches.ok.count()), (20, 2, 2));
    assert_eq!(sum.held_by(HoldKind::Measuring), 2 * before.held_by(HoldKind::Measuring));
    assert_eq!(sum.since(&before), before);
    let full = Totals { processed: u64::MAX, ..Totals::default() };
    assert_eq!(full.plus(&before).processed, u64::MAX);
}
