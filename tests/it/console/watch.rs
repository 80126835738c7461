//! The real wall display in a real terminal.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::eventually;
use crate::support::pty::Terminal;
use crate::support::scene::Scene;
use crate::support::steady::go;

const AT_ONCE: Duration = Duration::from_secs(5);
const FIRST: &str = "20261101_counts";
const SECOND: &str = "20261102_counts";
const THIRD: &str = "20261103_counts";

/// Prints and tells how far it is, until the file `go` is there.
const COUNTS: &str = r#"
i=0
until [ -e ../go ]; do
    i=$((i+1)); echo "line $i of $STOPOVER_MIGRATION"
    echo "::stopover {\"done\":$i,\"total\":1000000}"
    sleep 0.05
done
"#;

fn scene() -> Scene {
    Scene::new().script(FIRST, COUNTS).script(SECOND, COUNTS).script(THIRD, COUNTS)
}

#[track_caller]
fn leave(mut terminal: Terminal) {
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(AT_ONCE), 0);
}

#[test]
fn a_run_that_another_process_launches_appears_takes_its_turns_and_its_end_is_said() {
    let scene = scene();
    let terminal = Terminal::console(&scene, &["watch", "--every", "1s"]);
    terminal.shows("READ-ONLY");
    terminal.shows("Nothing is at work.");
    terminal.shows("3 pending");
    assert!(!scene.state().join("ledger.db").exists(), "looking creates nothing");

    scene.launch(&[FIRST]);
    terminal.shows(&format!("─ {FIRST} ─"));
    terminal.shows(&format!("of {FIRST}"));
    scene.launch(&[THIRD]);
    terminal.shows("2 running");
    terminal.shows(&format!("─ {THIRD} ─"));
    terminal.shows("2 of 2, 1s each");
    terminal.shows(&format!("of {THIRD}"));
    terminal.shows("1 of 2, 1s each");

    // None of what an operator would press does anything.
    for keys in ["r", "R", "\r", "u", "p", "c", "S", "l", "/", "s", "?", "\t", "\x1b[A", "\x1b[B", "\x0c"] {
        terminal.type_keys(keys);
    }
    terminal.type_keys("\x1b[200~q\rcancel\r\x1b[201~");
    terminal.shows("q, esc or ctrl-c");
    terminal.shows("2 running");

    go(&scene);
    terminal.shows("has succeeded at");
    terminal.shows("Nothing is at work.");
    terminal.shows("✓ applied");
    assert_eq!(scene.json(&["runs", "--json"]).as_array().unwrap().len(), 2, "nothing was launched by a key");
    leave(terminal);
}

#[test]
fn escape_and_control_c_leave_it_too_and_the_runs_go_on() {
    let scene = scene();
    scene.launch(&[FIRST]);
    for key in ["\x1b", "\x03"] {
        let mut terminal = Terminal::sized(&scene, &["watch", "--ascii", "--color", "none"], 80, 24);
        terminal.shows("1 running");
        terminal.type_keys(key);
        assert_eq!(terminal.ends_within(AT_ONCE), 0);
        assert!(!terminal.modes().0, "the alternate screen is left");
    }
    assert_eq!(scene.run(FIRST)["state"], "running");
    go(&scene);
    scene.until(FIRST, &["succeeded"]);
}

#[test]
fn a_wall_that_turns_and_turns_keeps_its_memory_and_its_files() {
    let scene = scene();
    for name in [FIRST, SECOND, THIRD] {
        scene.launch(&[name]);
    }
    let mut terminal = Terminal::console(&scene, &["watch", "--every", "1s"]);
    let round = |terminal: &Terminal| {
        for turn in ["1 of 3", "2 of 3", "3 of 3"] {
            terminal.shows(turn);
        }
    };
    for _ in 0..3 {
        round(&terminal);
    }
    let before = used(&terminal);
    for _ in 0..8 {
        round(&terminal);
    }
    let after = used(&terminal);
    assert!(after.memory < before.memory + 3 * 1024, "kB of memory: {before:?}, {after:?}");
    assert!(after.files <= before.files + 4, "open files: {before:?}, {after:?}");
    terminal.type_keys("q");
    terminal.ends_within(AT_ONCE);
    go(&scene);
    for name in [FIRST, SECOND, THIRD] {
        scene.until(name, &["succeeded"]);
    }
}

#[derive(Debug)]
struct Used {
    memory: u64,
    files: usize,
}

fn used(terminal: &Terminal) -> Used {
    let process = format!("/proc/{}", terminal.pid());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")).unwrap();
    Used { memory: memory.parse().unwrap(), files: fs::read_dir(format!("{process}/fd")).unwrap().count() }
}

#[test]
fn a_wall_at_rest_costs_next_to_nothing() {
    let scene = scene();
    let terminal = Terminal::console(&scene, &["watch"]);
    terminal.shows("Nothing is at work.");
    let (bytes, cpu) = (terminal.received(), terminal.cpu());
    std::thread::sleep(Duration::from_secs(5));
    // Its clock, once a second.
    let (written, used) = (terminal.received() - bytes, terminal.cpu().saturating_sub(cpu));
    assert!((1..2_000).contains(&written), "{written} bytes");
    // Unoptimised and beside other tests.
    assert!(used < Duration::from_secs(1), "{used:?}");
    leave(terminal);
}

#[test]
fn without_a_terminal_it_says_how_to_attach() {
    let ended = scene().stopover(&["watch"]);
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.contains("kubectl exec -it deploy/stopover -- stopover watch"), "{}", ended.stderr);
}

#[test]
fn a_turn_has_sane_bounds() {
    for every in ["0s", "500ms", "1h", "often"] {
        let ended = scene().stopover(&["watch", "--every", every]);
        assert_eq!(ended.status, 2, "{every}");
        assert!(ended.stderr.contains("from 1s to 10min"), "{every}: {}", ended.stderr);
    }
}

#[test]
fn a_terminal_that_is_gone_ends_it() {
    let scene = scene();
    let mut terminal = Terminal::console(&scene, &["watch"]);
    terminal.shows("3 pending");
    terminal.hang_up();
    terminal.ends_within(AT_ONCE);
    eventually("it left nothing behind", AT_ONCE, || (!scene.state().join("ledger.db").exists()).then_some(()));
}

#[test]
fn only_who_leaves_it_ends_a_loop_around_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let scene = scene();
        let mut terminal = Terminal::console(&scene, &["watch"]);
        terminal.shows("3 pending");
        terminal.signal(signal);
        assert_eq!(terminal.ends_within(AT_ONCE), 8, "{signal:?}: as when a pod ends");
        terminal.shows("The wall display was asked to end");
        terminal.shows("stopover watch");
    }
}
