//! A database user that may only read the ledger, as docs/readonly.md grants it: everything can be looked at, nothing is written.

use std::time::Duration;

use bson::{Bson, Document, doc};
use stopover::ledger::{LedgerAddress, NewQuarantined, open_writer};

use super::{STEADY, go, pod, stamp};
use crate::support::pty::Terminal;
use crate::support::scene::{Ended, Scene};
use crate::support::server::{SECRET, Server};

const COLLECTIONS: [&str; 4] = ["stopover_passport", "stopover_runs", "stopover_logs", "stopover_quarantine"];

/// What looks, all of it.
const LOOKING: &[&[&str]] = &[
    &["list"],
    &["list", "--json"],
    &["show", STEADY],
    &["show", STEADY, "--json"],
    &["runs"],
    &["runs", STEADY, "--json"],
    &["logs", STEADY],
    &["logs", STEADY, "--raw"],
    &["logs", STEADY, "--json"],
    &["logs", STEADY, "-f"],
    &["quarantine", STEADY],
    &["quarantine", STEADY, "--json"],
    &["doctor"],
    &["doctor", STEADY, "--json"],
];

/// The role of the page, as the server takes it.
fn documented() -> Document {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/readonly.md")).unwrap();
    let block = page.split("```json\n").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
    let role: serde_json::Value = serde_json::from_str(block).unwrap();
    Bson::try_from(role).unwrap().as_document().unwrap().clone()
}

/// The same without one collection.
fn without(collection: &str) -> Document {
    let mut role = documented();
    role.insert("createRole", format!("without_{collection}"));
    role.get_array_mut("privileges").unwrap().retain(|privilege| !privilege.to_string().contains(collection));
    assert_eq!(role.get_array("privileges").unwrap().len(), COLLECTIONS.len() - 1);
    role
}

#[track_caller]
fn without_password(ended: Ended) -> Ended {
    assert!(!ended.stdout.contains(SECRET) && !ended.stderr.contains(SECRET), "{ended:?}");
    ended
}

/// A ledger with a run that has ended and has left out a document.
async fn used(server: &Server) -> Scene {
    let writer = pod("pod-a", server.writer());
    stamp(&writer);
    go(&writer);
    let run = writer.launch(&[STEADY, "--wait"]);
    let ledger = open_writer(&LedgerAddress::parse(&server.writer()).unwrap()).await.unwrap();
    let left_out = NewQuarantined {
        run: run.parse().unwrap(),
        step: 0,
        database: "payments".to_owned(),
        collection: "charges".to_owned(),
        document: "7".to_owned(),
        error: "Document failed validation".to_owned(),
        attempt: 1,
    };
    ledger.quarantine(left_out).await.unwrap();
    writer
}

