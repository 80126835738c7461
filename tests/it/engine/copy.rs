//! Documents are copied into another collection, in another shape.

use bson::{Bson, Document, doc};
use mongodb::Database as Driver;
use stopover::catalog::{Copy, CreateIndexes, Step};
use stopover::engine::apply::{Apply, Counts};
use stopover::engine::copy::{CopyBatch, check};
use stopover::engine::fault::Fault;
use stopover::engine::site::Site;
use stopover::engine::slice::{Edge, Slice};

use super::{fatal, here, site};
use crate::support::mongo::Database;
use crate::support::server::Server;

fn step(pipeline: Vec<Document>, key: &[&str]) -> Copy {
    Copy {
        source: here("orders"),
        filter: doc! {},
        pipeline,
        into: here("lines"),
        key: key.iter().map(ToString::to_string).collect(),
        max_quarantined: 0,
    }
}

fn ids(from: i32, through: i32) -> Slice {
    Slice::range(Edge::At(Bson::Int32(from)), Bson::Int32(through)).unwrap()
}

fn counts(matched: i64, modified: i64) -> Counts {
    Counts { matched, modified, skipped: 0 }
}

/// Copies a slice, in a transaction that is committed, or in none.
async fn copy(site: &Site, step: &Copy, slice: &Slice, in_transaction: bool) -> Result<Counts, Fault> {
    let batch = CopyBatch::new(site, step);
    if !in_transaction {
        return batch.apply(None, slice).await;
    }
    let mut session = site.client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let counts = batch.apply(Some(&mut session), slice).await;
    match counts {
        Ok(_) => session.commit_transaction().await.unwrap(),
        Err(_) => session.abort_transaction().await.unwrap(),
    }
    counts
}

async fn all(database: &Driver, collection: &str) -> Vec<Document> {
    let mut found = database.collection(collection).find(doc! {}).sort(doc! { "line": 1, "_id": 1 }).await.unwrap();
    let mut documents = Vec::new();
    while found.advance().await.unwrap() {
        documents.push(found.deserialize_current().unwrap());
    }
    documents
}

#[tokio::test]
async fn what_a_pipeline_makes_replaces_or_becomes_the_document_with_its_key() {
    for in_transaction in [false, true] {
        let database = Database::new();
        let (site, driver) = (site(database.uri()).await, database.open().await);
        let orders = [
            doc! { "_id": 1, "items": [{ "sku": "a" }, { "sku": "b" }], "open": true },
            doc! { "_id": 2, "items": [], "open": true },
            doc! { "_id": 3, "items": [{ "sku": "a" }], "open": false },
            doc! { "_id": 9, "items": [{ "sku": "a" }], "open": true },
        ];
        driver.collection("orders").insert_many(orders).await.unwrap();
        driver
            .collection("lines")
            .insert_one(doc! { "_id": "mine", "line": { "of": 1, "sku": "b" }, "old": 1 })
            .await
            .unwrap();
        let pipeline = vec![
            doc! { "$unwind": "$items" },
            doc! { "$replaceWith": { "_id": "$_id", "line": { "of": "$_id", "sku": "$items.sku" } } },
        ];
        let step = Copy { filter: doc! { "open": true }, ..step(pipeline, &["line.of", "line.sku"]) };
        let mut before = Vec::new();
        for _ in 0..2 {
            assert_eq!(copy(&site, &step, &ids(1, 3), in_transaction).await.unwrap(), counts(2, 2));
            let after = all(&driver, "lines").await;
            assert_eq!(after.len(), 2);
            assert_eq!(after[0].get_document("line").unwrap(), &doc! { "of": 1, "sku": "a" });
            assert_eq!(after[1], doc! { "_id": "mine", "line": { "of": 1, "sku": "b" } });
            assert!(before.is_empty() || before == after, "the second copy changed something");
            before = after;
        }
    }
}

