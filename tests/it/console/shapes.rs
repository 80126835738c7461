//! What a terminal may be and send: sizes, pastes, wide characters, a poor environment.

use std::time::Duration;

use crate::support::eventually;
use crate::support::pty::Terminal;
use crate::support::scene::{PATIENCE, STOPOVER, Scene};

fn scene() -> Scene {
    Scene::new().script("20261101_count", "echo counted").script("20261102_stay", "exec sleep 1000")
}

fn leave(mut terminal: Terminal) {
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(PATIENCE), 0);
}

/// The lines of the screen, without the blanks that end them: whether they were written makes no difference.
fn shown(terminal: &Terminal) -> Vec<String> {
    terminal.text().lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn a_size_that_comes_late_and_without_a_signal_is_taken_up() {
    let scene = scene();
    // In a session of its own the terminal is not its controlling one, and the kernel signals nothing.
    let terminal = Terminal::of_program(&scene, "setsid", &["--wait", STOPOVER], 0, 0);
    terminal.shows("2 pending");
    terminal.resize(120, 40);
    terminal.shows("next alert");
    terminal.resize(80, 24);
    eventually("it fits the smaller one", PATIENCE, || {
        let bottom = terminal.text().lines().nth(23).map(ToOwned::to_owned);
        bottom.filter(|line| line.contains("help") && line.contains("quit"))
    });
    leave(terminal);
}

#[test]
fn after_any_resizes_the_screen_is_that_of_a_console_opened_at_that_size() {
    let scene = scene();
    let terminal = Terminal::console(&scene, &[]);
    terminal.shows("2 pending");
    terminal.type_keys("\x1b[B");
    for size in [(80, 24), (200, 60)] {
        for (columns, rows) in [(20, 5), (200, 60), (1, 1), (300, 3), (3, 100), (40, 12), (0, 0), size] {
            terminal.resize(columns, rows);
            std::thread::sleep(Duration::from_millis(15));
        }
        let fresh = Terminal::sized(&scene, &[], size.0, size.1);
        fresh.shows("2 pending");
        fresh.type_keys("\x1b[B");
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("both show the same", PATIENCE, || (shown(&terminal) == shown(&fresh)).then_some(()));
        }));
        assert!(found.is_ok(), "resized:\n{}\nfresh:\n{}", terminal.text(), fresh.text());
        leave(fresh);
    }
    leave(terminal);
}

#[test]
fn the_environment_of_an_exec_is_enough() {
    // A user without an entry in passwd has this home, and the client's language and terminal never arrive.
    let scene = scene().variable("HOME", "/").variable("TERM", "xterm");
    let mut terminal = Terminal::sized(&scene, &[], 80, 24);
    terminal.shows("○ pending");
    terminal.type_keys("r");
    terminal.shows("Run 20261101_count");
    terminal.type_keys("\r");
    terminal.shows("✓ applied");
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(PATIENCE), 0);
}

#[test]
fn whatever_is_pasted_into_the_list_does_nothing() {
    let scene = scene();
    let terminal = Terminal::console(&scene, &[]);
    terminal.shows("2 pending");
    let line = "r\ry\rR\r\nc\x03q\x1b[B\x1bOB\u{7f}\tagain\r支払";
    terminal.type_keys(&format!("\x1b[200~{}\x1b[201~", line.repeat(100_000 / line.len())));
    // The key after it has its meaning.
    terminal.type_keys("?");
    terminal.shows("Act on the selected migration");
    terminal.type_keys("\x1b");
    terminal.no_longer_shows("Act on the selected migration");
    terminal.shows("2 pending");
    assert_eq!(scene.json(&["runs", "--json"]).as_array().unwrap().len(), 0);
    leave(terminal);
}

#[test]
fn of_what_is_pasted_into_a_line_the_first_line_is_taken() {
    let scene = scene();
    let terminal = Terminal::console(&scene, &[]);
    terminal.shows("2 pending");
    terminal.type_keys("/");
    terminal.type_keys(&format!("\x1b[200~st\x1b\x07\x08ay\r\nr\r{}\x1b[201~", "x\r".repeat(50_000)));
    // It finds what it names, and nothing was typed that would end the input or launch.
    terminal.no_longer_shows("20261101_count");
    terminal.shows("20261102_stay");
    terminal.type_keys("\r");
    terminal.type_keys("r");
    terminal.shows("Run 20261102_stay");
    terminal.type_keys("\x1b");
    terminal.no_longer_shows("Run 20261102_stay");
    assert_eq!(scene.json(&["runs", "--json"]).as_array().unwrap().len(), 0);
    leave(terminal);
}

#[test]
fn wide_and_combined_characters_move_nothing_out_of_its_place() {
    let wide = "支払い移行 🏦🇧🇷 👩‍💻 e\u{301}tat ✈️ ｆｕｌｌ ﷽";
    let scene = Scene::new()
        .manifest("20261101_wide", &format!("description: \"{wide}\"\nowner: 支払\ncommand: [sh, -c, \"true\"]\n"))
        .script("20261102_prints", &format!("for n in 1 2 3 4 5 6 7 8; do echo \"$n {wide} end\"; done"))
        .variable("STOPOVER_OPERATOR", "アダ 🏦");
    scene.must(&["run", "20261102_prints", "--wait"]);
    for size in [(80, 24), (120, 40), (200, 60)] {
        let terminal = Terminal::sized(&scene, &[], size.0, size.1);
        terminal.shows("1 pending");
        for keys in ["", "\x1b[B", "l", "w"] {
            terminal.type_keys(keys);
            if keys == "l" {
                terminal.shows("8 支払");
            }
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                eventually("it is straight", PATIENCE, || is_straight(&terminal, size).then_some(()));
            }));
            assert!(found.is_ok(), "{size:?} after {keys:?}:\n{}", terminal.text());
        }
        leave(terminal);
    }
}

/// Whether the line between the panes stands in one column. Where there is none, the log has the screen.
fn is_straight(terminal: &Terminal, (columns, rows): (u16, u16)) -> bool {
    let lines = (0..rows).filter_map(|row| (0..columns).find(|column| terminal.cell(row, *column) == "│"));
    let mut columns: Vec<u16> = lines.collect();
    columns.dedup();
    columns.len() <= 1
}
