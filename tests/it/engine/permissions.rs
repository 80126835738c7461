//! What a database user needs for steps, as docs/backfill.md says it, and what it is told where something of that is missing.

use std::time::Duration;

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::IndexModel;
use stopover::catalog::{
    Backfill, Change, Copy, CreateIndexes, DatabaseCommand, DropIndexes, Hint, Holds, Step, Target,
};
use stopover::engine::End;

use super::rig::{ITEMS, Rig, backfill, failure, operators};
use crate::support::server::{SECRET, Server};

/// The role in docs/backfill.md of this name, as the server takes it.
fn documented(name: &str) -> Document {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/backfill.md")).unwrap();
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let roles = blocks.map(|block| serde_json::from_str::<serde_json::Value>(block).unwrap());
    let role = roles.into_iter().find(|role| role["createRole"] == name).expect("the page has this role");
    // The page speaks of a collection of its own.
    let text = role.to_string().replace("\"charges\"", "\"items\"");
    let role: serde_json::Value = serde_json::from_str(&text).unwrap();
    Bson::try_from(role).unwrap().as_document().unwrap().clone()
}

/// The least role without one action on one collection, under a name of its own.
fn without(action: &str, collection: &str) -> Document {
    let mut role = documented("stopover_backfill");
    role.insert("createRole", format!("without_{action}_{collection}"));
    for privilege in role.get_array_mut("privileges").unwrap() {
        let privilege = privilege.as_document_mut().unwrap();
        if privilege.get_document("resource").unwrap().get_str("collection").is_ok_and(|name| name == collection) {
            privilege.get_array_mut("actions").unwrap().retain(|other| other.as_str() != Some(action));
        }
    }
    role
}

