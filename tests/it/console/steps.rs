//! What keys and news do, step by step.

use std::time::Duration;

use stopover::console::app::Pane;
use stopover::console::dialog::Dialog;
use stopover::console::effect::Effect;
use stopover::console::link::Link;
use stopover::console::message::{Acted, Feed, Message};
use stopover::console::table::Sort;
use stopover::ledger::{Lease, MigrationState, Run, RunState, Seen, Wish, WishKind};

use super::scenery::*;

fn changes(desk: &mut Desk, at: u64, runs: Vec<Run>) {
    let seen = Seen { now: now().plus(Duration::from_secs(at)), value: runs };
    desk.tell(Message::Feed(Feed::Changes { seen, latency: Duration::from_millis(2) }));
}

fn launched(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Launch(_))).count()
}

#[test]
fn what_an_older_run_has_begun_is_not_forgotten_when_everything_is_read_anew() {
    let mut known = histories();
    let latest = known.get_mut(&id(FAILED)).unwrap().latest.as_mut().unwrap();
    latest.checkpoint = None;
    known.get_mut(&id(FAILED)).unwrap().begun = None;
    let everything =
        |histories| Feed::Everything { seen: Seen { now: now(), value: histories }, latency: Duration::from_millis(2) };
    let mut desk = Desk::blank(config(), (120, 40));
    desk.tell(Message::Catalog(std::sync::Arc::new(catalog())));
    desk.tell(Message::Feed(everything(known.clone())));
    desk.select(FAILED);
    assert_eq!(desk.app.history(&id(FAILED)).unwrap().begun, None);
    desk.inspected(log_lines(1));
    let begun = desk.app.history(&id(FAILED)).unwrap().begun;
    assert!(begun.is_some(), "an older run was cancelled half way");
    desk.tell(Message::Feed(everything(known)));
    assert_eq!(desk.app.history(&id(FAILED)).unwrap().begun, begun);
}

#[test]
fn the_cursor_starts_on_what_runs() {
    assert_eq!(Desk::ready((120, 40)).app.selected_id(), Some(&id(RUNNING)));
}

#[test]
fn in_a_protected_environment_nothing_is_launched_until_the_name_is_typed() {
    let mut desk = Desk::ready((120, 40));
    desk.select(PENDING);
    desk.press("r right tab");
    desk.type_text("hunter2");
    desk.press("enter");
    assert_eq!(launched(&desk.taken()), 0);
    assert!(desk.screen().contains("type exactly what"), "{}", desk.screen());
    desk.press("tab");
    desk.type_text("20261110_export_transactions");
    desk.press("enter");
    assert_eq!(launched(&desk.taken()), 0);
    desk.type_text("_to_auditor");
    desk.press("enter");
    let effects = desk.taken();
    let Some(Effect::Launch(plan)) = effects.iter().find(|effect| matches!(effect, Effect::Launch(_))) else {
        panic!("{effects:?}")
    };
    let params: Vec<_> = plan.params.iter().map(|(name, value)| format!("{name}={}", value.display())).collect();
    assert_eq!(params, ["region=BR", "token=***"]);
    assert!(plan.forced, "its requirement is still running");
    // Enter again while the answer is out launches nothing more.
    desk.press("enter enter");
    assert_eq!(launched(&desk.taken()), 0);
}

#[test]
fn a_missing_param_is_told_in_the_dialog() {
    let mut desk = Desk::ready((120, 40));
    desk.select(PENDING);
    desk.press("r enter");
    assert_eq!(launched(&desk.taken()), 0);
    assert!(desk.screen().contains("`region` is required: fill it in above"), "{}", desk.screen());
}

#[test]
fn esc_changes_nothing() {
    let mut desk = Desk::ready((120, 40));
    desk.taken();
    for keys in ["r esc", "R esc", "u esc", "p esc", "c esc"] {
        for name in [APPLIED, CHANGED, RUNNING, FAILED, PAUSED, LOST, PENDING, BROKEN, MISSING] {
            desk.select(name);
            desk.press(keys);
        }
    }
    let acts = |effect: &Effect| {
        matches!(effect, Effect::Launch(_) | Effect::Resume { .. } | Effect::Stop { .. } | Effect::Stamp(_))
    };
    assert!(!desk.taken().iter().any(acts));
}

#[test]
fn a_pasted_line_is_no_key() {
    let mut desk = Desk::ready((120, 40));
    desk.taken();
    desk.tell(Message::Paste("r\nc\nq\n".to_owned()));
    assert!(desk.app.dialog.is_none() && !desk.app.leaving && desk.taken().is_empty());
}

