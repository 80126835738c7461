//! What a program prints, on its way into the log.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;

use serde_json::Value;

use super::{WAIT_FOR_GO, go, lines, log_path, log_text, until_printed, worker_of};
use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};

#[test]
fn lines_of_both_streams_are_logged_in_the_order_of_their_arrival() {
    let scene = Scene::new().script(
        "both",
        "for i in 1 2 3 4 5; do echo out $i; sleep 0.05; echo err $i >&2; sleep 0.05; done; printf 'no newline'",
    );
    scene.launch(&["both"]);
    let run = scene.until("both", &["succeeded"]);
    let expected: Vec<_> = (1..=5)
        .flat_map(|number| [format!("stdout F out {number}"), format!("stderr F err {number}")])
        .chain(["stdout F no newline".to_owned()])
        .collect();
    let log = log_text(&scene, &run);
    let printed: Vec<_> = log.lines().map(|record| &record[25..]).filter(|text| !text.starts_with("system")).collect();
    assert_eq!(printed, expected);
}

/// Runs `flood` between two waits; gives back by how many MiB the worker's peak of memory rose, and the run.
fn growth_during(name: &str, flood: &str, bytes: u64) -> (Scene, Value, u64) {
    let script = format!("echo ready; {WAIT_FOR_GO}; rm go; {flood}; {WAIT_FOR_GO}");
    let scene = Scene::new().script(name, &script);
    scene.launch(&[name]);
    let run = until_printed(&scene, name, "ready");
    let before = peak(worker_of(&run));
    go(&scene);
    eventually("all is in the log", 2 * PATIENCE, || {
        (fs::metadata(log_path(&scene, &run)).unwrap().len() >= bytes).then_some(())
    });
    let after = peak(worker_of(&run));
    go(&scene);
    let run = scene.until(name, &["succeeded"]);
    (scene, run, (after - before) / 1024)
}

/// The most memory that a process has had, in KiB.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_flood_of_lines_does_not_grow_the_worker() {
    let line = "x".repeat(99);
    let (scene, run, growth) = growth_during("flood", &format!("yes {line} | head -c 200000000"), 268_000_000);
    assert!(growth < 32, "{growth} MiB");
    let log = fs::read(log_path(&scene, &run)).unwrap();
    assert_eq!(memchr::memmem::find_iter(&log, line.as_bytes()).count(), 2_000_000, "every line is there");
}

#[test]
fn a_line_of_a_hundred_megabytes_does_not_grow_the_worker() {
    let flood = "head -c 100000000 /dev/zero | tr '\\0' y; echo";
    let (scene, run, growth) = growth_during("long", flood, 100_000_000);
    assert!(growth < 32, "{growth} MiB");
    let log = fs::read(log_path(&scene, &run)).unwrap();
    let text: usize = log
        .split(|&byte| byte == b'\n')
        .filter_map(stopover::logs::record::parse)
        .filter(|record| record.text.starts_with(b"y"))
        .map(|record| record.text.len())
        .sum();
    assert_eq!(text, 100_000_000);
}

#[test]
fn binary_output_comes_through_as_it_is() {
    let scene =
        Scene::new().script("binary", "printf '\\000\\377\\033[2J\\r\\200 end\\n'; head -c 300000 /dev/urandom");
    scene.launch(&["binary"]);
    let run = scene.until("binary", &["succeeded"]);
    let log = fs::read(log_path(&scene, &run)).unwrap();
    assert!(memchr::memmem::find(&log, b"stdout F \0\xff\x1b[2J\r\x80 end\n").is_some());
    let damaged = log.split(|&byte| byte == b'\n').filter(|record| !record.is_empty());
    assert!(damaged.map(stopover::logs::record::parse).all(|record| record.is_some()), "every record is well formed");
}

#[test]
fn a_deleted_log_file_is_made_again_during_the_run() {
    let scene = Scene::new().script("deleted", "echo first; while [ ! -e go ]; do echo more; sleep 0.05; done");
    scene.launch(&["deleted"]);
    let run = until_printed(&scene, "deleted", "first");
    fs::remove_file(log_path(&scene, &run)).unwrap();
    eventually("a new file is written", PATIENCE, || {
        lines(&scene, &run, "stdout").contains(&"more".to_owned()).then_some(())
    });
    go(&scene);
    scene.until("deleted", &["succeeded"]);
    assert!(lines(&scene, &run, "system").last().unwrap().ends_with(": succeeded"));
    assert!(lines(&scene, &run, "system").iter().any(|line| line.contains("was removed or replaced during the run")));
}

