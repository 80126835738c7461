//! The real console in a real terminal: the main job, and every way out.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::pty::{Manner, Terminal};
use crate::support::scene::{STOPOVER, Scene};

const AT_ONCE: Duration = Duration::from_secs(5);
const NONE: &[&str] = &[];

fn scene() -> Scene {
    Scene::new()
        .script("20261101_count", "for i in 1 2 3 4 5 6; do echo \"item $i\"; sleep 0.3; done")
        .script("20261102_stay", "trap 'exit 75' TERM; echo staying; while :; do sleep 0.1; done")
}

#[test]
fn the_main_job_from_the_first_frame_to_the_farewell() {
    let scene = scene();
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("2 pending");
    terminal.type_keys("r");
    terminal.shows("Run 20261101_count");
    terminal.shows("runs detached");
    terminal.type_keys("\r");
    terminal.shows("● running");
    terminal.shows("item 3");
    terminal.shows("✓ applied");
    terminal.shows("item 6");
    terminal.type_keys("\x1b[B");
    terminal.type_keys("r");
    terminal.shows("Run 20261102_stay");
    terminal.type_keys("\r");
    terminal.shows("staying");
    terminal.type_keys("p");
    terminal.shows("asked to stop at its next checkpoint");
    terminal.type_keys("\r");
    terminal.shows("‖ paused");
    terminal.type_keys("u");
    terminal.shows("Resume 20261102_stay");
    terminal.type_keys("\r");
    terminal.shows("attempt 2");
    terminal.shows("1 running");
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(AT_ONCE), 0);
    terminal.shows("20261102_stay goes on without this console");
    let run = scene.run("20261102_stay");
    assert!(["queued", "running"].contains(&run["state"].as_str().unwrap()), "{run}");
    scene.must(&["cancel", "20261102_stay"]);
    scene.until("20261102_stay", &["cancelled"]);
}

#[test]
fn the_terminal_is_given_back_as_it_was() {
    let scene = scene();
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("2 pending");
    assert_eq!(terminal.modes(), (true, true), "the alternate screen, without a cursor");
    let raw = terminal.discipline();
    terminal.type_keys("q");
    terminal.ends_within(AT_ONCE);
    crate::support::eventually("the screen is given back", AT_ONCE, || {
        (terminal.modes() == (false, false)).then_some(())
    });
    let given_back = terminal.discipline();
    assert_ne!(raw, given_back);
    for flag in ["ICANON", "ECHO", "ISIG"] {
        assert!(given_back.contains(flag), "{flag} is set again: {given_back}");
    }
}

#[test]
fn a_hangup_ends_the_console_and_leaves_the_run_alone() {
    let scene = scene();
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("2 pending");
    let run = scene.launch(&["20261102_stay"]);
    terminal.shows("1 running");
    terminal.hang_up();
    terminal.ends_within(AT_ONCE);
    scene.until("20261102_stay", &["running"]);
    scene.must(&["cancel", &run]);
    scene.until("20261102_stay", &["cancelled"]);
}

#[test]
fn signals_end_the_console_at_once() {
    for signal in [Signal::HUP, Signal::TERM, Signal::INT] {
        let scene = scene();
        let mut terminal = Terminal::console(&scene, &[]);
        terminal.shows("2 pending");
        terminal.signal(signal);
        assert_eq!(terminal.ends_within(AT_ONCE), 0, "{signal:?}");
        crate::support::eventually("it leaves the alternate screen", AT_ONCE, || (!terminal.modes().0).then_some(()));
        if signal != Signal::HUP {
            terminal.shows("The console was asked to end");
            terminal.shows("Attach again with:");
        }
    }
}

#[test]
fn a_terminal_that_takes_nothing_does_not_hold_the_console() {
    let scene = scene();
    // It has never answered, so that it is not left for that.
    let mut terminal = Terminal::at(&scene, Manner { answers: false, ..Manner::default() }, STOPOVER, NONE);
    terminal.shows("2 pending");
    terminal.stall();
    // Whole screens of change, until the terminal is full and a write hangs.
    for _ in 0..200 {
        terminal.type_keys("?");
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = terminal.cpu();
    std::thread::sleep(Duration::from_secs(1));
    assert!(terminal.cpu().saturating_sub(before) < Duration::from_millis(200), "it does not spin");
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.ends_within(AT_ONCE), 0);
}

#[test]
fn a_size_that_comes_late_is_taken_up() {
    let scene = scene();
    let mut terminal = Terminal::sized(&scene, &[], 0, 0);
    terminal.shows("2 pending");
    terminal.resize(120, 40);
    terminal.shows("next alert");
    terminal.type_keys("q");
    terminal.ends_within(AT_ONCE);
}

#[test]
fn an_idle_console_writes_nothing_but_questions_and_rests() {
    let scene = scene();
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("2 pending");
    let quiet = |terminal: &Terminal| {
        let before = terminal.received();
        std::thread::sleep(Duration::from_secs(1));
        (terminal.received() <= before + 8).then_some(())
    };
    crate::support::eventually("the first second of quiet", Duration::from_secs(20), || quiet(&terminal));
    let (bytes, cpu) = (terminal.received(), terminal.cpu());
    std::thread::sleep(Duration::from_secs(6));
    let written = terminal.received() - bytes;
    assert!(
        (4..=32).contains(&written) && written.is_multiple_of(4),
        "a question a second, and nothing else: {written}"
    );
    // Unoptimised and beside other tests; a release build stays far below half a percent.
    assert!(
        terminal.cpu().saturating_sub(cpu) < Duration::from_millis(300),
        "{:?}",
        terminal.cpu().saturating_sub(cpu)
    );
    terminal.type_keys("q");
    terminal.ends_within(AT_ONCE);
}

#[test]
fn a_read_only_console_neither_writes_nor_creates_a_ledger() {
    let scene = scene();
    let mut terminal = Terminal::console(&scene, &["--read-only"]);
    terminal.shows("READ-ONLY");
    terminal.shows("2 pending");
    terminal.type_keys("r");
    terminal.shows("A launch is refused, this Stopover is read-only: --read-only was given");
    terminal.type_keys("q");
    terminal.ends_within(AT_ONCE);
    assert!(!scene.state().join("ledger.db").exists());
}

#[test]
fn looking_creates_nothing() {
    // Also with the right to act.
    let scene = scene();
    let mut terminal = Terminal::console(&scene, &["--ascii", "--color", "none"]);
    terminal.shows("2 pending");
    terminal.type_keys("?");
    terminal.shows("Act on the selected migration");
    terminal.type_keys("\x1b");
    terminal.no_longer_shows("Act on the selected migration");
    terminal.type_keys("\x03");
    assert_eq!(terminal.ends_within(AT_ONCE), 0);
    assert!(!scene.state().join("ledger.db").exists());
}
