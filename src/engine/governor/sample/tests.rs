//! Answers as servers of several versions give them.

use bson::{DateTime, Timestamp};
use rstest::rstest;

use super::*;

/// Of 5.0 and 6.0.
fn status_6() -> Document {
    doc! {
        "host": "db-0:27017", "version": "6.0.5", "pid": 71_i64, "uptimeMillis": 88_123_i64,
        "localTime": DateTime::from_millis(1_764_000_120_500),
        "flowControl": {
            "enabled": true, "targetRateLimit": 1_000_000_000_i32, "timeAcquiringMicros": 1_822_i64, "locksPerKiloOp": 0.0,
            "sustainerRate": 0_i32, "isLagged": false, "isLaggedCount": 0_i32, "isLaggedTimeMicros": 0_i64,
        },
        "opLatencies": {
            "reads": { "histogram": [{ "micros": 64_i64, "count": 4_i64 }], "latency": 300_i64, "ops": 4_i64 },
            "writes": { "histogram": [{ "micros": 8_192_i64, "count": 2_i64 }], "latency": 19_000_i64, "ops": 2_i64 },
            "commands": { "histogram": [{ "micros": 32_i64, "count": 30_i64 }], "latency": 1_400_i64, "ops": 30_i64 },
            "transactions": { "histogram": [], "latency": 0_i64, "ops": 0_i64 },
        },
        "oplog": { "latestOptime": Timestamp { time: 1_764_000_119, increment: 1 }, "earliestOptime": Timestamp { time: 1_764_000_000, increment: 1 } },
        "wiredTiger": {
            "cache": { "tracked dirty bytes in the cache": 26_843_545_i32, "maximum bytes configured": 268_435_456_i64 },
            "concurrentTransactions": {
                "write": { "out": 1_i32, "available": 127_i32, "totalTickets": 128_i32 },
                "read": { "out": 1_i32, "available": 127_i32, "totalTickets": 128_i32 },
            },
        },
    }
}

/// Of 8.0: tickets are elsewhere, and fewer.
fn status_8() -> Document {
    let mut status = status_6();
    let wired_tiger = status.get_document_mut("wiredTiger").unwrap();
    wired_tiger.remove("concurrentTransactions");
    let write = doc! {
        "out": 9_i32, "available": 1_i32, "totalTickets": 10_i32, "exempt": 0_i64, "queueLength": 4_i64,
        "normalPriority": { "addedToQueue": 17_i64, "queueLength": 4_i64 },
    };
    status.insert(
        "queues",
        doc! { "execution": { "write": write }, "ingress": { "out": 3_i32, "available": 999_997_i32 } },
    );
    status
}

#[rstest]
#[case(status_6(), 127.0, 128.0)]
#[case(status_8(), 1.0, 10.0)]
fn tickets_are_found_where_the_version_keeps_them(#[case] status: Document, #[case] free: f64, #[case] total: f64) {
    assert_eq!(tickets(&status), Some(Tickets { free, total }));
}

#[test]
fn the_figures_of_the_server_are_read() {
    let status = status_6();
    assert_eq!(flow(&status), Some(Flow { lagged: false, rate: 1e9 }));
    assert!((dirty(&status).unwrap() - 0.1).abs() < 1e-6);
    assert_eq!(window(&status), Some(Duration::from_millis(120_500)));
    let counted = counted(&status).unwrap();
    assert_eq!((counted.reads.count(), counted.writes.count()), (4, 2));
}

#[test]
fn what_a_server_does_not_tell_is_not_known() {
    let bare =
        doc! { "host": "db-0:27017", "wiredTiger": { "cache": { "maximum bytes configured": 0 } }, "flowControl": {} };
    assert_eq!(
        (flow(&bare), tickets(&bare), dirty(&bare), window(&bare), counted(&bare)),
        (None, None, None, None, None)
    );
    assert_eq!((oplog_size(&bare), followers(&bare), electable(&bare)), (None, None, None));
    assert_eq!(replication(&bare, &BTreeSet::new()), None);
}