#[test]
fn pause_and_cancel_ask_first() {
    let mut desk = Desk::ready((120, 40));
    desk.press("p");
    assert!(matches!(desk.app.dialog, Some(Dialog::Stop { kind: WishKind::Pause, .. })));
    desk.press("enter");
    assert!(desk.taken().iter().any(|effect| matches!(effect, Effect::Stop { kind: WishKind::Pause, .. })));
    desk.tell(Message::Acted(Acted::Refused("the ledger does not answer".to_owned())));
    assert!(desk.screen().contains("the ledger does not answer"), "the dialog stays and says why");
    desk.press("esc c enter");
    assert!(desk.taken().iter().any(|effect| matches!(effect, Effect::Stop { kind: WishKind::Cancel, .. })));
}

/// The running run, asked to stop so many seconds ago.
fn asked_to_stop(kind: WishKind, seconds: u64) -> Run {
    let mut run = running();
    if let RunState::Running { wish, .. } = &mut run.state {
        let (by, at) = (actor("joe", "stopover-1a2b"), ago(seconds));
        *wish = Some(Wish { kind, by, at, heard_at: None, force: None });
    }
    run.updated_at = now().plus(Duration::from_secs(1));
    run
}

#[test]
fn asking_a_second_time_is_force_once_the_grace_is_over() {
    let mut desk = Desk::ready((120, 40));
    changes(&mut desk, 1, vec![asked_to_stop(WishKind::Cancel, 3)]);
    desk.press("c");
    assert!(desk.app.dialog.is_none());
    assert!(desk.screen().contains("joe asked for it 4 s ago. It can be forced in 6 s."), "{}", desk.screen());
    changes(&mut desk, 2, vec![asked_to_stop(WishKind::Cancel, 60)]);
    desk.taken();
    desk.press("c enter");
    assert!(desk.taken().is_empty(), "the name is to be typed");
    desk.type_text(RUNNING);
    desk.press("enter");
    let effects = desk.taken();
    let forced = |effect: &Effect| matches!(effect, Effect::Stop { kind: WishKind::Cancel, by_force: true, .. });
    assert!(effects.iter().any(forced), "{effects:?}");
}

#[test]
fn a_pause_that_does_not_come_is_forced_or_becomes_a_cancel() {
    let mut desk = Desk::ready((120, 40));
    changes(&mut desk, 1, vec![asked_to_stop(WishKind::Pause, 60)]);
    desk.press("p");
    assert!(matches!(desk.app.dialog, Some(Dialog::Stop { kind: WishKind::Pause, by_force: true, .. })));
    desk.press("esc c");
    assert!(matches!(desk.app.dialog, Some(Dialog::Stop { kind: WishKind::Cancel, by_force: false, .. })));
}

#[test]
fn a_failed_run_with_a_checkpoint_offers_both_ways_from_the_refusal() {
    let mut desk = Desk::ready((120, 40));
    desk.select(FAILED);
    desk.press("r u");
    assert!(matches!(desk.app.dialog, Some(Dialog::Resume { .. })));
    desk.press("esc r R");
    let Some(Dialog::Launch(launch)) = &desk.app.dialog else { panic!("{:?}", desk.app.dialog) };
    assert!(launch.before.is_rerun());
}

#[test]
fn a_resume_asks_for_secrets_again() {
    let mut desk = Desk::ready((120, 40));
    let mut failed = desk.app.history(&id(FAILED)).unwrap().latest.as_deref().unwrap().clone();
    failed.migration = id(PENDING);
    failed.id = some_run();
    failed.launch.params = vec![secret_param("token")];
    changes(&mut desk, 1, vec![failed]);
    desk.select(PENDING);
    desk.press("u");
    desk.type_text("hunter2");
    desk.press("enter");
    let resumes = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Resume { .. }));
    assert!(!resumes(&desk.taken()), "in a protected environment the name is to be typed for a resume, too");
    desk.press("tab");
    desk.type_text(PENDING);
    desk.press("enter");
    let effects = desk.taken();
    let given = effects.iter().find_map(|effect| match effect {
        Effect::Resume { request, .. } => Some(request.params.clone()),
        _ => None,
    });
    assert_eq!(given, Some(vec![("token".to_owned(), "hunter2".to_owned())]));
}

#[test]
fn while_the_ledger_is_away_nothing_can_be_asked_and_it_recovers_by_itself() {
    let mut desk = Desk::ready((120, 40));
    desk.tell(Message::Feed(Feed::Away { reason: "no server answers".to_owned() }));
    desk.press("c");
    assert!(desk.app.dialog.is_none());
    assert!(desk.screen().contains("does not answer"));
    changes(&mut desk, 5, Vec::new());
    assert!(matches!(desk.app.link, Link::Healthy { .. }));
    desk.press("c");
    assert!(desk.app.dialog.is_some());
}

