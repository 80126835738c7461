//! Runs of steps: what the console shows of them, and what it does with them.

use std::sync::Arc;
use std::time::Duration;

use bson::doc;
use insta::assert_snapshot;
use stopover::catalog::{Backfill, Change, Entry, Holds, Speed, Step, Steps, Target, Work};
use stopover::config::Config;
use stopover::console::dialog::Dialog;
use stopover::console::effect::Effect;
use stopover::console::message::{Feed, Message};
use stopover::launch::{PlanRefusal, Request, plan};
use stopover::ledger::{Checkpoint, EngineProgress, Failure, FailureCause, Run, RunId, RunState, Seen, SpeedChange};

use super::scenery::*;

fn steps(idempotent: bool) -> Work {
    let backfill = Backfill {
        target: Target { database: None, collection: "transactions".to_owned() },
        filter: doc! {},
        change: Change::Operators { update: doc! { "$inc": { "fees": 1 } }, array_filters: Vec::new() },
        hint: None,
        idempotent,
        at_least_once: false,
        max_quarantined: 100,
    };
    let steps = vec![Step::Backfill(backfill)];
    Work::Steps(Arc::new(Steps {
        steps,
        speed: Speed { workers: 2, pace: 80 },
        batch: Steps::DEFAULT_BATCH,
        holds: Holds::default(),
    }))
}

/// A console in which some migrations are steps, and the running one tells of its engine.
fn desk(size: (u16, u16), idempotent: bool, engine: EngineProgress) -> Desk {
    let staging = Config { environment: None, ..config() };
    let mut desk = Desk::with(staging, Some(passport("staging", false)), size);
    let mut catalog = catalog();
    for entry in &mut catalog.entries {
        if let Entry::Ready(migration) = entry {
            migration.work = steps(idempotent);
            migration.params.clear();
            migration.requires.clear();
        }
    }
    desk.tell(Message::Catalog(Arc::new(catalog)));
    let mut run = native(running());
    run.progress.message = None;
    run.progress.warnings.clear();
    run.progress.engine = Some(Box::new(engine));
    tell(&mut desk, run);
    desk
}

fn native(mut run: Run) -> Run {
    run.launch.command = vec!["steps:".to_owned(), "backfill transactions".to_owned()];
    run.updated_at = run.updated_at.plus(Duration::from_secs(1));
    run
}

fn tell(desk: &mut Desk, run: Run) {
    let seen = Seen { now: now().plus(Duration::from_secs(1)), value: vec![run] };
    desk.tell(Message::Feed(Feed::Changes { seen, latency: Duration::from_millis(2) }));
}

fn holding() -> EngineProgress {
    EngineProgress {
        step: 1,
        steps: 3,
        title: "backfill transactions".to_owned(),
        estimated: true,
        matched: 1_248_000,
        modified: 1_247_100,
        skipped: 888,
        quarantined: 12,
        retried: 3,
        hold: Some("replication lag 4.2 s > 2 s".to_owned()),
        batch: 1_400,
        speed: Speed { workers: 2, pace: 80 },
    }
}

#[test]
fn a_run_of_steps_that_holds_is_watched() {
    for size in [(80, 24), (120, 40), (200, 60), (40, 12)] {
        let desk = desk(size, true, holding());
        assert_snapshot!(format!("steps_{}x{}", size.0, size.1), desk.screen());
    }
}

#[test]
fn a_hold_and_documents_left_out_are_told_in_words_in_the_row() {
    let screen = desk((120, 40), true, holding()).screen();
    assert!(screen.contains("● holding 52 % !"), "{screen}");
    assert!(screen.contains("of ~2,400,000") && screen.contains("holding: replication lag 4.2 s > 2 s"), "{screen}");
    let calm = desk((120, 40), true, EngineProgress { hold: None, quarantined: 0, ..holding() }).screen();
    assert!(calm.contains("● running 52 %  ") && !calm.contains("holding"), "{calm}");
}

#[test]
fn the_speed_is_set_from_the_one_that_holds() {
    let mut desk = desk((120, 40), true, holding());
    desk.press("S");
    assert_snapshot!("speed", desk.screen());
    desk.press("ctrl-c");
    let mut run = native(running());
    let speed = SpeedChange::new(None, Some(30)).unwrap();
    run.tuning = Some(stopover::ledger::Tuning { speed, by: actor("joe", "stopover-1a2b"), at: now(), heard_at: None });
    run.updated_at = run.updated_at.plus(Duration::from_secs(2));
    tell(&mut desk, run);
    desk.taken();
    desk.press("S");
    desk.type_text("0");
    desk.press("enter");
    assert!(desk.screen().contains("A run has 1 to 16 workers"), "{}", desk.screen());
    // `20` becomes 4, the pace stays what joe set.
    for _ in 0..2 {
        desk.tell(Message::Key(crossterm::event::KeyCode::Backspace.into()));
    }
    desk.type_text("4");
    desk.press("enter");
    let wanted = desk.taken().into_iter().find_map(|effect| match effect {
        Effect::Tune { speed, .. } => Some(speed),
        _ => None,
    });
    assert_eq!(wanted, Some(SpeedChange::new(Some(4), Some(30)).unwrap()), "{}", desk.screen());
}

