//! Connections that break without a word, and slow ones: terminals as `kubectl exec` has them.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::eventually;
use crate::support::link::Quality;
use crate::support::pod::Pod;
use crate::support::pty::{Manner, Terminal};
use crate::support::scene::{PATIENCE, STOPOVER, Scene};

const NONE: &[&str] = &[];
/// The exit status of one who left because nobody answered, or nobody read.
const NOBODY: u32 = 8;

const FLOOD: &str = "20261103_flood";

/// A migration that stays, and one that prints and prints, no line like another in any column.
fn scene() -> Scene {
    Scene::new().script("20261102_stay", "trap 'exit 75' TERM; echo staying; while :; do sleep 0.1; done").script(
        FLOOD,
        "while :; do od -An -v -tx8 -w128 -N12800 /dev/urandom | sed 's/^/of a log that floods the terminal/'; sleep 0.1; done",
    )
}

fn end(scene: &Scene, migration: &str) {
    scene.until(migration, &["running"]);
    scene.must(&["cancel", migration]);
    scene.until(migration, &["cancelled"]);
}

/// Opens the log of the flood.
fn watch_flood(scene: &Scene, terminal: &Terminal) {
    terminal.shows("1 running");
    // The one that runs.
    terminal.type_keys("a");
    terminal.type_keys("l");
    terminal.shows("of a log that floods the terminal");
    assert_eq!(scene.run(FLOOD)["state"], "running");
}

#[test]
fn a_console_whose_terminal_vanishes_is_gone_while_one_that_is_answered_stays() {
    let scene = scene();
    scene.launch(&["20261102_stay"]);
    let mut dead = Terminal::console(&scene, &[]);
    let mut living = Terminal::console(&scene, &[]);
    dead.shows("1 running");
    living.shows("1 running");
    eventually("it has answered", PATIENCE, || (dead.questions().1 > 0).then_some(()));
    dead.vanish();
    assert_eq!(dead.ends_within(PATIENCE), NOBODY);
    living.type_keys("?");
    living.shows("Act on the selected migration");
    living.type_keys("q");
    assert_eq!(living.ends_within(PATIENCE), 0);
    end(&scene, "20261102_stay");
}

#[test]
fn a_paste_whose_end_was_lost_with_its_terminal_does_not_keep_the_console() {
    // The second is torn within the sequence that would end it.
    for torn in ["\x1b[200~half of a word", "\x1b[200~a word\x1b[201", "\x1b["] {
        let scene = scene();
        let mut terminal = Terminal::console(&scene, &[]);
        terminal.shows("2 pending");
        eventually("it has answered", PATIENCE, || (terminal.questions().1 > 0).then_some(()));
        terminal.type_keys(torn);
        terminal.vanish();
        assert_eq!(terminal.ends_within(PATIENCE), NOBODY, "{torn:?}");
    }
}

#[test]
fn a_console_that_shows_a_flood_is_gone_too_when_its_terminal_vanishes() {
    let scene = scene();
    scene.launch(&[FLOOD]);
    let mut terminal = Terminal::console(&scene, &[]);
    watch_flood(&scene, &terminal);
    eventually("it has answered", PATIENCE, || (terminal.questions().1 > 0).then_some(()));
    terminal.vanish();
    assert_eq!(terminal.ends_within(PATIENCE), NOBODY);
    end(&scene, FLOOD);
}

#[test]
fn one_who_is_there_after_all_is_told_why_the_console_left_and_how_to_attach_again() {
    let scene = scene().variable("KUBERNETES_SERVICE_HOST", "10.0.0.1").variable("STOPOVER_NAMESPACE", "payments");
    scene.launch(&["20261102_stay"]);
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("1 running");
    eventually("it has answered", PATIENCE, || (terminal.questions().1 > 0).then_some(()));
    let raw = terminal.discipline();
    terminal.fall_silent();
    assert_eq!(terminal.ends_within(PATIENCE), NOBODY);
    terminal.shows("Nobody answered at this terminal for");
    // Wherever the terminal breaks the line.
    let said = terminal.text().replace('\n', "");
    assert!(said.contains("20261102_stay goes on without it"), "{said}");
    assert!(said.contains("kubectl exec -it -n payments pod-a -- stopover"), "{said}");
    assert_eq!(terminal.modes(), (false, false));
    assert_ne!(terminal.discipline(), raw);
    end(&scene, "20261102_stay");
}

