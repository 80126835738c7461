//! Those who work in a pod from outside when it ends.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::{STUBBORN, go, until_printed};
use crate::support::eventually;
use crate::support::pod::Pod;
use crate::support::pty::Terminal;
use crate::support::scene::{PATIENCE, STOPOVER, Scene};

#[test]
fn a_console_leaves_and_puts_its_terminal_in_order_while_the_keeper_still_waits_for_a_worker() {
    let scene = Scene::new().script("stubborn", STUBBORN);
    let mut pod = Pod::new(&scene, &["--grace", "60s"]).ready();
    let run = pod.launch(&["stubborn"]);
    until_printed(&scene, &run, "on");
    let mut arguments = pod.entrance();
    arguments.push(STOPOVER.to_owned());
    let mut terminal = Terminal::of_program(&scene, "nsenter", &arguments, 120, 40);
    terminal.shows("stubborn");
    assert_eq!(terminal.modes(), (true, true));
    let raw = terminal.discipline();
    pod.signal(Signal::TERM);
    assert_eq!(terminal.ends_within(PATIENCE), 0, "it left by itself");
    assert!(!pod.output().contains("worker stopped in"), "{}", pod.output());
    eventually("the screen is the shell's again", PATIENCE, || (terminal.modes() == (false, false)).then_some(()));
    assert_ne!(terminal.discipline(), raw);
    terminal.shows("This pod is being shut down, so the console left");
    go(&scene);
    assert!(pod.ends().success());
    assert_eq!(scene.run("stubborn")["state"], "interrupted");
}

#[test]
fn a_script_that_follows_a_run_is_asked_to_leave() {
    let scene = Scene::new().script("stubborn", STUBBORN);
    let mut pod = Pod::new(&scene, &["--grace", "60s"]).ready();
    let run = pod.launch(&["stubborn"]);
    until_printed(&scene, &run, "on");
    let mut follow = pod.exec(&[STOPOVER, "logs", &run, "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("on")), "it follows");
    pod.signal(Signal::TERM);
    let status = eventually("it has left", PATIENCE, || follow.try_wait().unwrap());
    assert!(!status.success());
    assert!(!pod.output().contains("worker stopped in"), "the keeper still waits for the worker: {}", pod.output());
    go(&scene);
    assert!(pod.ends().success());
}

#[test]
fn a_launch_that_is_asked_to_end_is_finished_first() {
    let scene = Scene::new().script("fine", "true");
    // It is met within the launch, as soon as it holds the signal back; what is not met ends as ever.
    eventually("one was met within its launch", 2 * PATIENCE, || {
        let mut launch = scene.command(&["run", "fine", "--rerun"]);
        let mut launch = launch.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(launch.id()).unwrap();
        let mut met = false;
        let status = loop {
            if !met && holds_sigterm_back(pid) {
                met = true;
                kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
            }
            if let Some(status) = launch.try_wait().unwrap() {
                break status;
            }
        };
        assert!(status.success(), "{status}");
        scene.until("fine", &["succeeded"]);
        met.then_some(())
    });
}

fn holds_sigterm_back(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|caught| u64::from_str_radix(caught.trim(), 16).ok()).unwrap_or_default();
    caught & (1 << (Signal::TERM.as_raw() - 1)) != 0
}

#[test]
fn a_keeper_whose_output_nobody_reads_stops_its_workers_all_the_same() {
    let scene = Scene::new().script("polite", super::POLITE);
    let (_reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let mut pod = Pod::writing_to(&scene, &["--grace", "60s"], writer);
    let file = scene.state().join("keeper.pid");
    eventually("the keeper is there", PATIENCE, || file.exists().then_some(()));
    let run = pod.launch(&["polite"]);
    until_printed(&scene, &run, "on");
    pod.shut_down();
    assert_eq!(scene.run("polite")["state"], "interrupted");
}
