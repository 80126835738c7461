//! What only a file can come upon.

use std::fs;

use super::*;

async fn refusal(path: &std::path::Path) -> (LedgerError, LedgerError) {
    let address = LedgerAddress::Sqlite(path.to_owned());
    (open_reader(&address).await.err().unwrap(), open_writer(&address).await.err().unwrap())
}

#[tokio::test]
async fn a_reader_creates_nothing() {
    let home = Home::sqlite();
    home.reader().await.histories().await.unwrap();
    let Home::Sqlite(directory) = &home else { unreachable!() };
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ledger.db");
    let content = "not a database, but somebody's notes\n".repeat(100);
    fs::write(&path, &content).unwrap();
    let (reader, writer) = refusal(&path).await;
    assert!(matches!(reader, LedgerError::Corrupt { .. }), "{reader}");
    assert!(matches!(writer, LedgerError::Corrupt { .. }), "{writer}");
    assert_eq!(fs::read_to_string(path).unwrap(), content);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("app.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE invoices (id); PRAGMA user_version = 1")
        .unwrap();
    let before = fs::read(&path).unwrap();
    let (reader, writer) = refusal(&path).await;
    for error in [reader, writer] {
        assert!(error.to_string().contains("another program"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_ledger_that_was_removed_or_replaced_is_noticed() {
    let home = Home::sqlite();
    let LedgerAddress::Sqlite(path) = home.address() else { unreachable!() };
    Hand(home.writer().await).launch("a").await;
    let reader = home.reader().await;
    assert_eq!(reader.histories().await.unwrap().value.len(), 1);
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert!(reader.histories().await.unwrap().value.is_empty());
    let run = Hand(home.writer().await).launch("b").await;
    assert_eq!(reader.run(run.id).await.unwrap().value, Some(run));
}

#[tokio::test]
async fn a_clock_that_was_set_back_neither_revives_a_lost_run_nor_turns_the_order_of_runs() {
    let home = Home::sqlite();
    let hand = Hand(home.writer().await);
    let first = hand.0.open(launch_of("a", Duration::from_mins(30))).await.unwrap();
    // As if the last write had been made an hour ahead of the clock, in another boot of the machine.
    let LedgerAddress::Sqlite(path) = home.address() else { unreachable!() };
    rusqlite::Connection::open(path)
        .unwrap()
        .execute("UPDATE clock SET time = time + 3600000, boot = 'another', uptime = 0", [])
        .unwrap();
    let seen = hand.0.run(first.id).await.unwrap();
    assert_eq!(seen.value.as_ref().unwrap().standing(seen.now), stopover::ledger::Standing::Lost);
    hand.change(&first, Action::Stop { kind: stopover::ledger::WishKind::Cancel, by: actor("ana") }).await;
    let second = hand.launch("a").await;
    assert!(second.created_at > seen.now.minus(Duration::from_secs(1)));
    let latest = hand.0.histories().await.unwrap().value.remove(&migration("a")).unwrap().latest.unwrap();
    assert_eq!(latest.id, second.id);
}

#[tokio::test]
async fn a_writer_waits_for_another_ones_transaction() {
    let home = Home::sqlite();
    let writer = home.writer().await;
    let LedgerAddress::Sqlite(path) = home.address() else { unreachable!() };
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let launched = tokio::spawn(async move { writer.open(launch_of("a", LEASE)).await });
    // The reader does not wait.
    assert!(home.reader().await.histories().await.unwrap().value.is_empty());
    assert!(!launched.is_finished());
    other.execute_batch("COMMIT").unwrap();
    launched.await.unwrap().unwrap();
}