#[tokio::test]
async fn a_plain_copy_keeps_every_id_and_takes_several_commands() {
    for in_transaction in [false, true] {
        let database = Database::new();
        let (site, driver) = (site(database.uri()).await, database.open().await);
        driver.collection("orders").insert_many((1..=2_500).map(|n| doc! { "_id": n, "n": n })).await.unwrap();
        let step = step(Vec::new(), &["_id"]);
        assert_eq!(copy(&site, &step, &ids(1, 2_400), in_transaction).await.unwrap(), counts(2_400, 2_400));
        let list = Slice::List(vec![Bson::Int32(2_450), Bson::Int32(7_000)]);
        assert_eq!(copy(&site, &step, &list, in_transaction).await.unwrap(), counts(1, 1));
        assert_eq!(all(&driver, "lines").await.len(), 2_401);
    }
}

#[tokio::test]
async fn documents_as_large_as_the_server_takes_them_are_copied() {
    let database = Database::new();
    let (site, driver) = (site(database.uri()).await, database.open().await);
    for n in 1..=3 {
        // As many bytes as one document may have.
        let large = (16 << 20) - 28;
        driver.collection("orders").insert_one(doc! { "_id": n, "text": "x".repeat(large) }).await.unwrap();
    }
    driver
        .collection("orders")
        .insert_many((4..=9).map(|n| doc! { "_id": n, "text": "x".repeat(3 << 20) }))
        .await
        .unwrap();
    let step = step(Vec::new(), &["_id"]);
    assert_eq!(copy(&site, &step, &ids(1, 5), false).await.unwrap(), counts(5, 5));
    assert_eq!(copy(&site, &step, &ids(6, 9), true).await.unwrap(), counts(4, 4));
    let large = doc! { "$expr": { "$gte": [{ "$bsonSize": "$$ROOT" }, 3 << 20] } };
    let same = driver.collection::<Document>("lines").count_documents(large).await.unwrap();
    assert_eq!(same, 9);
}

#[tokio::test]
async fn a_transaction_that_is_aborted_leaves_nothing() {
    let database = Database::new();
    let (site, driver) = (site(database.uri()).await, database.open().await);
    driver.collection("orders").insert_one(doc! { "_id": 1 }).await.unwrap();
    let mut session = site.client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let batch = CopyBatch::new(&site, &step(Vec::new(), &["_id"]));
    assert_eq!(batch.apply(Some(&mut session), &ids(1, 9)).await.unwrap(), counts(1, 1));
    session.abort_transaction().await.unwrap();
    assert!(all(&driver, "lines").await.is_empty());
}

#[tokio::test]
async fn a_document_that_is_refused_is_told_apart_from_a_step_that_is() {
    for in_transaction in [false, true] {
        let database = Database::new();
        let (site, driver) = (site(database.uri()).await, database.open().await);
        driver
            .collection("orders")
            .insert_many([doc! { "_id": 1, "n": "7" }, doc! { "_id": 2, "n": "x" }])
            .await
            .unwrap();
        driver.create_collection("lines").validator(doc! { "n": { "$lt": 5 } }).await.unwrap();
        let parse = doc! { "$set": { "n": { "$toInt": "$n" } } };
        let poison = async |step: Copy, slice| match copy(&site, &step, &slice, in_transaction).await {
            Err(Fault::Poison(words)) => words,
            other => panic!("{other:?}"),
        };
        let words = poison(step(vec![parse.clone()], &["_id"]), ids(2, 2)).await;
        assert!(words.contains("Failed to parse number 'x'"), "{words}");
        let words = poison(step(vec![parse.clone()], &["_id"]), ids(1, 1)).await;
        assert!(words.contains("failed validation"), "{words}");
        let words = poison(step(Vec::new(), &["ref"]), ids(1, 1)).await;
        assert!(words.starts_with("the document with _id 1 that is to be copied has no field `ref`"), "{words}");
        let words = fatal(copy(&site, &step(vec![doc! { "$sett": {} }], &["_id"]), &ids(1, 1), in_transaction).await);
        assert!(words.contains("$sett"), "{words}");
    }
}

