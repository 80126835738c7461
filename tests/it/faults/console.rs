//! Consoles that end in every way: what was launched from them goes on.

use std::time::Duration;

use crate::support::pty::{Manner, Terminal};
use crate::support::scene::STOPOVER;

use super::*;

/// Launches from a console, has something happen to that, and lets the run end.
fn launched_from_a_console(fault: impl FnOnce(&mut Terminal)) {
    launched_at(Manner::default(), fault);
}

fn launched_at(manner: Manner, fault: impl FnOnce(&mut Terminal)) {
    let case = Case::new();
    let mut terminal = Terminal::at(&case.scene, manner, STOPOVER, &[] as &[&str]);
    terminal.shows("1 pending");
    terminal.type_keys("r");
    terminal.shows(&format!("Run {NAME}"));
    terminal.type_keys("\r");
    terminal.shows("1 running");
    until_done(&case.scene, NAME, 3);
    fault(&mut terminal);
    case.program.works(20);
    assert_eq!(case.resume_and_check()["attempt"], 1);
}

#[test]
fn a_killed_console_leaves_its_runs_alone() {
    launched_from_a_console(|terminal| {
        terminal.signal(Signal::KILL);
        terminal.ends_within(Duration::from_secs(10));
    });
}

#[test]
fn a_console_whose_terminal_is_gone_leaves_its_runs_alone() {
    launched_from_a_console(|terminal| {
        terminal.hang_up();
        terminal.ends_within(Duration::from_secs(10));
    });
}

/// As with a broken transport of `exec`: no hang-up, no end of input, no answer.
#[test]
fn a_console_whose_terminal_vanishes_leaves_its_runs_alone() {
    launched_from_a_console(|terminal| {
        terminal.vanish();
        assert_eq!(terminal.ends_within(Duration::from_secs(30)), 8);
    });
}

/// The same at a terminal that cannot answer, and a write that hangs.
#[test]
fn a_console_that_nobody_reads_leaves_its_runs_alone() {
    launched_at(Manner { answers: false, ..Manner::default() }, |terminal| {
        terminal.stall();
        for _ in 0..200 {
            terminal.type_keys("?");
            std::thread::sleep(Duration::from_millis(10));
        }
        terminal.signal(Signal::TERM);
        assert_eq!(terminal.ends_within(Duration::from_secs(10)), 0);
    });
}
