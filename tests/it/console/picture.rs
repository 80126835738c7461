//! Pictures of every view, at the sizes that people have.

use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;
use ratatui::style::Color;
use stopover::console::message::{Acted, Feed, LogNews, Message};
use stopover::console::{Appearance, ColourDepth};
use stopover::ledger::{EnvironmentName, MigrationState, RunState, Seen, Wish, WishKind};

use super::scenery::*;

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (200, 60), (40, 12)];

fn watching(size: (u16, u16)) -> Desk {
    let mut desk = Desk::ready(size);
    desk.inspected(log_lines(60));
    desk
}

#[test]
fn a_run_is_watched() {
    for size in SIZES {
        let desk = watching(size);
        assert_snapshot!(format!("watching_{}x{}", size.0, size.1), desk.screen());
    }
}

#[test]
fn the_first_frame_says_what_it_waits_for() {
    let mut desk = Desk::blank(config(), (80, 24));
    assert_snapshot!("first_frame", desk.screen());
    desk.tell(Message::Catalog(Arc::new(catalog())));
    desk.tell(Message::Feed(Feed::Away {
        reason: "the ledger mongodb://db-0 cannot be reached: no server answers".to_owned(),
    }));
    assert_snapshot!("away_from_the_start", desk.screen());
}

#[test]
fn the_last_known_state_is_shown_with_its_age_while_the_ledger_is_away() {
    let mut desk = watching((120, 40));
    desk.tell(Message::Feed(Feed::Away {
        reason: "the ledger mongodb://db-0 cannot be reached: connection refused".to_owned(),
    }));
    desk.app.clock.advance(Duration::from_secs(45));
    desk.tell(Message::Tick);
    let screen = desk.screen();
    assert!(screen.contains("ledger away, as of 42 s ago"), "{screen}");
    assert!(screen.contains("● running"), "what nobody could look at is not called lost:\n{screen}");
    assert_snapshot!("away", screen);
}

#[test]
fn a_launch_says_exactly_what_will_run_where() {
    for size in SIZES {
        let mut desk = Desk::ready(size);
        desk.select(PENDING);
        desk.press("r");
        assert_snapshot!(format!("launch_{}x{}", size.0, size.1), desk.screen());
    }
}

#[test]
fn a_rerun_is_worded_apart() {
    let mut desk = Desk::with(
        stopover::config::Config { environment: None, ..config() },
        Some(passport("staging", false)),
        (120, 40),
    );
    desk.select(APPLIED);
    desk.press("r");
    assert_snapshot!("rerun", desk.screen());
}

#[test]
fn a_refusal_names_the_ways_out() {
    let mut desk = Desk::ready((80, 24));
    desk.select(FAILED);
    desk.press("r");
    assert_snapshot!("refusal", desk.screen());
}

#[test]
fn taking_over_a_lost_run_says_what_that_means() {
    let mut desk = Desk::ready((120, 40));
    desk.select(LOST);
    desk.press("u");
    assert_snapshot!("take_over", desk.screen());
}

#[test]
fn a_cancel_says_that_it_is_for_good() {
    let mut desk = Desk::ready((80, 24));
    desk.press("c");
    assert_snapshot!("cancel", desk.screen());
}

#[test]
fn force_asks_for_the_name_at_every_size() {
    for size in SIZES {
        let mut desk = Desk::ready(size);
        let mut run = running();
        if let RunState::Running { wish, .. } = &mut run.state {
            let by = actor("joe", "stopover-1a2b");
            *wish = Some(Wish { kind: WishKind::Cancel, by, at: ago(60), heard_at: Some(ago(59)), force: None });
        }
        run.updated_at = now().plus(Duration::from_secs(1));
        let seen = Seen { now: now().plus(Duration::from_secs(1)), value: vec![run] };
        desk.tell(Message::Feed(Feed::Changes { seen, latency: Duration::from_millis(2) }));
        assert_snapshot!(format!("stopping_{}x{}", size.0, size.1), desk.screen());
        desk.press("c");
        assert_snapshot!(format!("force_{}x{}", size.0, size.1), desk.screen());
    }
}

#[test]
fn a_lost_run_says_where_it_was_and_what_can_be_done_at_every_size() {
    for size in SIZES {
        let mut desk = Desk::ready(size);
        desk.select(LOST);
        assert_snapshot!(format!("lost_{}x{}", size.0, size.1), desk.screen());
    }
}

#[test]
fn a_ledger_without_a_passport_is_stamped_first() {
    let mut desk = Desk::with(config(), None, (120, 40));
    desk.select(FAILED);
    desk.press("R");
    assert_snapshot!("stamp", desk.screen());
}

#[test]
fn another_environment_may_be_looked_at_only() {
    let mut desk = Desk::with(config(), Some(passport("staging", false)), (120, 40));
    desk.select(PENDING);
    desk.press("r");
    assert!(desk.app.dialog.is_none());
    assert_snapshot!("wrong_environment", desk.screen());
}

#[test]
fn a_read_only_console_says_so_and_explains_its_keys() {
    let config = stopover::config::Config { read_only: Some(stopover::config::ReadOnly::Variable), ..config() };
    let mut desk = Desk::with(config, Some(passport("production", true)), (120, 40));
    desk.press("r");
    assert_snapshot!("read_only", desk.screen());
}

#[test]
fn a_broken_migration_shows_where_and_what_to_do() {
    let mut desk = Desk::ready((80, 24));
    desk.select(BROKEN);
    desk.press("enter");
    assert_snapshot!("broken", desk.screen());
}

