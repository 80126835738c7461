//! One command of the database is run once.

use bson::{Document, doc};
use stopover::catalog::DatabaseCommand;
use stopover::engine::command;
use stopover::engine::fault::Fault;
use stopover::engine::site::Site;
use tokio_util::sync::CancellationToken;

use super::{Said, fatal, site};
use crate::support::mongo::Database;
use crate::support::server::Server;

fn step(command: Document) -> DatabaseCommand {
    DatabaseCommand { database: None, command, skip_if: None, at_least_once: false }
}

async fn run(site: &Site, step: &DatabaseCommand) -> (Result<(), Fault>, String) {
    let said = Said::default();
    let result = said.by(site, &CancellationToken::new(), async |tools| command::run(&tools, step).await).await;
    (result, said.notes())
}

#[tokio::test]
async fn a_command_is_run_unless_its_probe_finds_something() {
    let database = Database::new();
    let (site, driver) = (site(database.uri()).await, database.open().await);
    let count = async || driver.collection::<Document>("a").count_documents(doc! {}).await.unwrap();
    let insert = doc! { "insert": "a", "documents": [{ "kind": "seed" }] };
    let probes = [
        doc! { "find": "a", "filter": { "kind": "seed" } },
        doc! { "count": "a", "query": { "kind": "seed" } },
        doc! { "distinct": "a", "key": "kind" },
        doc! { "aggregate": "a", "pipeline": [{ "$match": { "kind": "seed" } }], "cursor": {} },
    ];
    for (done, probe) in probes.into_iter().enumerate() {
        let step = DatabaseCommand { skip_if: Some(probe), ..step(insert.clone()) };
        let (result, notes) = run(&site, &step).await;
        result.unwrap();
        assert_eq!(notes.contains("`skipIf` finds that it is done already"), done > 0, "{notes}");
        assert_eq!(count().await, 1);
    }
    let missing = DatabaseCommand { skip_if: Some(doc! { "listIndexes": "nothing" }), ..step(insert.clone()) };
    run(&site, &missing).await.0.unwrap();
    assert_eq!(count().await, 2);

    let writing = DatabaseCommand { skip_if: Some(doc! { "delete": "a" }), ..step(insert) };
    let words = fatal(run(&site, &writing).await.0);
    assert!(words.contains("`skipIf` is `delete`, which is none of the reading commands"), "{words}");
}

#[tokio::test]
async fn a_failure_is_told_in_the_words_of_the_server_even_inside_an_answer() {
    let database = Database::new();
    let site = site(database.uri()).await;
    let twice = step(doc! { "insert": "a", "documents": [{ "_id": 1 }, { "_id": 1 }] });
    let words = fatal(run(&site, &twice).await.0);
    assert!(words.starts_with("insert on test_") && words.contains("duplicate key"), "{words}");
    for (command, expected) in [
        (doc! { "collMod": "nothing", "validator": {} }, "NamespaceNotFound"),
        (doc! { "frobnicate": "a" }, "CommandNotFound"),
        (doc! { "renameCollection": "a.b", "to": "a.c" }, "admin"),
    ] {
        let words = fatal(run(&site, &step(command)).await.0);
        assert!(words.contains(expected), "{words}");
    }
    let many = |count: i32, name: &str| {
        [doc! { "$set": { name: { "$range": [0, count] } } }, doc! { "$unwind": format!("${name}") }]
    };
    let pipeline = [many(10_000, "m").as_slice(), &many(10_000, "n"), &[doc! { "$count": "n" }]].concat();
    let slow = doc! { "aggregate": "a", "pipeline": pipeline, "cursor": {}, "maxTimeMS": 50 };
    let words = fatal(run(&site, &step(slow)).await.0);
    assert!(words.contains("MaxTimeMSExpired"), "{words}");
}

#[tokio::test]
async fn a_command_that_is_to_stop_is_not_begun() {
    let database = Database::new();
    let (site, driver) = (site(database.uri()).await, database.open().await);
    let stop = CancellationToken::new();
    stop.cancel();
    let create = step(doc! { "create": "a" });
    let result = Said::default().by(&site, &stop, async |tools| command::run(&tools, &create).await).await;
    assert!(matches!(result, Err(Fault::Stopped)));
    assert!(driver.list_collection_names().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_missing_privilege_is_named_and_a_command_whose_fate_is_unknown_is_not_repeated() {
    let mut server = Server::start().await;
    let (reader, writer) = (site(server.reader()).await, site(server.writer()).await);
    let words = fatal(run(&reader, &step(doc! { "create": "a" })).await.0);
    assert!(words.contains("lacks the privilege for create on payments.a"), "{words}");

    // Connected, and gone by the time of the answer.
    run(&writer, &step(doc! { "create": "a" })).await.0.unwrap();
    writer.database(None).collection("a").insert_one(doc! {}).await.unwrap();
    let sleeping = doc! { "find": "a", "filter": { "$expr": { "$function": { "body": "function() { sleep(60000) }", "args": [], "lang": "js" } } } };
    for at_least_once in [false, true] {
        let step = DatabaseCommand { at_least_once, ..step(sleeping.clone()) };
        let running = run(&writer, &step);
        let killing = async {
            let watcher = site(server.uri("admin:passw0rd-of-admin")).await;
            let seen = [doc! { "$currentOp": { "allUsers": true } }, doc! { "$match": { "command.find": "a" } }];
            crate::support::eventually_async("it runs", std::time::Duration::from_secs(30), async || {
                let mut found = watcher.client.database("admin").aggregate(seen.clone()).await.unwrap();
                found.advance().await.unwrap().then_some(())
            })
            .await;
            server.kill();
        };
        let ((result, _), ()) = tokio::join!(running, killing);
        if at_least_once {
            assert!(matches!(result, Err(Fault::Passing(_))), "{result:?}");
        } else {
            let words = fatal(result);
            assert!(words.contains("whether it took effect is not known"), "{words}");
            server.start_again();
            crate::support::eventually_async("it is back", std::time::Duration::from_secs(30), async || {
                writer.database(None).run_command(doc! { "ping": 1 }).await.ok()
            })
            .await;
        }
    }
}