#[test]
fn a_slow_link_shows_what_a_key_does_before_anything_that_has_piled_up() {
    for size in [(120, 40), (200, 60)] {
        let scene = scene();
        scene.launch(&[FLOOD]);
        let mut terminal = Terminal::at(&scene, Manner { quality: Quality::SLOW, size, answers: true }, STOPOVER, NONE);
        watch_flood(&scene, &terminal);
        let cpu = terminal.cpu();
        for _ in 0..4 {
            // What is there between, alone, would hold 85,000 bytes of frames.
            let before = terminal.received();
            terminal.type_keys("?");
            terminal.shows("Act on the selected migration");
            let shown = terminal.received() - before;
            assert!(shown < 60_000, "{size:?}: {shown} bytes until a key showed");
            terminal.type_keys("\x1b");
            terminal.no_longer_shows("Act on the selected migration");
            terminal.shows("of a log that floods the terminal");
            let before = terminal.received();
            eventually("the flood goes on", PATIENCE, || (terminal.received() > before + 20_000).then_some(()));
        }
        let used = terminal.cpu().saturating_sub(cpu);
        assert!(used < Duration::from_secs(4), "{size:?}: it does not spin: {used:?}");
        terminal.type_keys("q");
        assert_eq!(terminal.ends_within(PATIENCE), 0, "{size:?}: it was never given up");
        eventually("the screen is given back", PATIENCE, || (terminal.modes() == (false, false)).then_some(()));
        end(&scene, FLOOD);
    }
}

#[test]
fn a_slow_link_that_breaks_is_noticed() {
    let scene = scene();
    scene.launch(&[FLOOD]);
    let mut terminal = Terminal::at(&scene, Manner { quality: Quality::SLOW, ..Manner::default() }, STOPOVER, NONE);
    watch_flood(&scene, &terminal);
    eventually("it has answered", PATIENCE, || (terminal.questions().1 > 0).then_some(()));
    terminal.vanish();
    assert_eq!(terminal.ends_within(2 * PATIENCE), NOBODY);
    end(&scene, FLOOD);
}

#[test]
fn a_console_that_was_stopped_does_not_take_its_own_silence_for_that_of_the_terminal() {
    let scene = scene();
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("2 pending");
    eventually("it has answered", PATIENCE, || (terminal.questions().1 > 0).then_some(()));
    terminal.signal(Signal::STOP);
    // Longer than it waits for an answer.
    std::thread::sleep(Duration::from_secs(7));
    terminal.signal(Signal::CONT);
    let asked = terminal.questions().0;
    eventually("it asks on", PATIENCE, || (terminal.questions().0 > asked + 5).then_some(()));
    terminal.type_keys("?");
    terminal.shows("Act on the selected migration");
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(PATIENCE), 0);
}

#[test]
fn a_terminal_that_cannot_answer_is_served_all_the_same() {
    let scene = scene();
    let mut terminal = Terminal::at(&scene, Manner { answers: false, ..Manner::default() }, STOPOVER, NONE);
    terminal.shows("2 pending");
    eventually("it was asked three times", PATIENCE, || (terminal.questions().0 >= 3).then_some(()));
    terminal.type_keys("?");
    terminal.shows("Act on the selected migration");
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(PATIENCE), 0);
}

