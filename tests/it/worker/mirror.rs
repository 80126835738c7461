//! The mirror shows what it can and holds nothing up.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{WAIT_FOR_GO, go, lines};
use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};

/// A scene whose mirror is a FIFO, and its reading end, which never blocks.
pub(super) fn with_fifo() -> (Scene, File) {
    let scene = Scene::new();
    let path = scene.path().join("stdout-of-pid-1");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    let reader = OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
    (scene.variable("STOPOVER_MIRROR", path.display().to_string()), reader)
}

/// Reads until `enough` has been read; it is asked whenever there is nothing more to read at the moment.
pub(super) fn read_until(reader: &mut File, mut enough: impl FnMut(&[u8]) -> bool) -> String {
    let deadline = Instant::now() + 2 * PATIENCE;
    let mut text = Vec::new();
    let mut buffer = vec![0; 65536];
    loop {
        match reader.read(&mut buffer) {
            Ok(count) if count > 0 => text.extend_from_slice(&buffer[..count]),
            // No writer yet, or none any more; nothing yet.
            _ if enough(&text) => return String::from_utf8(text).expect("only whole characters are mirrored"),
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
        assert!(Instant::now() < deadline, "not in the mirror: {}", String::from_utf8_lossy(&text));
    }
}

pub(super) fn has(text: &'static str) -> impl FnMut(&[u8]) -> bool {
    move |bytes| memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[test]
fn lines_are_mirrored_with_the_name_of_the_migration_and_nothing_that_steers_a_terminal() {
    let (scene, mut reader) = with_fifo();
    let scene = scene.script("shown", "echo one; printf 'caf\\303\\251 \\033[2J\\033]0;title\\007red\\n' >&2");
    scene.launch(&["shown"]);
    let text = read_until(&mut reader, has("succeeded"));
    assert!(text.contains("[shown] one\n") && text.contains("[shown] café red\n"), "{text:?}");
    assert!(
        text.contains("[shown] stopover: attempt 1 of run ")
            && text.contains("[shown] stopover: after ")
            && text.contains(": succeeded"),
        "{text:?}"
    );
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn a_reader_that_stalls_holds_nothing_up_and_learns_what_it_missed() {
    let (scene, mut reader) = with_fifo();
    let script = format!("yes {} | head -n 200000; echo last; {WAIT_FOR_GO}", "x".repeat(99));
    let scene = scene.script("flood", &script);
    scene.launch(&["flood"]);
    let run = super::until_printed(&scene, "flood", "last");
    // All of it is in the log while nobody has read a byte of the mirror.
    assert_eq!(lines(&scene, &run, "stdout").len(), 200_001);
    // Each line is either shown or counted: the start, the flood and the last.
    let text = read_until(&mut reader, |bytes| shown_and_left_out(bytes).0 + shown_and_left_out(bytes).1 == 200_002);
    let (shown, left_out) = shown_and_left_out(text.as_bytes());
    assert!(left_out > 100_000 && shown > 1_000, "{shown} shown, {left_out} left out");
    go(&scene);
    let run = scene.until("flood", &["succeeded"]);
    assert!(run["warnings"].to_string().contains("missing in the mirror"), "{run}");
    let counted = format!("stopover_mirror_lines_dropped_total{{migration=\"flood\"}} {left_out}\n");
    eventually("what was left out is counted", PATIENCE, || scene.must(&["metrics"]).contains(&counted).then_some(()));
}

/// How many lines are in the mirror, and how many it says are not.
fn shown_and_left_out(bytes: &[u8]) -> (usize, usize) {
    let text = std::str::from_utf8(bytes).unwrap();
    let (mut shown, mut left_out) = (0, 0);
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        match line.split_once(" lines are left out here") {
            Some((before, _)) => left_out += before.rsplit(' ').next().unwrap().parse::<usize>().unwrap(),
            None => shown += 1,
        }
    }
    (shown, left_out)
}

#[test]
fn a_reader_that_never_reads_again_does_not_keep_the_worker() {
    let (scene, _reader) = with_fifo();
    let scene = scene.script("flood", &format!("yes {} | head -n 50000", "x".repeat(99)));
    scene.launch(&["flood"]);
    let run = scene.until("flood", &["succeeded"]);
    super::until_dead("the worker", super::worker_of(&run));
}

#[test]
fn lines_of_many_workers_are_never_torn() {
    let (mut scene, mut reader) = with_fifo();
    let names: Vec<String> = ('a'..='h').map(|letter| format!("w{letter}")).collect();
    for name in &names {
        let letter = &name[1..];
        // Lines of 1 to 6,000 letters: some of them need pieces.
        let body = format!(
            "{WAIT_FOR_GO}; long=$(head -c 6000 /dev/zero | tr '\\0' {letter}); i=0\n\
             while [ $i -lt 300 ]; do i=$((i+1)); printf '%.*s\\n' $((i * 20)) $long; done"
        );
        scene = scene.script(name, &body);
    }
    for name in &names {
        scene.launch(&[name]);
    }
    go(&scene);
    let text = read_until(&mut reader, |_| {
        names.iter().all(|name| {
            let run = scene.run(name);
            run["state"] == "succeeded" && stopover::process::ProcessIdentity::of(super::worker_of(&run)).is_none()
        })
    });
    let mut seen = 0;
    for line in text.lines() {
        assert!(line.len() < 4096, "{} bytes", line.len());
        let (name, said) = line.strip_prefix('[').and_then(|line| line.split_once("] ")).expect(line);
        if !said.starts_with("stopover: ") {
            let letter = name.chars().nth(1).unwrap();
            assert!(said.trim_end_matches('…').chars().all(|c| c == letter), "torn: {line}");
            seen += 1;
        }
    }
    assert!(seen >= 1000, "{seen}");
}

#[test]
fn a_mirror_that_cannot_be_had_is_told_and_stops_nothing() {
    for (path, why) in [
        (PathBuf::from("/dev/null"), "it is /dev/null"),
        (PathBuf::from("/nowhere/at/all"), "No such file"),
        (std::env::temp_dir(), "directory"),
    ] {
        let scene = Scene::new().script("fine", "echo on").variable("STOPOVER_MIRROR", path.display().to_string());
        scene.launch(&["fine"]);
        let run = scene.until("fine", &["succeeded"]);
        let warnings = run["warnings"].to_string();
        assert!(warnings.contains("not mirrored") && warnings.contains(why), "{path:?}: {warnings}");
    }
}

#[test]
fn a_regular_file_is_appended_to() {
    let scene = Scene::new().script("fine", "echo on");
    let file = scene.path().join("mirror");
    fs::write(&file, "what was there\n").unwrap();
    let scene = scene.variable("STOPOVER_MIRROR", file.display().to_string());
    scene.launch(&["fine"]);
    let run = scene.until("fine", &["succeeded"]);
    super::until_dead("the worker", super::worker_of(&run));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("what was there\n[fine] stopover: attempt 1") && text.contains("\n[fine] on\n"), "{text}");
}
