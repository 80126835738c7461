//! Pictures of the wall display, and what keys and news do to it.

use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;
use stopover::config::{Config, ReadOnly};
use stopover::console::app::{App, Tone};
use stopover::console::effect::{Effect, LogWish};
use stopover::console::message::{Feed, LogNews, Message};
use stopover::console::{Appearance, ColourDepth};
use stopover::ledger::{EngineProgress, Histories, Lease, Progress, Rate, Run, RunState, Seen};
use stopover::logs::reader::{Extent, Origin};

use super::scenery::*;

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (200, 60), (40, 12)];
const TURN: Duration = Duration::from_secs(10);

/// A second run at work, which holds.
fn holding() -> Run {
    let lease = Lease::granted(ago(1), Duration::from_secs(30));
    let state = RunState::Running { since: ago(60), lease, wish: None };
    let mut run = run(PENDING, "77778888", "joe", ago(60), state);
    let engine = EngineProgress {
        steps: 2,
        title: "backfill transactions".to_owned(),
        matched: 1_000,
        modified: 1_000,
        hold: Some("replication lag 4.2 s > 2 s".to_owned()),
        batch: 500,
        ..EngineProgress::default()
    };
    run.progress = Progress {
        done: Some(1_000),
        total: Some(90_000),
        rate: Some(Rate { recent: 0.0, overall: 16.0 }),
        engine: Some(Box::new(engine)),
        ..Progress::default()
    };
    run
}

fn histories_with(runs: impl IntoIterator<Item = Run>) -> Histories {
    let mut histories = histories();
    for run in runs {
        histories.entry(run.migration.clone()).or_default().absorb(run);
    }
    histories
}

/// A wall display that knows what it is told.
fn wall(size: (u16, u16), look: Appearance, config: Config, histories: Histories) -> Desk {
    let app = App::wall(config, look, "10s".parse().unwrap(), size);
    let mut desk = Desk { app, effects: Vec::new() };
    desk.app.clock.advance(Duration::from_secs(3));
    desk.tell(Message::Catalog(Arc::new(catalog())));
    desk.tell(Message::Feed(Feed::Passport { passport: Some(passport("production", true)), cluster: None }));
    everything(&mut desk, histories);
    desk
}

fn watched(size: (u16, u16)) -> Desk {
    let mut desk = wall(size, Appearance::default(), config(), histories_with([holding()]));
    log(&mut desk, 60);
    desk
}

fn everything(desk: &mut Desk, histories: Histories) {
    let seen = Seen { now: now(), value: histories };
    desk.tell(Message::Feed(Feed::Everything { seen, latency: Duration::from_millis(2) }));
}

/// Answers what the wall asked about the log of the run that it shows.
fn log(desk: &mut Desk, lines: u64) {
    let run = desk.app.log.run.expect("a log is open");
    desk.tell(Message::Log(
        run,
        LogNews::Extent { extent: Extent { lines, bytes: lines * 60 }, origin: Origin::Archive },
    ));
    desk.tell(Message::Log(run, LogNews::Lines { first: 0, lines: log_lines(lines) }));
}

/// Time passes, and the ledger answers all the while that nothing has changed.
fn calmly(desk: &mut Desk, by: Duration) {
    later(desk, by);
    let seen = Seen { now: desk.app.clock.present(), value: Vec::new() };
    desk.tell(Message::Feed(Feed::Changes { seen, latency: Duration::from_millis(2) }));
}

fn later(desk: &mut Desk, by: Duration) {
    let then = desk.app.clock.uptime() + by;
    desk.app.clock.advance(then);
    desk.tell(Message::Tick);
}

fn changed(desk: &mut Desk, run: Run) {
    let seen = Seen { now: now().plus(Duration::from_secs(1)), value: vec![run] };
    desk.tell(Message::Feed(Feed::Changes { seen, latency: Duration::from_millis(2) }));
}

fn succeeded() -> Run {
    let mut run = running();
    run.state = RunState::Succeeded { at: now() };
    run.updated_at = now().plus(Duration::from_secs(1));
    run
}

/// An empty wall whose runs have all come to stand still.
fn at_rest(size: (u16, u16)) -> Desk {
    let mut histories = histories();
    for history in histories.values_mut() {
        if history.latest.as_ref().is_some_and(|run| run.lease().is_some_and(|lease| !lease.is_expired(now()))) {
            history.latest = Some(Box::new(succeeded()));
        }
    }
    wall(size, Appearance::default(), config(), histories)
}

