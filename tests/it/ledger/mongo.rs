//! What only a server can come upon: privileges, absence, members.

use std::time::Instant;

use super::*;
use crate::support::eventually_async;
use crate::support::nobody::Nobody;
use crate::support::server::{SECRET, Server};

fn address(uri: &str) -> LedgerAddress {
    LedgerAddress::parse(uri).unwrap()
}

#[tokio::test]
async fn a_user_who_may_only_read_reads_and_is_told_what_it_lacks_to_write() {
    let server = Server::start().await;
    let reader = open_reader(&address(&server.reader())).await.unwrap();
    assert!(reader.histories().await.unwrap().value.is_empty());

    let hand = Hand(open_writer(&address(&server.writer())).await.unwrap());
    let run = hand.launch("a").await;
    assert_eq!(reader.run(run.id).await.unwrap().value, Some(run));
    assert_eq!(reader.cluster().await.unwrap(), None);

    let refusal = open_writer(&address(&server.reader())).await.err().unwrap();
    assert!(matches!(refusal, LedgerError::Forbidden { .. }), "{refusal}");
    assert!(refusal.to_string().contains("createIndex on stopover_runs"), "{refusal}");

    let wrong = open_reader(&address(&server.uri("reader:wr0ng"))).await.err().unwrap();
    assert!(matches!(wrong, LedgerError::Forbidden { .. }), "{wrong}");
    for error in [refusal, wrong] {
        let text = format!("{error} {error:?}");
        assert!(text.contains("mongodb://reader:***@127.0.0.1"), "{text}");
        assert!(!text.contains(SECRET) && !text.contains("wr0ng"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_reported_within_seconds_and_found_again() {
    let mut server = Server::start().await;
    let reader = open_reader(&address(&server.reader())).await.unwrap();
    server.kill();

    let start = Instant::now();
    let error = reader.histories().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert!(!error.to_string().contains(SECRET), "{error}");

    server.start_again();
    eventually_async("the same reader works again", Duration::from_secs(30), async || reader.histories().await.ok())
        .await;
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_reported_with_what_to_check() {
    let nobody = Nobody::new();
    let address = format!("mongodb://app:s3cret@127.0.0.1:{}/payments", nobody.port());
    let address = LedgerAddress::parse(&address).unwrap();
    let error = open_writer(&address).await.err().unwrap().to_string();
    assert!(error.contains("connection is refused: check host and port"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_connection_string_that_cannot_be_used_is_not_repeated() {
    for uri in ["mongodb://app:s3cret@", "mongodb://app:s3c%ret@db/payments", "mongodb://app:s3cret@db/x?w=s3cret&zz"] {
        let error = open_reader(&LedgerAddress::parse(uri).unwrap()).await.err().unwrap();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("s3c"), "{text}");
    }
}

#[tokio::test]
async fn a_replica_set_is_known_by_its_name_and_members() {
    let home = Home::mongo();
    let cluster = home.reader().await.cluster().await.unwrap().unwrap();
    assert!(cluster.starts_with("dev/127.0.0.1:"), "{cluster}");
}

#[tokio::test]
async fn a_ledger_that_lost_its_indexes_gets_them_back_before_anything_is_written() {
    let home = Home::mongo();
    Hand(home.writer().await).launch("a").await;
    let Home::Mongo(database) = &home else { unreachable!() };
    let runs = database.open().await.collection::<Document>("stopover_runs");
    runs.drop_indexes().await.unwrap();
    let writer = home.writer().await;
    assert!(matches!(writer.open(launch_of("a", LEASE)).await, Err(LedgerError::Occupied { .. })));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named() {
    let home = Home::mongo();
    let run = Hand(home.writer().await).launch("a").await;
    let Home::Mongo(database) = &home else { unreachable!() };
    let runs = database.open().await.collection::<Document>("stopover_runs");
    runs.update_one(doc! {}, doc! { "$set": { "attempt": "many" } }).await.unwrap();
    let error = home.reader().await.histories().await.unwrap_err();
    assert!(matches!(error, LedgerError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains(&run.id.to_string()), "{error}");
}