#[test]
fn a_lease_that_expires_turns_a_run_lost_without_any_change_in_the_ledger() {
    let mut desk = Desk::ready((120, 40));
    assert_eq!(desk.app.table.count(MigrationState::Lost), 1);
    changes(&mut desk, 40, Vec::new());
    assert_eq!(desk.app.table.count(MigrationState::Lost), 2);
}

#[test]
fn an_answer_without_news_costs_no_frame() {
    let mut desk = Desk::ready((120, 40));
    desk.app.dirty = false;
    changes(&mut desk, 1, vec![running()]);
    assert!(!desk.app.dirty);
    let mut further = running();
    further.progress.done = Some(1_300_000);
    changes(&mut desk, 2, vec![further]);
    assert!(desk.app.dirty);
}

#[test]
fn a_run_of_another_console_appears_and_does_not_move_the_cursor() {
    let mut desk = Desk::ready((120, 40));
    desk.select(FAILED);
    let lease = Lease::granted(now(), Duration::from_secs(30));
    let queued = run(APPLIED, "77778888", "joe", now(), RunState::Queued { since: now(), lease });
    changes(&mut desk, 1, vec![queued]);
    assert_eq!(desk.app.selected_id(), Some(&id(FAILED)));
    assert_eq!(desk.app.table.count(MigrationState::Running), 2);
    // It was launched a moment ago by someone else: the dialog decides anew when it is confirmed.
    desk.select(APPLIED);
    desk.press("r");
    assert!(desk.screen().contains("runs already"), "{}", desk.screen());
}

#[test]
fn a_launch_that_another_operator_was_faster_with_is_taken_back_at_once() {
    let staging = stopover::config::Config { environment: None, ..config() };
    let mut desk = Desk::with(staging, Some(passport("staging", false)), (120, 40));
    desk.select(APPLIED);
    desk.press("r");
    desk.type_text("again");
    let lease = Lease::granted(now(), Duration::from_secs(30));
    changes(&mut desk, 1, vec![run(APPLIED, "77778888", "joe", now(), RunState::Queued { since: now(), lease })]);
    assert!(desk.screen().contains("joe launched run 77778888"), "{}", desk.screen());
    desk.taken();
    desk.press("enter");
    assert_eq!(launched(&desk.taken()), 0);
}

fn in_staging() -> Desk {
    let staging = stopover::config::Config { environment: None, ..config() };
    Desk::with(staging, Some(passport("staging", false)), (120, 40))
}

fn succeeded(name: &str, digits: &str) -> Run {
    run(name, digits, "joe", now(), RunState::Succeeded { at: now() })
}

#[test]
fn a_rerun_that_another_operator_has_done_meanwhile_is_looked_at_again() {
    let mut desk = in_staging();
    desk.select(APPLIED);
    desk.press("R");
    desk.type_text("again");
    changes(&mut desk, 1, vec![succeeded(APPLIED, "77778888")]);
    desk.press("enter");
    assert_eq!(launched(&desk.taken()), 0, "the word that was typed was about the run before");
    let screen = desk.screen();
    assert!(screen.contains("joe launched run 77778888 at"), "{screen}");
    assert!(screen.contains("run 77778888 succeeded"), "{screen}");
    desk.type_text("again");
    desk.press("enter");
    assert_eq!(launched(&desk.taken()), 1);
}

#[test]
fn keys_that_are_typed_into_an_outdated_dialog_start_nothing_else() {
    let mut desk = in_staging();
    desk.press("c");
    let mut paused = running();
    paused.state = RunState::Paused { at: now(), by: actor("joe", "stopover-1a2b") };
    paused.updated_at = now().plus(Duration::from_secs(1));
    changes(&mut desk, 1, vec![paused]);
    desk.taken();
    assert!(desk.screen().contains("is paused now") && desk.screen().contains("by joe"), "{}", desk.screen());
    desk.press("c u R p enter");
    assert!(desk.app.dialog.is_none() && desk.taken().is_empty());
}

