//! The mirror shows what it can and holds nothing up.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{WAIT_FOR_GO, go, lines};
use crate::support::scene::{PATIENCE, Scene};

/// A scene whose mirror is a FIFO, and its reading end, which never blocks.
fn with_fifo() -> (Scene, File) {
    let scene = Scene::new();
    let path = scene.path().join("stdout-of-pid-1");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    let reader = OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
    (scene.variable("STOPOVER_MIRROR", path.display().to_string()), reader)
}

/// Reads what there is until `enough` is in it.
fn read_until(reader: &mut File, mut enough: impl FnMut(&[u8]) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut text = Vec::new();
    let mut buffer = [0; 65536];
    while !enough(&text) {
        assert!(Instant::now() < deadline, "not in the mirror: {}", String::from_utf8_lossy(&text));
        match reader.read(&mut buffer) {
            // No writer yet, or none any more; nothing yet.
            Ok(0) | Err(_) => std::thread::sleep(Duration::from_millis(10)),
            Ok(count) => text.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8(text).expect("only whole characters are mirrored")
}

fn has(text: &'static str) -> impl FnMut(&[u8]) -> bool {
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
        text.contains("[shown] stopover: attempt 1 of run ") && text.contains("[shown] stopover: succeeded"),
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
    let text = read_until(&mut reader, has("lines are left out here"));
    let note = text.lines().find(|line| line.contains("left out")).unwrap();
    let count: usize = note.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!((100_000..200_000).contains(&count), "{note}");
    go(&scene);
    let run = scene.until("flood", &["succeeded"]);
    assert!(run["warnings"].to_string().contains("missing in the mirror"), "{run}");
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
    let text = read_until(&mut reader, |bytes| memchr::memmem::find_iter(bytes, b"stopover: succeeded").count() == 8);
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
    for name in &names {
        scene.until(name, &["succeeded"]);
    }
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