#[test]
fn an_answer_that_is_on_its_way_when_the_operator_leaves_is_not_left_to_the_shell() {
    let scene = scene();
    let manner = Manner { quality: Quality { rate: None, delay: Duration::from_millis(200) }, ..Manner::default() };
    let script = format!("{STOPOVER}; echo left; read line; echo \"read <$line>\"");
    let mut terminal = Terminal::at(&scene, manner, "sh", &["-c", &script]);
    terminal.shows("2 pending");
    let (asked, _) =
        eventually("it has answered twice", PATIENCE, || Some(terminal.questions()).filter(|all| all.1 >= 2));
    eventually("it is asked again", PATIENCE, || (terminal.questions().0 > asked).then_some(()));
    terminal.type_keys("q");
    terminal.shows("left");
    eventually("all is answered", PATIENCE, || {
        let (asked, answered) = terminal.questions();
        (asked == answered).then_some(())
    });
    terminal.type_keys("done\r");
    terminal.shows("read <done>");
    assert_eq!(terminal.ends_within(PATIENCE), 0);
}

#[test]
fn a_follower_whose_terminal_takes_nothing_ends_and_its_run_goes_on() {
    for verb in [&["logs", FLOOD, "-f"][..], &["run", FLOOD, "--follow"]] {
        let scene = scene().variable("STOPOVER_TERMINAL_PATIENCE", "2s");
        if verb[0] == "logs" {
            scene.launch(&[FLOOD]);
        }
        let mut terminal = Terminal::at(&scene, Manner::default(), STOPOVER, verb);
        terminal.shows("of a log that floods the terminal");
        assert_eq!(terminal.questions().0, 0, "in a terminal that echoes nothing is asked");
        terminal.vanish();
        assert_eq!(terminal.ends_within(PATIENCE), NOBODY, "{verb:?}");
        end(&scene, FLOOD);
    }
}

#[test]
fn a_follower_on_a_slow_terminal_is_not_taken_for_stuck() {
    let scene = scene().variable("STOPOVER_TERMINAL_PATIENCE", "2s");
    scene.launch(&[FLOOD]);
    let mut terminal =
        Terminal::at(&scene, Manner { quality: Quality::SLOW, ..Manner::default() }, STOPOVER, &["logs", FLOOD, "-f"]);
    // Many times what is taken at once: it has blocked all the time.
    eventually("it goes on", 2 * PATIENCE, || (terminal.received() > 300_000).then_some(()));
    terminal.type_keys("\x03");
    assert_ne!(terminal.ends_within(PATIENCE), NOBODY);
    end(&scene, FLOOD);
}

#[test]
fn a_pipe_may_be_read_as_late_as_one_likes() {
    let scene = scene().variable("STOPOVER_TERMINAL_PATIENCE", "200ms");
    scene.launch(&[FLOOD]);
    let mut follower = scene.command(&["logs", FLOOD, "-f"]);
    let mut follower = follower.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Many times the patience at a terminal; the pipe is full soon.
    std::thread::sleep(Duration::from_secs(3));
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(lines.by_ref().take(20_000).map(Result::unwrap).count(), 20_000);
    drop(lines);
    let status = eventually("it ends with its pipe", PATIENCE, || follower.try_wait().unwrap());
    assert!(status.success(), "{status}");
    end(&scene, FLOOD);
}

#[test]
fn a_follower_that_a_runtime_brought_into_a_pod_ends_when_nobody_takes_what_it_brings() {
    let scene = scene().variable("STOPOVER_TERMINAL_PATIENCE", "2s");
    let pod = Pod::new(&scene, &[]).ready();
    pod.launch(&[FLOOD]);
    let mut follower = pod.exec(&[STOPOVER, "logs", FLOOD, "-f"]);
    let mut follower = follower.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let status = eventually("it ends with its pipe unread", PATIENCE, || follower.try_wait().unwrap());
    assert_eq!(status.code(), Some(8));
    end(&scene, FLOOD);
}

#[test]
fn a_launch_that_is_followed_by_nobody_any_more_ends_without_an_outcome_and_its_run_goes_on() {
    let scene = scene();
    let mut follower = scene.command(&["run", FLOOD, "--follow"]);
    let mut follower = follower.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("of a log that floods the terminal")));
    drop(lines);
    let ended = follower.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(8));
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.contains("nobody reads this any more; run"), "{said}");
    end(&scene, FLOOD);
}