#[tokio::test]
async fn a_copy_is_looked_at_before_its_first_write() {
    let database = Database::new();
    let (site, driver) = (site(database.uri()).await, database.open().await);
    driver.collection("orders").insert_one(doc! { "_id": 1, "n": "x" }).await.unwrap();
    driver.create_collection("seen").view_on("orders").await.unwrap();
    let fine = step(Vec::new(), &["_id"]);
    assert_eq!(check(&site, &fine, &[]).await.unwrap(), Vec::<String>::new());

    let with = |pipeline: Document| Copy { pipeline: vec![pipeline], ..fine.clone() };
    let from = |name: &str| Copy { source: here(name), ..fine.clone() };
    for (step, expected) in [
        (from("order"), "did you mean `orders`?"),
        (from("seen"), "is a view"),
        (Copy { into: here("orders"), ..fine.clone() }, "into itself"),
        (with(doc! { "$out": "lines" }), "`$out`"),
        (with(doc! { "$group": { "_id": "$n" } }), "several documents at once"),
        (with(doc! { "$set": { "n": { "$frob": 1 } } }), "$frob"),
        (with(doc! { "$set": { "n": { "$toInt": "$n" } } }), "tried on one document"),
        (Copy { filter: doc! { "n": { "$gtt": 1 } }, ..fine.clone() }, "$gtt"),
    ] {
        let words = fatal(check(&site, &step, &[]).await);
        assert!(words.contains(expected), "{words}");
    }
    // A document may be left out here, and a collection may be made by a step before.
    let lenient = Copy { max_quarantined: 1, ..with(doc! { "$set": { "n": { "$toInt": "$n" } } }) };
    check(&site, &lenient, &[]).await.unwrap();
    check(&site, &from("lines"), &[Step::Copy(fine.clone())]).await.unwrap_err();
    let next = Copy { into: here("more"), ..from("lines") };
    check(&site, &next, &[Step::Copy(fine.clone())]).await.unwrap();
    assert!(all(&driver, "lines").await.is_empty());
}

#[tokio::test]
async fn a_key_without_a_unique_index_is_warned_of_with_the_step_that_makes_it() {
    let database = Database::new();
    let (site, driver) = (site(database.uri()).await, database.open().await);
    driver.collection("orders").insert_one(doc! { "_id": 1 }).await.unwrap();
    let step = step(Vec::new(), &["line.of", "line.sku"]);
    let index = doc! { "key": { "line.of": 1, "line.sku": 1 }, "name": "i", "unique": true };
    let warnings = check(&site, &step, &[]).await.unwrap();
    assert!(
        warnings[0].ends_with(r#"createIndexes: { collection: lines, indexes: [{ key: { "line.of": 1, "line.sku": 1 }, name: line.of_1_line.sku_1, unique: true }] }"#),
        "{warnings:?}"
    );
    let planned = Step::CreateIndexes(CreateIndexes { target: here("lines"), indexes: vec![index.clone()] });
    assert!(check(&site, &step, &[planned]).await.unwrap().is_empty());
    driver.run_command(doc! { "createIndexes": "lines", "indexes": [index] }).await.unwrap();
    assert!(check(&site, &step, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_user_who_may_only_read_is_told_which_privilege_is_missing() {
    let server = Server::start().await;
    let (writer, reader) = (site(server.writer()).await, site(server.reader()).await);
    writer.database(None).collection("orders").insert_one(doc! { "_id": 1 }).await.unwrap();
    let step = step(Vec::new(), &["_id"]);
    assert!(check(&reader, &step, &[]).await.unwrap().is_empty());
    let words = fatal(copy(&reader, &step, &ids(1, 1), false).await);
    assert!(words.contains("lacks the privilege for insert and update on payments.lines"), "{words}");
    assert_eq!(copy(&writer, &step, &ids(1, 1), false).await.unwrap(), counts(1, 1));
    let elsewhere = Copy {
        source: stopover::catalog::Target { database: Some("other".to_owned()), collection: "x".to_owned() },
        ..step
    };
    let words = fatal(copy(&writer, &elsewhere, &ids(1, 1), false).await);
    assert!(words.contains("lacks the privilege for find on other.x"), "{words}");
}
