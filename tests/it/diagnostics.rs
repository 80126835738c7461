//! What a console and commands note of themselves: in files of their owner's, never on the screen.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::eventually;
use crate::support::pty::Terminal;
use crate::support::scene::{PATIENCE, Scene};

const SOON: Duration = Duration::from_secs(10);

fn files(scene: &Scene) -> Vec<PathBuf> {
    let entries = fs::read_dir(scene.state().join("diagnostics")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// All that is noted.
fn notes(scene: &Scene) -> String {
    files(scene).iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[track_caller]
fn until_noted(scene: &Scene, text: &str) {
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually(text, PATIENCE, || notes(scene).contains(text).then_some(()));
    }));
    assert!(found.is_ok(), "never noted {text:?}:\n{}", notes(scene));
}

#[test]
fn a_console_notes_its_start_what_was_asked_and_why_it_left() {
    let scene = Scene::new().script("20261101_fine", "echo on");
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("1 pending");
    terminal.type_keys("r");
    terminal.shows("Run 20261101_fine");
    terminal.type_keys("\r");
    terminal.shows("✓ applied");
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(SOON), 0);
    for text in [
        "INFO stopover::console: console starts operator=ada pod=\"pod-a\"",
        "stopover::console: asked: launch 20261101_fine",
        "done: launch 20261101_fine: 20261101_fine is launched as run ",
        "leaves: the operator left",
    ] {
        until_noted(&scene, text);
    }
    for file in files(&scene) {
        assert!(file.file_name().unwrap().to_str().unwrap().starts_with("console.20"), "{file:?}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let directory = scene.state().join("diagnostics");
    assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_terminal_that_is_gone_and_a_ledger_that_is_away_are_noted_without_a_secret() {
    let scene = Scene::new().script("20261101_fine", "echo on").variable(
        "STOPOVER_LEDGER",
        "mongodb://app:s3cret@127.0.0.1:1/ledger?serverSelectionTimeoutMS=300&connectTimeoutMS=300",
    );
    let mut terminal = Terminal::console(&scene, &[]);
    until_noted(&scene, "the ledger is away: the ledger mongodb://app:***@127.0.0.1:1/ledger cannot be reached");
    terminal.hang_up();
    until_noted(&scene, "leaves: the terminal is gone");
    assert!(!notes(&scene).contains("s3cret"), "{}", notes(&scene));
    assert!(!terminal.text().contains("stopover::console"), "{}", terminal.text());
}

#[test]
fn commands_that_change_something_note_how_they_ended() {
    let scene = Scene::new().script("20261101_fine", "echo on");
    scene.launch(&["20261101_fine"]);
    scene.until("20261101_fine", &["succeeded"]);
    let refused = scene.stopover(&["run", "20261101_fine"]);
    assert_eq!(refused.status, 4);
    until_noted(&scene, "WARN stopover::command: a launch: 20261101_fine");
    let before = notes(&scene);
    scene.must(&["list"]);
    assert_eq!(notes(&scene), before, "what only looks notes nothing");
}

#[test]
fn what_cannot_be_noted_is_not_and_the_console_is_as_ever() {
    let scene = Scene::new().script("20261101_fine", "echo on").variable("STOPOVER_STATE_DIR", "/proc/nowhere");
    let ledger = format!("sqlite:{}", scene.path().join("ledger.db").display());
    let scene = scene.variable("STOPOVER_LEDGER", ledger);
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("1 pending");
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(SOON), 0);
}

#[test]
fn how_much_is_noted_is_a_setting() {
    let scene = Scene::new().script("20261101_fine", "echo on").variable("STOPOVER_LOG", "off");
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("1 pending");
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(SOON), 0);
    assert!(files(&scene).is_empty());
    let scene = scene.variable("STOPOVER_LOG", "loud");
    let ended = scene.stopover(&["list"]);
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.contains("STOPOVER_LOG: \"loud\" is no level; use `off`, `error`"), "{}", ended.stderr);
    let scene = scene.variable("STOPOVER_LOG", "debug");
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("1 pending");
    until_noted(&scene, "DEBUG stopover::console: the catalog is read migrations=1 problems=0");
    terminal.type_keys("q");
    terminal.ends_within(SOON);
}