/// Actions on collections.
type Grants<'g> = &'g [(&'g str, &'g [&'g str])];

/// A role with these actions on collections of `payments`, and what every step needs for its checkpoints.
fn role(name: &str, grants: Grants<'_>) -> Document {
    let mut role = documented("stopover_backfill");
    let privileges = role.get_array_mut("privileges").unwrap();
    privileges.retain(|privilege| privilege.to_string().contains("stopover_checkpoints"));
    assert_eq!(privileges.len(), 1);
    for (collection, actions) in grants {
        let resource = doc! { "db": "payments", "collection": collection };
        privileges.push(doc! { "resource": resource, "actions": actions.to_vec() }.into());
    }
    role.insert("createRole", name);
    role
}

fn tagging() -> Step {
    Step::Backfill(backfill(doc! { "tag": { "$exists": false } }, operators(doc! { "$set": { "tag": "x" } })))
}

fn target(collection: &str) -> Target {
    Target { database: None, collection: collection.to_owned() }
}

/// A rig of who may do everything, with some documents.
async fn filled(server: &Server) -> Rig {
    let rig = Rig::on(&server.writer()).await;
    rig.fill(500, |id| doc! { "n": id }).await;
    rig
}

/// Nothing that was said has a password in it.
fn quiet(rig: &Rig, said: &str) {
    let notes = rig.notes.lock().unwrap().join("\n");
    let warnings = rig.warnings.lock().unwrap().join("\n");
    for text in [said, &notes, &warnings] {
        assert!(!text.contains(SECRET) && !text.contains("mongodb://"), "{text}");
    }
}

#[tokio::test]
async fn the_documented_role_is_enough_for_a_backfill_and_every_part_of_it_is_needed() {
    let server = Server::start_replica_set().await;
    let owner = filled(&server).await;
    for (action, collection, told) in [
        ("find", ITEMS, "the privilege for find on payments.items"),
        ("update", ITEMS, "the privilege for update on payments.items"),
        ("find", "stopover_checkpoints", "find, insert and update on payments.stopover_checkpoints"),
        ("insert", "stopover_checkpoints", "find, insert and update on payments.stopover_checkpoints"),
        ("update", "stopover_checkpoints", "find, insert and update on payments.stopover_checkpoints"),
        ("remove", "stopover_checkpoints", "the privilege for remove on payments.stopover_checkpoints"),
    ] {
        let rig = Rig::on(&server.user(without(action, collection)).await).await;
        let message = failure(rig.execute(1, vec![tagging()]).await);
        assert!(message.contains(told) && message.contains("docs/backfill.md"), "{action} on {collection}: {message}");
        quiet(&rig, &message);
        assert_eq!(owner.count(doc! { "tag": { "$exists": true } }).await, 0, "{action} on {collection}");
    }
    let rig = Rig::on(&server.user(documented("stopover_backfill")).await).await;
    assert_eq!(rig.execute_as(1, vec![tagging()], Duration::from_millis(20), Holds::default()).await, End::Done);
    assert_eq!(owner.count(doc! { "tag": "x" }).await, 500);
    let notes = rig.notes.lock().unwrap().join("\n");
    assert!(notes.contains("not watched: replication lag (needs the privilege replSetGetStatus"), "{notes}");
    assert!(notes.contains("(needs the privilege serverStatus"), "{notes}");
    assert!(rig.warnings.lock().unwrap().iter().all(|warning| warning.contains("no index serves")), "{notes}");
    quiet(&rig, "");

    // What an earlier attempt left open can be ended and taken over, too.
    let once = Backfill { idempotent: false, ..backfill(doc! {}, operators(doc! { "$inc": { "n": 1 } })) };
    let rig = Rig::on(&server.user(role("again", &[(ITEMS, &["find", "update"])])).await).await;
    assert_eq!(rig.execute(1, vec![Step::Backfill(once.clone())]).await, End::Done);
    assert_eq!(rig.execute(2, vec![Step::Backfill(once)]).await, End::Done);
    assert_eq!(owner.count(doc! { "$expr": { "$eq": ["$n", { "$add": ["$_id", 1] }] } }).await, 500);
}

#[tokio::test]
async fn the_documented_role_of_the_governor_lets_it_see_everything() {
    let server = Server::start_replica_set().await;
    let _owner = filled(&server).await;
    let mut both = documented("stopover_governor");
    let privileges = both.get_array_mut("privileges").unwrap();
    privileges.extend(documented("stopover_backfill").get_array("privileges").unwrap().clone());
    let rig = Rig::on(&server.user(both).await).await;
    assert_eq!(rig.execute_as(1, vec![tagging()], Duration::from_millis(20), Holds::default()).await, End::Done);
    let notes = rig.notes.lock().unwrap().join("\n");
    assert!(!notes.contains("needs the privilege"), "{notes}");
}

#[tokio::test]
async fn each_other_step_needs_what_the_table_says() {
    let server = Server::start_replica_set().await;
    let owner = filled(&server).await;
    let copy = || {
        Step::Copy(Copy {
            source: target(ITEMS),
            filter: doc! {},
            pipeline: vec![],
            into: target("copies"),
            key: vec!["_id".to_owned()],
            max_quarantined: 0,
        })
    };
    let create = || {
        let indexes = vec![doc! { "key": { "n": 1 }, "name": "n_1" }];
        Step::CreateIndexes(CreateIndexes { target: target(ITEMS), indexes })
    };
    let drop = || Step::DropIndexes(DropIndexes { target: target(ITEMS), indexes: vec![Hint::Name("n_1".to_owned())] });
    let command = || {
        Step::Command(DatabaseCommand {
            database: None,
            command: doc! { "collMod": ITEMS, "validationLevel": "moderate" },
            skip_if: Some(doc! { "find": ITEMS, "filter": { "n": -1 } }),
            at_least_once: false,
        })
    };
    let cases: [(&str, Step, Grants<'_>, Grants<'_>, &str); 7] = [
        ("copy_source", copy(), &[("copies", &["insert", "update"])], &[], "there is no collection payments.items"),
        (
            "copy_insert",
            copy(),
            &[(ITEMS, &["find"]), ("copies", &["update"])],
            &[],
            "insert and update on payments.copies",
        ),
        (
            "copy_update",
            copy(),
            &[(ITEMS, &["find"]), ("copies", &["insert"])],
            &[(ITEMS, &["find"]), ("copies", &["insert", "update"])],
            "insert and update on payments.copies",
        ),
        ("create", create(), &[(ITEMS, &["find"])], &[(ITEMS, &["createIndex"])], "createIndexes on payments.items"),
        ("drop", drop(), &[(ITEMS, &["find"])], &[(ITEMS, &["dropIndex"])], "dropIndexes on payments.items"),
        ("command_probe", command(), &[(ITEMS, &["collMod"])], &[], "find on payments.items"),
        ("command", command(), &[(ITEMS, &["find"])], &[(ITEMS, &["find", "collMod"])], "collMod on payments.items"),
    ];
    for (name, step, too_little, enough, told) in cases {
        let rig = Rig::on(&server.user(role(name, too_little)).await).await;
        let message = failure(rig.execute(1, vec![step.clone()]).await);
        assert!(message.contains(told) && message.contains("privilege"), "{name}: {message}");
        quiet(&rig, &message);
        let copies = owner.database.collection::<Document>("copies");
        assert_eq!(copies.count_documents(doc! {}).await.unwrap(), 0, "{name}");
        if !enough.is_empty() {
            let rig = Rig::on(&server.user(role(&format!("{name}_enough"), enough)).await).await;
            assert_eq!(rig.execute(1, vec![step]).await, End::Done, "{name}");
            quiet(&rig, "");
            copies.drop().await.unwrap();
        }
    }
}

#[tokio::test]
async fn on_a_standalone_server_the_least_role_is_enough_where_a_repetition_is_accepted() {
    let server = Server::start().await;
    let owner = filled(&server).await;
    let least = server.user(documented("stopover_backfill")).await;
    let rig = Rig::on(&least).await;
    let message = failure(rig.execute(1, vec![tagging()]).await);
    assert!(message.contains("insert on payments.stopover_scratch_"), "{message}");
    quiet(&rig, &message);
    assert_eq!(owner.count(doc! { "tag": "x" }).await, 0);

    let Step::Backfill(step) = tagging() else { unreachable!() };
    let accepted = Backfill { at_least_once: true, ..step };
    let rig = Rig::on(&least).await;
    assert_eq!(rig.execute(1, vec![Step::Backfill(accepted)]).await, End::Done);
    assert_eq!(owner.count(doc! { "tag": "x" }).await, 500);

    let change = Change::Pipeline(vec![doc! { "$set": { "twice": { "$multiply": ["$n", 2] } } }]);
    let step = backfill(doc! { "twice": { "$exists": false } }, change);
    let rig = Rig::on(&server.user(documented("stopover_backfill_standalone")).await).await;
    assert_eq!(rig.execute(1, vec![Step::Backfill(step)]).await, End::Done);
    let names = owner.database.list_collection_names().await.unwrap();
    assert!(!names.iter().any(|name| name.contains("scratch")), "{names:?}");
}

#[tokio::test]
async fn an_index_is_found_again_by_who_may_not_watch_its_build() {
    let server = Server::start_replica_set().await;
    let owner = filled(&server).await;
    owner.items().create_index(IndexModel::builder().keys(doc! { "n": 1 }).build()).await.unwrap();
    let indexes = vec![doc! { "key": { "n": 1 }, "name": "n_1" }];
    let step = Step::CreateIndexes(CreateIndexes { target: target(ITEMS), indexes });
    let rig = Rig::on(&server.user(role("again", &[(ITEMS, &["createIndex"])])).await).await;
    assert_eq!(rig.execute(1, vec![step]).await, End::Done);
    let found: Vec<String> = owner.items().list_index_names().await.unwrap();
    assert_eq!(found, ["_id_", "n_1"]);
    let records = owner.database.collection::<Document>("stopover_checkpoints").find(doc! {}).await.unwrap();
    let records: Vec<Document> = records.try_collect().await.unwrap();
    assert!(records.iter().all(|record| record.get_bool("complete").unwrap()));
}
