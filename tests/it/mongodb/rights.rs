//! What a database user may do, and that its password is seen nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::{STEADY, go, pod, stamp};
use crate::support::eventually;
use crate::support::pty::Terminal;
use crate::support::scene::{Ended, PATIENCE, Scene};
use crate::support::server::{SECRET, Server};

/// Tells the password as it stands in the connection string, and as it is.
const TELLS: &str = r#"
echo "connecting to $MONGODB_URI"
echo "as writer, $(echo "$MONGODB_URI" | sed 's/.*writer:\(.*\)@127.*/\1/; s/%40/@/')"
until [ -e ../go ]; do sleep 0.05; done
exit 9
"#;

#[track_caller]
fn without_password(ended: Ended) -> Ended {
    assert!(!ended.stdout.contains(SECRET) && !ended.stderr.contains(SECRET), "{ended:?}");
    ended
}

#[tokio::test]
async fn a_user_who_may_only_read_looks_at_everything_and_launches_nothing() {
    let server = Server::start().await;
    let (writer, reader) = (pod("pod-a", server.writer()), pod("pod-b", server.reader()));
    stamp(&writer);
    go(&writer);
    writer.must(&["run", STEADY, "--wait"]);
    for looking in [&["list"][..], &["show", STEADY], &["runs"], &["logs", STEADY], &["list", "--json"]] {
        for arguments in [looking.to_vec(), [&["--read-only"], looking].concat()] {
            let ended = without_password(reader.stopover(&arguments));
            assert_eq!(ended.status, 0, "{arguments:?}: {}", ended.stderr);
        }
    }
    assert!(reader.must(&["logs", STEADY, "--read-only"]).contains("finished"));

    let refused = without_password(reader.stopover(&["run", STEADY, "--rerun"]));
    assert_eq!(refused.status, 6, "{}", refused.stderr);
    assert!(refused.stderr.contains("lacks the privilege for createIndex on stopover_runs"), "{}", refused.stderr);
    let refused = without_password(reader.stopover(&["run", STEADY, "--rerun", "--read-only"]));
    assert_eq!(refused.status, 7, "{}", refused.stderr);
    without_password(reader.stopover(&["doctor"]));
    assert_eq!(writer.json(&["runs", "--json"]).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_console_of_a_user_who_may_only_read_says_so_when_asked_to_act() {
    let server = Server::start().await;
    stamp(&pod("pod-a", server.writer()));
    let reader = pod("pod-b", server.reader());
    let mut terminal = Terminal::console(&reader, &[]);
    terminal.shows("1 pending");
    terminal.type_keys("r");
    terminal.shows("Run 20261101_steady");
    terminal.type_keys("\r");
    terminal.shows("the privilege for createIndex on stopover_runs");
    terminal.shows("● connected");
    assert!(!terminal.text().contains(SECRET), "{}", terminal.text());
    terminal.type_keys("\x03");
    terminal.no_longer_shows("the privilege for");
    terminal.type_keys("q");
    terminal.ends_within(Duration::from_secs(5));
}

#[tokio::test]
async fn a_password_is_neither_in_a_log_nor_in_the_ledger_nor_in_a_process_list() {
    let server = Server::start().await;
    let scene = Scene::new().script("20261101_tells", TELLS).variable("MONGODB_URI", server.writer());
    stamp(&scene);
    let mut launch = scene.command(&["run", "20261101_tells", "--wait"]).stdout(Stdio::null()).spawn().unwrap();
    // All the while, so that the short-lived helper of the launch may be seen, too.
    let mut seen = BTreeSet::new();
    eventually("a worker runs the program", PATIENCE, || {
        seen.extend(command_lines());
        let parts = [" worker ", " guard", "20261101_tells.sh"];
        parts.iter().all(|part| seen.iter().any(|line| line.contains(part))).then_some(())
    });
    assert!(!seen.iter().any(|line| line.contains(SECRET)), "{seen:?}");
    go(&scene);
    assert_eq!(launch.wait().unwrap().code(), Some(1));
    scene.until("20261101_tells", &["failed"]);
    let log = without_password(scene.stopover(&["logs", "20261101_tells", "--raw"]));
    assert!(log.stdout.contains("connecting to mongodb://writer:***@127.0.0.1"), "{log:?}");
    assert!(log.stdout.contains("as writer, ***\n"), "{log:?}");
    without_password(scene.stopover(&["show", "20261101_tells", "--json"]));
    without_password(scene.stopover(&["doctor"]));
    assert!(!server.contents().await.contains(SECRET));
    assert_eq!(files_with(scene.path(), SECRET.as_bytes()), Vec::<String>::new());
}

/// The command line of every process that can be seen.
fn command_lines() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

/// The files below a directory that hold some bytes.
fn files_with(directory: &Path, needle: &[u8]) -> Vec<String> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path {
            path if path.is_dir() => files_with(&path, needle),
            path if memchr::memmem::find(&fs::read(&path).unwrap(), needle).is_some() => {
                vec![path.display().to_string()]
            }
            _ => Vec::new(),
        })
        .collect()
}