#[test]
fn one_run_is_shown_in_large_and_the_others_beside_it() {
    for size in SIZES {
        let desk = watched(size);
        assert_snapshot!(format!("shown_{}x{}", size.0, size.1), desk.screen());
    }
}

#[test]
fn why_a_run_holds_is_seen_when_it_is_its_turn() {
    for size in SIZES {
        let mut desk = watched(size);
        calmly(&mut desk, TURN);
        log(&mut desk, 12);
        let screen = desk.screen();
        assert!(screen.contains("holding: replication lag 4.2 s"), "{screen}");
        assert_snapshot!(format!("holding_{}x{}", size.0, size.1), screen);
    }
}

#[test]
fn where_nothing_is_at_work_the_latest_ends_and_what_is_pending_are_shown() {
    for size in SIZES {
        let desk = at_rest(size);
        assert_snapshot!(format!("at_rest_{}x{}", size.0, size.1), desk.screen());
        assert!(desk.app.log.run.is_none() && desk.app.shown_run().is_none());
    }
}

#[test]
fn an_end_is_said_and_read_before_the_next_turn() {
    let mut desk = watched((80, 24));
    changed(&mut desk, succeeded());
    let said = &desk.app.notice.as_ref().unwrap().text;
    assert_eq!(said, "20261104_add_sender_to_transactions has succeeded at 02:13:00 UTC, after 5 min 20 s");
    assert_snapshot!("ended", desk.screen());
    assert_eq!(desk.app.selected_id(), Some(&id(RUNNING)));
    later(&mut desk, TURN);
    assert_eq!(desk.app.selected_id(), Some(&id(PENDING)));
    later(&mut desk, Duration::from_secs(21));
    assert!(desk.app.notice.is_none(), "nobody needs to press a key for it to go");
}

#[test]
fn a_failure_is_said_and_goes_without_a_key_too() {
    let mut desk = watched((80, 24));
    let mut failed = histories()[&id(FAILED)].latest.as_deref().unwrap().clone();
    (failed.id, failed.migration) = (running().id, id(RUNNING));
    (failed.created_at, failed.updated_at) = (running().created_at, now().plus(Duration::from_secs(1)));
    changed(&mut desk, failed);
    let notice = desk.app.notice.as_ref().unwrap();
    assert!(notice.tone == Tone::Bad && notice.text.contains("has failed") && notice.text.contains("exit status 3"));
    assert!(desk.screen().contains("`stopover resume 9f3c1a2b` continues it"), "{}", desk.screen());
    later(&mut desk, Duration::from_secs(31));
    assert!(desk.app.notice.is_none());
}

#[test]
fn while_the_ledger_is_away_turns_go_on_with_what_was_known_and_since_when_is_said() {
    let mut desk = watched((80, 24));
    later(&mut desk, Duration::from_secs(2));
    let reason = "the ledger mongodb://db-0 cannot be reached: connection refused".to_owned();
    desk.tell(Message::Feed(Feed::Away { reason: reason.clone() }));
    later(&mut desk, Duration::from_secs(43));
    let screen = desk.screen();
    assert!(screen.contains("Ledger away since 02:13:02 UTC"), "{screen}");
    assert!(screen.contains("ledger away, as of 45 s ago") && screen.contains("as of 02:13:00 UTC"), "{screen}");
    assert_snapshot!("away", screen);
    let first = desk.app.selected_id().cloned();
    later(&mut desk, TURN);
    assert_ne!(desk.app.selected_id().cloned(), first);
    later(&mut desk, Duration::from_hours(5 * 24));
    let screen = desk.screen();
    assert!(screen.contains("● running"), "what nobody could look at is not called lost:\n{screen}");
    assert!(screen.contains("as of 5 d ago"), "{screen}");
    everything(&mut desk, histories_with([holding()]));
    assert!(desk.screen().contains("● connected"), "{}", desk.screen());
}

#[test]
fn a_ledger_that_is_away_from_the_start_is_waited_for() {
    let app = App::wall(config(), Appearance::default(), "10s".parse().unwrap(), (80, 24));
    let mut desk = Desk { app, effects: Vec::new() };
    desk.tell(Message::Catalog(Arc::new(catalog())));
    let reason = "the ledger mongodb://db-0 cannot be reached: no server answers".to_owned();
    desk.tell(Message::Feed(Feed::Away { reason }));
    later(&mut desk, Duration::from_hours(3));
    let screen = desk.screen();
    assert!(screen.contains("ledger away for 3 h"), "{screen}");
    assert!(screen.contains("no server answers") && !screen.contains("Nothing is at work"), "{screen}");
}