#[tokio::test]
async fn the_documented_role_is_enough_to_look_at_everything_and_nothing_is_written() {
    let server = Server::start().await;
    used(&server).await;
    let viewer = pod("pod-b", server.user(documented()).await);
    let before = server.dump().await;
    for arguments in LOOKING {
        for arguments in [arguments.to_vec(), [arguments, &["--read-only"][..]].concat()] {
            let ended = without_password(viewer.stopover(&arguments));
            assert_eq!(ended.status, 0, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
            assert!(ended.stderr.lines().count() <= 1, "{arguments:?}: {}", ended.stderr);
        }
    }
    assert!(viewer.must(&["logs", STEADY]).contains("finished"));
    assert!(viewer.must(&["quarantine", STEADY]).contains("failed validation"));

    let mut console = Terminal::sized(&viewer, &["--read-only"], 200, 50);
    console.shows("1 applied");
    console.shows("READ-ONLY");
    console.shows("finished");
    console.shows("EVENTS");
    console.type_keys("R");
    console.shows("A launch is refused");
    console.shows("kubectl exec -it deploy/stopover -- stopover");
    console.type_keys("q");
    assert_eq!(console.ends_within(Duration::from_secs(5)), 0);

    let mut wall = Terminal::console(&viewer, &["watch", "--every", "1s"]);
    wall.shows("Nothing is at work.");
    wall.shows("1 applied");
    wall.shows("staging");
    wall.type_keys("q");
    assert_eq!(wall.ends_within(Duration::from_secs(5)), 0);
    assert_eq!(server.dump().await, before, "nothing is written, no collection and no index made");
}

#[tokio::test]
async fn every_part_of_the_documented_role_is_needed_for_what_the_page_says() {
    let server = Server::start().await;
    used(&server).await;
    let all = LOOKING.iter().copied();
    let of = |verb: &'static str| LOOKING.iter().copied().filter(move |arguments| arguments[0] == verb);
    let cases: [(&str, Vec<&[&str]>); 4] = [
        ("stopover_passport", all.clone().collect()),
        ("stopover_runs", all.clone().collect()),
        ("stopover_logs", of("logs").collect()),
        ("stopover_quarantine", of("quarantine").collect()),
    ];
    for (collection, lost) in cases {
        let viewer = pod("pod-b", server.user(without(collection)).await);
        for arguments in all.clone() {
            let ended = without_password(viewer.stopover(&[arguments, &["--read-only"]].concat()));
            if lost.contains(&arguments) {
                assert_eq!(ended.status, 6, "{arguments:?} without {collection}: {ended:?}");
                let said = format!("{}{}", ended.stdout, ended.stderr);
                assert!(said.contains(&format!("lacks the privilege for find on {collection}")), "{said}");
                assert!(said.contains("docs/readonly.md"), "{said}");
            } else {
                assert_eq!(ended.status, 0, "{arguments:?} without {collection}: {ended:?}");
            }
        }
    }
    let viewer = pod(
        "pod-b",
        server
            .user(Document::from_iter([
                ("createRole".to_owned(), Bson::from("no_logs")),
                ("privileges".to_owned(), without("stopover_logs").get("privileges").unwrap().clone()),
                ("roles".to_owned(), Bson::Array(Vec::new())),
            ]))
            .await,
    );
    let mut console = Terminal::console(&viewer, &["--read-only"]);
    console.shows("1 applied");
    console.shows("The log cannot be read now");
    console.shows("● connected");
    console.type_keys("q");
    console.ends_within(Duration::from_secs(5));
}

#[tokio::test]
async fn a_viewer_who_tries_to_act_is_told_to_look_and_leaves_the_ledger_as_it_was() {
    let server = Server::start().await;
    used(&server).await;
    let viewer = pod("pod-b", server.user(documented()).await);
    let before = server.dump().await;
    for arguments in [
        &["run", STEADY, "--rerun"][..],
        &["resume", STEADY],
        &["pause", STEADY],
        &["cancel", STEADY],
        &["init", "--environment", "staging", "--restamp"],
        &["quarantine", STEADY, "--retry"],
    ] {
        let ended = without_password(viewer.stopover(arguments));
        assert_eq!(ended.status, 6, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains("if it may only look, start with --read-only"), "{}", ended.stderr);
        assert!(ended.stderr.contains("readWrite"), "{}", ended.stderr);
        let refused = without_password(viewer.stopover(&[arguments, &["--read-only"]].concat()));
        assert_eq!(refused.status, 7, "{arguments:?}: {refused:?}");
    }
    assert_eq!(server.dump().await, before);
}

#[tokio::test]
async fn a_ledger_that_is_not_there_yet_is_empty_and_stays_so() {
    let server = Server::start().await;
    let viewer = pod("pod-b", server.user(documented()).await).variable("STOPOVER_READ_ONLY", "1");
    assert!(viewer.must(&["list"]).contains("pending"));
    viewer.must(&["runs"]);
    let never = viewer.stopover(&["logs", STEADY]);
    assert_eq!(never.status, 7);
    assert!(never.stderr.contains("has never been run"), "{}", never.stderr);
    let doctor = viewer.stopover(&["doctor"]);
    assert!(doctor.stdout.contains("this ledger has no passport yet"), "{doctor:?}");
    for arguments in [&["--read-only"][..], &["watch"]] {
        let mut terminal = Terminal::console(&viewer, arguments);
        terminal.shows("1 pending");
        terminal.shows("This ledger is empty");
        terminal.type_keys("q");
        terminal.ends_within(Duration::from_secs(5));
    }
    assert_eq!(server.dump().await, "", "nothing was made");
}

#[tokio::test]
async fn a_connection_string_of_another_database_is_told_from_an_empty_ledger() {
    let server = Server::start().await;
    used(&server).await;
    let viewer = server.user(documented()).await.replace("/payments?", "/orders?");
    let ended = without_password(pod("pod-b", viewer).stopover(&["list"]));
    assert_eq!(ended.status, 6);
    assert!(ended.stderr.contains("check which database the connection string names"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_ledger_that_lost_its_indexes_says_what_brings_them_back() {
    let server = Server::start().await;
    let writer = used(&server).await;
    let viewer = pod("pod-b", server.user(documented()).await).variable("STOPOVER_READ_ONLY", "1");
    let database = mongodb::Client::with_uri_str(server.writer()).await.unwrap().database("payments");
    database.collection::<Document>("stopover_runs").drop_indexes().await.unwrap();
    let ended = without_password(viewer.stopover(&["list"]));
    assert_eq!(ended.status, 6);
    assert!(ended.stderr.contains("needs an index that is missing"), "{}", ended.stderr);
    assert!(ended.stderr.contains("`stopover init`"), "{}", ended.stderr);
    stamp(&writer);
    viewer.must(&["list"]);
}

/// The privileges that a role of the server consists of are the ones that the page lists.
#[test]
fn the_page_grants_find_on_the_four_collections_and_nothing_else() {
    let role = documented();
    assert!(role.get_array("roles").unwrap().is_empty());
    let granted: Vec<_> =
        role.get_array("privileges").unwrap().iter().map(|it| it.as_document().unwrap().clone()).collect();
    let wanted = COLLECTIONS
        .map(|collection| doc! { "resource": { "db": "payments", "collection": collection }, "actions": ["find"] });
    assert_eq!(granted, wanted);
}
