//! The wall display of a viewer, while the ledger comes and goes.

use std::time::Duration;

use super::{STEADY, go, pod, stamp};
use crate::support::pty::Terminal;
use crate::support::replica_set::ReplicaSet;
use crate::support::scene::Scene;
use crate::support::server::{SECRET, Server};

const COUNTS: &str = "20261102_counts";

/// Tells how far it is, until the file `go` is there.
const PROGRAM: &str = r#"
i=0
until [ -e ../go ]; do
    i=$((i+1)); echo "line $i"; echo "::stopover {\"done\":$i,\"total\":1000000}"
    sleep 0.1
done
"#;

/// One whose lease outlasts what is done to the server here.
fn counting(name: &str, uri: String) -> Scene {
    pod(name, uri).script(COUNTS, PROGRAM).variable("STOPOVER_LEASE", "5min")
}

#[track_caller]
fn leave(mut wall: Terminal) {
    wall.type_keys("q");
    assert_eq!(wall.ends_within(Duration::from_secs(5)), 0);
}

/// Waits until the number of items that are shown as done has grown.
#[track_caller]
fn gets_on(wall: &Terminal) {
    let done = || {
        let text = wall.text();
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix("done "))?;
        line.split(" of ").next()?.trim().replace(',', "").parse::<u64>().ok()
    };
    let before = crate::support::eventually("it shows what is done", Duration::from_mins(1), done);
    crate::support::eventually("what is done grows", Duration::from_mins(1), || done().filter(|now| *now > before));
}

#[tokio::test]
async fn a_wall_waits_for_a_ledger_that_is_away_at_the_start_and_whenever_it_goes_away() {
    let mut server = Server::start().await;
    let operator = counting("pod-a", server.writer());
    let viewer = counting("pod-b", server.reader());
    stamp(&operator);
    server.stop();

    let wall = Terminal::console(&viewer, &["watch", "--every", "1s"]);
    wall.shows("Ledger away since");
    assert!(!wall.text().contains("Nothing is at work"), "{}", wall.text());
    server.start_again();
    wall.shows("● connected");
    wall.shows("staging");
    wall.shows("Nothing is at work.");

    operator.launch(&[COUNTS]);
    operator.launch(&[STEADY]);
    wall.shows("2 running");
    wall.shows("1 of 2");
    wall.shows("2 of 2");
    // From the archive: the file is in the other pod.
    wall.shows("attempt 1 from the start");
    wall.shows("from the ledger");

    server.kill();
    wall.shows("ledger away, as of");
    wall.shows("2 running");
    // The turns go on with what is known.
    wall.shows(&format!("─ {STEADY} ─"));
    wall.shows(&format!("─ {COUNTS} ─"));
    assert!(!wall.text().contains(SECRET), "{}", wall.text());
    server.start_again();
    wall.shows("● connected");
    wall.no_longer_shows("Ledger away since");
    wall.shows("2 running");

    go(&operator);
    wall.shows("has succeeded at");
    wall.shows("Nothing is at work.");
    wall.shows("2 applied");
    leave(wall);
}

#[tokio::test]
async fn a_wall_follows_the_ledger_from_primary_to_primary() {
    let mut set = ReplicaSet::start().await;
    let operator = counting("pod-a", set.uri());
    stamp(&operator);
    operator.launch(&[COUNTS]);
    let viewer = counting("pod-b", set.uri());
    let wall = Terminal::sized(&viewer, &["watch", "--every", "1s"], 80, 24);
    gets_on(&wall);
    set.step_down().await;
    set.primary().await;
    gets_on(&wall);
    set.kill_primary().await;
    set.settle().await;
    gets_on(&wall);
    wall.shows("● connected");
    go(&operator);
    wall.shows("has succeeded at");
    leave(wall);
}