#[test]
fn what_was_sent_is_not_asked_again_when_the_ledger_shows_it_first() {
    let mut desk = in_staging();
    desk.select(APPLIED);
    desk.press("R");
    desk.type_text("again");
    desk.press("enter");
    let own = succeeded(APPLIED, "77778888");
    changes(&mut desk, 1, vec![own.clone()]);
    assert!(matches!(desk.app.dialog, Some(Dialog::Launch(_))));
    let text = "launched".to_owned();
    desk.tell(Message::Acted(Acted::Done { text, run: Some(Box::new(own)) }));
    assert!(desk.app.dialog.is_none() && desk.app.notice.is_some());
    changes(
        &mut desk,
        2,
        vec![run(APPLIED, "88889999", "joe", now().plus(Duration::from_secs(2)), RunState::Succeeded { at: now() })],
    );
    assert!(desk.app.notice.is_none(), "what it spoke of has moved on");
}

#[test]
fn an_answer_that_is_overdue_is_said_so() {
    let mut desk = Desk::ready((80, 24));
    desk.app.clock.advance(Duration::from_secs(6));
    desk.tell(Message::Tick);
    assert!(desk.screen().contains("no answer for 3 s"), "{}", desk.screen());
}

#[test]
fn a_filter_applies_as_one_types_and_esc_clears_it() {
    let mut desk = Desk::ready((120, 40));
    desk.press("/");
    desk.type_text("phone fail");
    assert_eq!(desk.app.table.len().1, 1);
    desk.press("enter");
    assert_eq!(desk.app.selected_id(), Some(&id(FAILED)));
    desk.press("esc");
    assert_eq!(desk.app.table.len().1, 9);
}

#[test]
fn sorting_goes_round_and_keeps_the_selection() {
    let mut desk = Desk::ready((120, 40));
    desk.select(FAILED);
    desk.press("s s");
    assert_eq!(desk.app.table.sort(), Sort::Attention);
    let first = desk.app.table.window(1).next().map(|(row, _)| row.state);
    assert_eq!(first, Some(MigrationState::Lost));
    assert_eq!(desk.app.selected_id(), Some(&id(FAILED)));
    desk.press("s");
    assert_eq!(desk.app.table.sort(), Sort::Id);
}

#[test]
fn enter_goes_deeper_and_esc_comes_back() {
    let mut desk = Desk::ready((120, 40));
    desk.press("enter");
    assert_eq!((desk.app.focus, desk.app.zoomed), (Pane::Detail, true));
    desk.press("enter");
    assert_eq!((desk.app.focus, desk.app.zoomed), (Pane::Log, true));
    desk.press("esc");
    assert_eq!((desk.app.focus, desk.app.zoomed), (Pane::Table, false));
}

#[test]
fn an_older_run_can_be_looked_at() {
    let mut desk = Desk::ready((120, 40));
    desk.inspected(log_lines(3));
    let latest = desk.app.log.run;
    desk.press("left");
    assert_ne!(desk.app.log.run, latest);
    assert!(desk.screen().contains("An older run"), "{}", desk.screen());
    desk.press("right");
    assert_eq!(desk.app.log.run, latest);
}

#[test]
fn leaving_is_one_key_and_touches_no_run() {
    for key in ["q", "ctrl-c"] {
        let mut desk = Desk::ready((120, 40));
        desk.taken();
        desk.press(key);
        assert!(desk.app.leaving && desk.taken().is_empty());
    }
}

#[test]
fn a_stamp_leads_on_to_the_launch() {
    let mut desk = Desk::with(config(), None, (120, 40));
    desk.select(FAILED);
    desk.press("R");
    desk.press("right right tab");
    desk.type_text("production");
    desk.press("enter");
    let effects = desk.taken();
    let stamp = effects.iter().find_map(|effect| match effect {
        Effect::Stamp(new) => Some((new.environment.to_string(), new.protected)),
        _ => None,
    });
    assert_eq!(stamp, Some(("production".to_owned(), true)), "{}", desk.screen());
    desk.tell(Message::Acted(Acted::Stamped(passport("production", true))));
    assert!(matches!(desk.app.dialog, Some(Dialog::Refusal { .. } | Dialog::Launch(_))));
}

#[test]
fn ten_thousand_rows_are_walked_through_a_window() {
    let mut desk = Desk::ready((120, 40));
    let mut catalog = catalog();
    let template = catalog.entries.remove(0);
    catalog.entries = (0..10_000)
        .map(|number| {
            let stopover::catalog::Entry::Ready(mut migration) = template.clone() else { unreachable!() };
            migration.id = id(&format!("2026{number:05}_step"));
            stopover::catalog::Entry::Ready(migration)
        })
        .collect();
    desk.tell(Message::Catalog(std::sync::Arc::new(catalog)));
    desk.press("home");
    let started = std::time::Instant::now();
    for _ in 0..100 {
        desk.press("pgdn");
        desk.screen();
    }
    let each = started.elapsed() / 100;
    assert!(each < Duration::from_millis(60), "a page takes {each:?}, unoptimised");
}