#[test]
fn an_empty_ledger_is_said_to_be_empty() {
    let app = App::wall(config(), Appearance::default(), "10s".parse().unwrap(), (120, 40));
    let mut desk = Desk { app, effects: Vec::new() };
    desk.tell(Message::Catalog(Arc::new(catalog())));
    desk.tell(Message::Feed(Feed::Passport { passport: None, cluster: None }));
    everything(&mut desk, Histories::new());
    assert_snapshot!("empty", desk.screen());
}

#[test]
fn no_key_does_anything_but_leave_and_others_are_answered_once() {
    for key in "r R u p c S enter l / s a left right tab up down pgdn home f n N w t ? x".split(' ') {
        let mut desk = watched((80, 24));
        let (shown, effects) = (desk.app.selected_id().cloned(), desk.taken().len());
        assert!(effects > 0);
        desk.press(key);
        assert!(!desk.app.leaving, "{key}");
        assert!(desk.app.dialog.is_none() && desk.app.prompt.is_none() && desk.app.help.is_none(), "{key}");
        assert_eq!(desk.app.selected_id().cloned(), shown, "{key}");
        assert!(desk.taken().is_empty(), "{key} asks for nothing");
        assert!(desk.screen().contains("q, esc or ctrl-c"), "{key}: {}", desk.screen());
        let until = desk.app.notice.as_ref().unwrap().until;
        later(&mut desk, Duration::from_secs(1));
        desk.press(key);
        assert_eq!(desk.app.notice.as_ref().unwrap().until, until, "a second key does not prolong the hint");
        desk.tell(Message::Paste("q\rrm".to_owned()));
        assert!(!desk.app.leaving);
    }
    for key in ["q", "esc", "ctrl-c"] {
        let mut desk = watched((80, 24));
        desk.press(key);
        assert!(desk.app.leaving, "{key}");
    }
}

#[test]
fn it_is_read_only_whatever_it_is_told_and_names_no_key_that_acts() {
    for read_only in [None, Some(ReadOnly::Flag), Some(ReadOnly::Variable)] {
        let desk = wall((120, 40), Appearance::default(), Config { read_only, ..config() }, histories());
        assert!(desk.app.config.read_only.is_some());
        assert!(desk.screen().contains("READ-ONLY"));
        assert!(desk.app.may_act("a launch").is_err());
    }
    let mut lost = histories();
    lost.remove(&id(RUNNING));
    let screen = wall((200, 60), Appearance::default(), config(), lost).screen();
    assert!(screen.contains("last heard of") && !screen.contains("u takes it over"), "{screen}");
}

#[test]
fn each_turn_closes_one_log_and_opens_the_next_and_asks_for_no_more_than_a_screen_of_it() {
    let mut desk = watched((80, 24));
    desk.taken();
    let mut opened = Vec::new();
    for _ in 0..1_000 {
        later(&mut desk, TURN);
        log(&mut desk, 5_000);
        for effect in desk.taken() {
            match effect {
                Effect::OpenLog(run) => opened.push(run.unwrap().migration),
                Effect::Log(LogWish::Lines(lines)) => assert!(lines.end - lines.start < 100, "{lines:?}"),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(opened.len() >= 1_000);
    assert!(opened.windows(2).all(|pair| pair[0] != pair[1]), "the two take turns");
}

#[test]
fn a_wall_of_ascii_without_colours_is_one() {
    let look = Appearance { colour: ColourDepth::None, ascii: true };
    let mut desk = wall((120, 40), look, config(), histories_with([holding()]));
    calmly(&mut desk, TURN);
    let buffer = desk.buffer();
    assert!(buffer.content.iter().all(|cell| cell.fg == ratatui::style::Color::Reset));
    let screen = desk.screen();
    // What a catalog says is shown as it is.
    assert!(screen.replace("支払い", "").is_ascii(), "{screen}");
    assert_snapshot!("ascii", screen);
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    let desk = watched((30, 6));
    assert!(desk.screen().contains("Make the terminal larger"));
    assert!(desk.screen().contains("q quits"));
}