#[test]
fn what_has_no_speed_says_why() {
    let mut desk = Desk::ready((120, 40));
    desk.press("S");
    assert!(desk.app.dialog.is_none());
    assert!(desk.screen().contains("is a program: only steps"), "{}", desk.screen());
    let mut ended = native(running());
    ended.state = RunState::Succeeded { at: now() };
    tell(&mut desk, ended);
    desk.press("S");
    assert!(desk.screen().contains("has succeeded already: there is no speed to set"), "{}", desk.screen());
}

#[test]
fn what_changes_documents_again_is_run_again_only_over_the_guard() {
    let mut careful = desk((120, 40), false, holding());
    careful.select(APPLIED);
    careful.press("R");
    let screen = careful.screen();
    assert!(
        screen.contains("A step of it is not idempotent") && screen.contains("type the word `override`"),
        "{screen}"
    );
    careful.type_text("override");
    careful.taken();
    careful.press("enter");
    let plan = careful.taken().into_iter().find_map(|effect| match effect {
        Effect::Launch(plan) => Some(plan),
        _ => None,
    });
    let plan = plan.expect("it is confirmed");
    assert!(plan.forced && plan.rerun);

    let mut easy = desk((120, 40), true, holding());
    easy.select(APPLIED);
    easy.press("R");
    assert!(matches!(&easy.app.dialog, Some(Dialog::Launch(launch)) if !launch.repeats), "{}", easy.screen());
}

#[test]
fn a_second_application_is_refused_with_both_ways_on() {
    let desk = desk((120, 40), false, holding());
    let (catalog, histories) = (desk.app.catalog.as_ref().unwrap(), desk.app.histories.as_ref().unwrap());
    let request = |name: &str, rerun, repeat| Request {
        migration: id(name),
        rerun,
        force: false,
        repeat,
        quarantine_of: None,
        params: Vec::new(),
    };
    let decide = |request: &Request| plan(catalog, histories, now(), &desk.app.config, request);

    let refusal = decide(&request(FAILED, true, false)).unwrap_err();
    assert!(matches!(refusal, PlanRefusal::Repeats { resumable: Some(_), .. }), "{refusal}");
    let text = refusal.to_string();
    for part in ["would change documents again", "`stopover resume ab12cd34`", "--rerun --force"] {
        assert!(text.contains(part), "{text}");
    }
    let refusal = decide(&request(APPLIED, true, false)).unwrap_err();
    assert!(matches!(refusal, PlanRefusal::Repeats { resumable: None, .. }), "{refusal}");
    assert!(decide(&request(APPLIED, true, true)).unwrap().forced);
    assert!(!decide(&request(PENDING, false, false)).unwrap().forced);
}

#[test]
fn a_cancelled_run_that_got_somewhere_is_not_repeated_either() {
    let mut desk = desk((120, 40), false, holding());
    let mut cancelled = native(running());
    cancelled.state = RunState::Cancelled { at: now(), by: actor("joe", "stopover-1a2b") };
    cancelled.checkpoint = Some(Checkpoint::new("{}".to_owned()).unwrap());
    cancelled.updated_at = cancelled.updated_at.plus(Duration::from_secs(1));
    tell(&mut desk, cancelled);
    desk.press("r");
    assert!(desk.screen().contains("R      apply it again nevertheless"), "{}", desk.screen());
    desk.press("R");
    assert!(matches!(&desk.app.dialog, Some(Dialog::Launch(launch)) if launch.repeats), "{}", desk.screen());
}

#[test]
fn what_was_left_out_is_retried_once_all_else_is_done() {
    let desk = desk((120, 40), false, holding());
    let (catalog, histories) = (desk.app.catalog.as_ref().unwrap(), desk.app.histories.as_ref().unwrap());
    let of = RunId::generate();
    let retry = |name: &str| {
        let request = Request {
            migration: id(name),
            rerun: false,
            force: false,
            repeat: false,
            quarantine_of: Some(of),
            params: Vec::new(),
        };
        plan(catalog, histories, now(), &desk.app.config, &request)
    };
    let allowed = retry(APPLIED).unwrap();
    assert_eq!((allowed.quarantine_of, allowed.rerun, allowed.forced), (Some(of), false, false));
    let refusal = retry(FAILED).unwrap_err();
    assert!(refusal.to_string().contains("`stopover resume ab12cd34` continues it"), "{refusal}");
    assert!(matches!(retry(RUNNING), Err(PlanRefusal::AlreadyRunning { .. })));
}

#[test]
fn a_failed_step_says_which() {
    let mut desk = desk((120, 40), true, EngineProgress { hold: None, ..holding() });
    let mut failed = native(running());
    let cause = FailureCause::Step {
        title: "backfill transactions".to_owned(),
        message: "101 documents are refused; at most 100 may be left out".to_owned(),
    };
    failed.state = RunState::Failed { at: now(), failure: Failure { cause, last_lines: Vec::new() } };
    failed.updated_at = failed.updated_at.plus(Duration::from_secs(1));
    tell(&mut desk, failed);
    let screen = desk.screen();
    assert!(screen.contains("Backfill transactions: 101 documents are refused"), "{screen}");
}
