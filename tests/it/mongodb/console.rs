//! The console on a MongoDB that comes and goes.

use std::time::Duration;

use super::{go, pod, stamp};
use crate::support::pty::Terminal;
use crate::support::server::{SECRET, Server};

#[tokio::test]
async fn a_console_shows_what_it_last_knew_while_the_ledger_is_away_and_recovers_by_itself() {
    let mut server = Server::start().await;
    let scene = pod("pod-a", server.writer());
    stamp(&scene);
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("● connected");
    terminal.shows("staging");
    terminal.shows("1 pending");
    terminal.type_keys("r");
    terminal.shows("Run 20261101_steady");
    terminal.type_keys("\r");
    terminal.shows("● running");
    terminal.shows("attempt 1 from the start");

    server.kill();
    terminal.shows("ledger away, as of");
    assert!(
        terminal.text().contains("20261101_steady") && terminal.text().contains("1 running"),
        "{}",
        terminal.text()
    );
    assert!(!terminal.text().contains(SECRET), "{}", terminal.text());
    go(&scene);
    // The log is a file in this pod: it goes on without the ledger.
    terminal.shows("finished");

    server.start_again();
    terminal.shows("● connected");
    terminal.shows("✓ applied");
    terminal.no_longer_shows("ledger away");
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(Duration::from_secs(5)), 0);
}

#[tokio::test]
async fn a_server_that_hangs_does_not_hold_the_console() {
    let server = Server::start().await;
    let scene = pod("pod-a", server.writer());
    stamp(&scene);
    let mut terminal = Terminal::console(&scene, &[]);
    terminal.shows("● connected");
    terminal.shows("1 pending");
    server.freeze();
    terminal.type_keys("?");
    terminal.shows("Act on the selected migration");
    terminal.type_keys("\x1b");
    terminal.no_longer_shows("Act on the selected migration");
    terminal.shows("ledger away, as of");
    terminal.shows("1 pending");
    server.thaw();
    terminal.shows("● connected");
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(Duration::from_secs(5)), 0);
}