#[test]
fn a_full_disk_stops_nothing_and_the_log_tells_what_it_lacks() {
    let scene = Scene::new().script(
        "full",
        &format!("[ $STOPOVER_ATTEMPT = 1 ] && exit 75; echo lost; echo '::stopover {{\"done\":1}}'; {WAIT_FOR_GO}; echo kept"),
    );
    let id = scene.launch(&["full"]);
    let run = scene.until("full", &["interrupted"]);
    let path = log_path(&scene, &run);
    // A device that has no space left, in place of the file.
    fs::remove_file(&path).unwrap();
    symlink("/dev/full", &path).unwrap();
    scene.must(&["resume", &id]);
    let warned = eventually("the operator is warned", PATIENCE, || {
        Some(scene.run("full")["warnings"].to_string()).filter(|warnings| warnings.contains("No space left"))
    });
    assert!(warned.contains("bytes of the log are missing"), "{warned}");
    fs::remove_file(&path).unwrap();
    eventually("there is space again", PATIENCE, || path.exists().then_some(()));
    go(&scene);
    let run = scene.until("full", &["succeeded"]);
    assert_eq!(lines(&scene, &run, "stdout"), ["kept"]);
    let said = lines(&scene, &run, "system").join("\n");
    assert!(said.contains("bytes of the log are missing here: No space left"), "{said}");
}

#[test]
fn what_a_run_leaves_on_disk_is_its_owner_s_alone() {
    let scene = Scene::new().script("private", &format!("echo on; {WAIT_FOR_GO}"));
    scene.launch(&["private"]);
    until_printed(&scene, "private", "on");
    let state = scene.state();
    let kept = walk(&state);
    assert!(kept.iter().any(|file| file.ends_with("ledger.db-wal")), "{kept:?}");
    for path in kept.into_iter().chain([state.clone(), state.join("runs"), state.join("workers")]) {
        // SQLite may remove a file of its own meanwhile.
        let Ok(found) = fs::metadata(&path) else { continue };
        assert_eq!(found.permissions().mode() & 0o077, 0, "{}", path.display());
    }
    go(&scene);
    scene.until("private", &["succeeded"]);
}

#[test]
fn secrets_are_masked_wherever_output_goes_and_stand_in_no_command_line() {
    let token = "tok-5ecret-of-the-run";
    let scene = Scene::new()
        .manifest("leaky", "command: [sh, leak.sh]\nparams: { token: { secret: true, required: true } }\n")
        .variable("MONGODB_URI", "mongodb://app:p%40ss-w0rd@127.0.0.1:9/payments");
    let mirror = scene.path().join("mirror");
    fs::write(&mirror, "").unwrap();
    let ledger = format!("sqlite:{}", scene.state().join("ledger.db").display());
    let scene = scene.variable("STOPOVER_LEDGER", ledger).variable("STOPOVER_MIRROR", mirror.display().to_string());
    let leak = format!(
        "echo \"token $STOPOVER_PARAM_TOKEN\"; echo \"uri $MONGODB_URI, p@ss-w0rd\" >&2\n\
         echo \"::stopover {{\\\"message\\\":\\\"with $STOPOVER_PARAM_TOKEN\\\"}}\"; echo on; {WAIT_FOR_GO}; echo \"$STOPOVER_PARAM_TOKEN\" >&2; exit 1"
    );
    fs::write(scene.path().join("migrations/leak.sh"), leak).unwrap();
    scene.launch(&["leaky", "--param", &format!("token={token}")]);
    let run = until_printed(&scene, "leaky", "on");
    let processes = stopover::process::members_of_session(worker_of(&run));
    assert!(processes.len() >= 3, "worker, guard and program: {processes:?}");
    let secrets = [token, "p@ss-w0rd", "p%40ss-w0rd"];
    let assert_clean = |what: &str, bytes: &[u8]| {
        for secret in secrets {
            assert!(memchr::memmem::find(bytes, secret.as_bytes()).is_none(), "{secret} is in {what}");
        }
    };
    for pid in processes {
        assert_clean("a command line", &fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default());
    }
    go(&scene);
    let run = scene.until("leaky", &["failed"]);
    assert_eq!(lines(&scene, &run, "stdout"), ["token ***", "on"]);
    assert_eq!(lines(&scene, &run, "stderr"), ["uri mongodb://app:***@127.0.0.1:9/payments, ***", "***"]);
    assert_eq!(run["message"], "with ***");
    assert!(fs::read_to_string(&mirror).unwrap().contains("[leaky] token ***"));
    assert_clean("what is shown", run.to_string().as_bytes());
    for file in walk(&scene.state()).into_iter().chain([mirror]) {
        assert_clean(&file.display().to_string(), &fs::read(&file).unwrap());
    }
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