#[rstest]
#[case(doc! { "size": 64_000_000_i64, "maxSize": 67_108_864_i64 }, OplogSize::Tiny)]
#[case(doc! { "size": 64_000_000_i32, "maxSize": 53_687_091_200_i64 }, OplogSize::Young)]
#[case(doc! { "size": 53_000_000_000_i64, "maxSize": 53_687_091_200.0 }, OplogSize::Full)]
fn only_a_full_oplog_of_some_size_has_a_window(#[case] stats: Document, #[case] size: OplogSize) {
    assert_eq!(oplog_size(&stats), Some(size));
}

fn member(name: &str, state: i32, applied: i64) -> Document {
    doc! {
        "_id": 0, "name": name, "health": 1.0, "state": state, "stateStr": "…",
        "optime": { "ts": Timestamp { time: 1_764_000_000, increment: 1 }, "t": 1_i64 },
        "optimeDate": DateTime::from_millis(applied / 1_000 * 1_000), "lastAppliedWallTime": DateTime::from_millis(applied),
    }
}

fn set(members: &[&str]) -> BTreeSet<String> {
    members.iter().map(|member| (*member).to_owned()).collect()
}

#[test]
fn the_lag_is_that_of_the_slowest_member_that_is_waited_for() {
    let mut down = member("d", 8, 0);
    down.insert("health", 0.0);
    let status = doc! { "set": "rs", "members": [
        member("a", 1, 10_500), member("b", 2, 9_700), member("c", 2, 6_300), member("delayed", 2, 1_000), down, member("e", 5, 0),
        doc! { "name": "arbiter", "health": 1, "state": 7 },
    ] };
    let replication = replication(&status, &set(&["a", "b", "c", "d", "e"])).unwrap();
    assert_eq!(replication.lag, Some(("c".to_owned(), Duration::from_millis(4_200))));
    assert_eq!(replication.absent, set(&["d", "e"]));
}

#[test]
fn a_secondary_that_is_ahead_of_what_the_primary_said_last_is_not_late() {
    let status = doc! { "members": [member("a", 1, 10_500), member("b", 2, 10_600)] };
    assert_eq!(replication(&status, &set(&["b"])).unwrap().lag, Some(("b".to_owned(), Duration::ZERO)));
}

#[test]
fn nothing_is_late_while_nobody_leads() {
    let status = doc! { "members": [member("a", 2, 10_500), member("b", 2, 0)] };
    assert_eq!(replication(&status, &set(&["a", "b"])), None);
}

#[test]
fn an_older_server_tells_times_to_the_second() {
    let (mut primary, mut secondary) = (member("a", 1, 10_500), member("b", 2, 6_300));
    primary.remove("lastAppliedWallTime");
    secondary.remove("lastAppliedWallTime");
    let status = doc! { "members": [primary, secondary] };
    assert_eq!(replication(&status, &set(&["b"])).unwrap().lag.unwrap().1, Duration::from_secs(4));
}

#[test]
fn delayed_members_arbiters_and_those_without_a_vote_are_not_waited_for() {
    let config = doc! { "config": { "_id": "rs", "members": [
        { "_id": 0, "host": "a", "votes": 1, "arbiterOnly": false, "secondaryDelaySecs": 0_i64 },
        { "_id": 1, "host": "b", "votes": 0_i64 },
        { "_id": 2, "host": "c", "votes": 1, "secondaryDelaySecs": 3_600_i64 },
        { "_id": 3, "host": "d", "votes": 1, "slaveDelay": 3_600 },
        { "_id": 4, "host": "e", "votes": 1, "arbiterOnly": true },
        { "_id": 5, "host": "f" },
    ] } };
    assert_eq!(followers(&config).unwrap(), set(&["a", "f"]));
    let hello = doc! { "hosts": ["a", "f"], "passives": ["c"], "arbiters": ["e"] };
    assert_eq!(electable(&hello).unwrap(), set(&["a", "f"]));
}