#[test]
fn the_details_of_a_failure_fill_the_screen() {
    let mut desk = Desk::ready((120, 40));
    desk.select(FAILED);
    desk.inspected(log_lines(3));
    desk.press("enter");
    assert_snapshot!("failed_detail", desk.screen());
}

#[test]
fn the_log_fills_the_screen_and_counts_matches() {
    let mut desk = watching((120, 40));
    desk.press("l w t /");
    desk.type_text("gateway");
    desk.press("enter");
    let run = desk.app.log.run.unwrap();
    let text = "gateway".to_owned();
    desk.tell(Message::Log(run, LogNews::Found { text: text.clone(), line: Some(50) }));
    desk.tell(Message::Log(run, LogNews::Matches { text, lines: vec![5, 14, 23, 32, 41, 50, 59], more: false }));
    assert!(desk.screen().contains("6 of 7"));
    assert_snapshot!("log", desk.screen());
}

#[test]
fn all_keys_are_listed() {
    let mut desk = Desk::ready((120, 60));
    desk.press("?");
    assert_snapshot!("help", desk.screen());
}

#[test]
fn the_word_of_proof_is_in_sight_in_every_terminal() {
    for size in SIZES {
        let mut desk = Desk::ready(size);
        desk.select(PENDING);
        desk.press("r tab tab");
        desk.type_text("20261110_ex");
        desk.press("enter");
        let screen = desk.screen();
        assert!(screen.contains("▸ 20261110_ex"), "{screen}");
    }
}

#[test]
fn a_hint_never_takes_the_place_of_the_keys() {
    let ledger = stopover::ledger::LedgerAddress::parse("sqlite:/var/lib/stopover/ledger.db").unwrap();
    let config = stopover::config::Config { ledger, database: None, environment: None, ..config() };
    let desk = Desk::with(config, None, (40, 12));
    assert!(desk.screen().contains("? help  q quit"), "{}", desk.screen());
}

#[test]
fn every_key_is_explained_whole_in_a_narrow_terminal() {
    for size in [(40, 200), (80, 200)] {
        let mut desk = Desk::ready(size);
        desk.press("?");
        let words = desk.screen().split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        for last in ["where", "attention", "upper case", "goes on"] {
            assert!(words.contains(last), "{last}: {words}");
        }
    }
}

#[test]
fn a_filter_that_matches_nothing_says_how_to_leave_it() {
    let mut desk = Desk::ready((80, 24));
    desk.press("/");
    desk.type_text("nothing like it");
    assert_snapshot!("filtered_away", desk.screen());
}

#[test]
fn an_answer_is_told() {
    let mut desk = Desk::ready((80, 24));
    desk.tell(Message::Acted(Acted::Done { text: "Run 9f3c1a2b is asked to pause.".to_owned(), run: None }));
    assert!(desk.screen().contains("✓ Run 9f3c1a2b is asked to pause."));
}

#[test]
fn a_terminal_too_small_says_so() {
    let desk = Desk::ready((39, 7));
    assert!(desk.screen().contains("larger"), "{}", desk.screen());
    // Nothing panics at any size.
    for columns in 0..60 {
        for rows in 0..20 {
            let mut desk = watching((columns, rows));
            desk.screen();
            desk.press("r");
            desk.screen();
            desk.press("esc ?");
            desk.screen();
        }
    }
}

#[test]
fn ascii_is_enough_for_everything() {
    let mut desk = watching((120, 40));
    desk.app.look.ascii = true;
    let screen = desk.screen();
    let strange: Vec<_> = screen.chars().filter(|c| !c.is_ascii() && *c != '支' && *c != '払' && *c != 'い').collect();
    assert!(strange.is_empty(), "{strange:?}\n{screen}");
    desk.select(PENDING);
    desk.press("r");
    assert_snapshot!("ascii_launch", desk.screen());
}

#[test]
fn a_state_is_told_without_any_colour() {
    let mut desk = watching((120, 40));
    desk.app.look = Appearance { colour: ColourDepth::None, ascii: false };
    let buffer = desk.buffer();
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let screen = desk.screen();
    for (name, state) in [
        (APPLIED, MigrationState::Applied),
        (CHANGED, MigrationState::Changed),
        (RUNNING, MigrationState::Running),
        (FAILED, MigrationState::Failed),
        (PAUSED, MigrationState::Paused),
        (LOST, MigrationState::Lost),
        (PENDING, MigrationState::Pending),
        (BROKEN, MigrationState::Broken),
        (MISSING, MigrationState::Missing),
    ] {
        let row = screen.lines().find(|line| line.contains(name) && line.contains(state.word()));
        assert!(row.is_some(), "{name} does not say {state}:\n{screen}");
    }
}

#[test]
fn no_password_is_on_any_screen() {
    for size in SIZES {
        let mut desk = watching(size);
        desk.select(PENDING);
        desk.press("r tab");
        desk.type_text("hunter2");
        let screen = desk.screen();
        assert!(!screen.contains("s3cret") && !screen.contains("hunter2"), "{screen}");
    }
}

#[test]
fn the_environment_is_seen_while_a_dialog_is_open() {
    for size in SIZES {
        let mut desk = Desk::with(
            stopover::config::Config { environment: Some(EnvironmentName::new("production").unwrap()), ..config() },
            Some(passport("production", true)),
            size,
        );
        desk.select(PENDING);
        desk.press("r");
        assert!(desk.screen().lines().next().unwrap().contains("production"));
    }
}
