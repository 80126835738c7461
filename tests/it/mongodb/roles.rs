//! The roles of `k8s/mongodb/roles.js`, made by the real shell on a real server: what an operator can do, and what a viewer cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use bson::{Bson, Document, doc};
use mongodb::Client;
use mongodb::error::ErrorKind;

use crate::support::eventually;
use crate::support::pty::Terminal;
use crate::support::scene::{Ended, PATIENCE, Scene};
use crate::support::server::{SECRET, Server};

const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tool");
const ROLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/k8s/mongodb/roles.js");
const LEDGER: [&str; 4] = ["stopover_passport", "stopover_runs", "stopover_logs", "stopover_quarantine"];

/// Backfill, indexes and a copy into another database; one document is refused.
const STEPS: &str = "20261101_steps";
const STEPS_MANIFEST: &str = "
steps:
  - backfill:
      collection: items
      filter: { tag: { $exists: false } }
      update: { $set: { tag: x } }
      maxQuarantined: 1
  - createIndexes: { collection: items, indexes: [{ key: { tag: 1 } }] }
  - copy: { collection: items, into: { database: orders, collection: items } }
  - dropIndexes: { collection: items, indexes: [tag_1] }
remaining: { collection: items, filter: { tag: { $exists: false } } }
";
/// Rests for a second or more after each batch, so that it can be stopped.
const SLOW: &str = "20261102_slow";
const SLOW_MANIFEST: &str = "
backfill: { collection: items, filter: { slow: { $exists: false } }, update: { $set: { slow: 1 } } }
speed: { pace: 1% }
";
const ELSEWHERE: &str = "20261103_elsewhere";
const ELSEWHERE_MANIFEST: &str = "
backfill: { database: salaries, collection: items, filter: { tag: { $exists: false } }, update: { $set: { tag: x } } }
";
const PROGRAM: &str = "20261104_program";

/// A server on which the roles and their users have been made.
struct Site {
    server: Server,
}

impl Site {
    async fn new() -> Self {
        let site = Self { server: Server::start_replica_set().await };
        let users = [("OPERATOR", "stopover"), ("VIEWER", "onlooker")];
        let scene = Site::shell(&users);
        let mut shell = Terminal::of_program(&scene, TOOL, &site.words(), 160, 40);
        for (asked, (role, user)) in
            [("stopover_operator", "stopover"), ("stopover_viewer", "onlooker")].iter().enumerate()
        {
            shell.shows(&format!("role {role} is as it should be"));
            shell.shows(&format!("the password of the new user {user}:"));
            // What is typed before the shell asks is echoed by the terminal.
            eventually("the shell asks", PATIENCE, || {
                (shell.text().matches("Enter password").count() > asked).then_some(())
            });
            shell.type_keys(&format!("{SECRET}-{user}\r"));
            shell.shows(&format!("user {user} has the roles {role}"));
        }
        assert_eq!(shell.ends_within(PATIENCE), 0);
        assert!(!shell.text().contains(SECRET), "{}", shell.text());
        site
    }

    /// The environment of the administrator's shell.
    fn shell(variables: &[(&str, &str)]) -> Scene {
        let cache = std::env::var("XDG_CACHE_HOME")
            .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").expect("HOME is set")));
        let common = [("XDG_CACHE_HOME", cache.as_str()), ("LEDGER", "ledger"), ("DATABASES", "payments, orders")];
        common.iter().chain(variables).fold(Scene::new(), |scene, (name, value)| scene.variable(name, *value))
    }

    fn words(&self) -> Vec<String> {
        ["mongosh", "--quiet", &self.server.admin(), ROLES].map(str::to_owned).into()
    }

    /// Runs the shell once more, without a terminal at which to ask for anything.
    fn roles(&self, variables: &[(&str, &str)]) -> Ended {
        let scene = Site::shell(variables);
        Ended::of(&Command::new(TOOL).args(self.words()).env_clear().envs(scene.environment()).output().unwrap())
    }

    async fn admin(&self) -> mongodb::Database {
        self.database(&self.server.admin(), "admin").await
    }

    fn uri(&self, user: &str, database: &str) -> String {
        self.server.uri(&format!("{user}:{SECRET}-{user}")).replace("/payments?", &format!("/{database}?"))
    }

    /// A pod whose ledger is in a database of its own.
    fn pod(&self, user: &str) -> Scene {
        Scene::new()
            .manifest(STEPS, STEPS_MANIFEST)
            .manifest(SLOW, SLOW_MANIFEST)
            .manifest(ELSEWHERE, ELSEWHERE_MANIFEST)
            .script(PROGRAM, "echo done")
            .variable("STOPOVER_ENVIRONMENT", "staging")
            .variable("MONGODB_URI", self.uri(user, "payments"))
            .variable("STOPOVER_LEDGER", self.uri(user, "ledger"))
    }

    async fn database(&self, uri: &str, name: &str) -> mongodb::Database {
        Client::with_uri_str(uri).await.unwrap().database(name)
    }

    /// 3,000 items, one of which will never be valid again once it is changed.
    async fn fill(&self) {
        let database = self.database(&self.server.admin(), "payments").await;
        let items = (1..=3_000).map(|id| {
            if id == 7 {
                doc! { "_id": id, "bad": true }
            } else {
                doc! { "_id": id }
            }
        });
        database.collection("items").insert_many(items).await.unwrap();
        let validator = doc! { "collMod": "items", "validator": { "bad": { "$ne": true } } };
        database.run_command(validator).await.unwrap();
        let salaries = self.database(&self.server.admin(), "salaries").await;
        salaries.collection("items").insert_one(doc! { "_id": 1, "amount": 9 }).await.unwrap();
    }
}

/// Whether the server itself refuses, for lack of a privilege.
#[track_caller]
fn is_refused<T>(what: &str, result: mongodb::error::Result<T>) {
    let Err(error) = result else { panic!("{what} was let through") };
    assert!(matches!(&*error.kind, ErrorKind::Command(error) if error.code == 13), "{what}: {error}");
}

#[tokio::test]
async fn an_operator_does_everything_that_stopover_does_and_nothing_elsewhere() {
    let site = Site::new().await;
    site.fill().await;
    let pod = site.pod("stopover");
    pod.must(&["init", "--environment", "staging"]);

    pod.must(&["run", PROGRAM, "--wait"]);
    pod.must(&["run", STEPS, "--wait"]);
    assert_eq!(pod.run(STEPS)["remaining"], 1, "all but the one that is refused");
    let log = pod.must(&["logs", STEPS]);
    assert!(!log.contains("privilege"), "the governor sees everything: {log}");
    assert!(pod.must(&["quarantine", STEPS]).contains("payments.items"));
    let admin = site.database(&site.server.admin(), "payments").await;
    let items = admin.collection::<Document>("items");
    items.update_one(doc! { "_id": 7 }, doc! { "$set": { "bad": false } }).await.unwrap();
    pod.must(&["quarantine", STEPS, "--retry", "--wait"]);
    assert_eq!(items.count_documents(doc! { "tag": "x" }).await.unwrap(), 3_000);
    let copies = admin.client().database("orders").collection::<Document>("items");
    assert!(copies.count_documents(doc! {}).await.unwrap() >= 2_999);
    assert_eq!(items.list_index_names().await.unwrap(), ["_id_"]);

    pod.launch(&[SLOW]);
    pod.until(SLOW, &["running"]);
    pod.must(&["cancel", SLOW, "--wait"]);
    pod.launch(&[SLOW]);
    pod.until(SLOW, &["running"]);
    pod.must(&["pause", SLOW, "--wait"]);
    pod.must(&["resume", SLOW]);
    pod.must(&["tune", SLOW, "--pace", "100%"]);
    pod.until(SLOW, &["succeeded"]);
    pod.must(&["doctor"]);
    // The archive is replaced when a log is archived again, so pieces of it can be removed; what has happened cannot.
    let ledger = site.database(&site.uri("stopover", "ledger"), "ledger").await;
    for collection in ["stopover_passport", "stopover_runs", "stopover_quarantine"] {
        is_refused(collection, ledger.collection::<Document>(collection).delete_many(doc! {}).await);
        is_refused(collection, ledger.collection::<Document>(collection).drop().await);
    }

    let elsewhere = pod.stopover(&["run", ELSEWHERE, "--wait"]);
    assert_eq!(elsewhere.status, 1, "{}", elsewhere.stderr);
    assert!(elsewhere.stderr.contains("privilege"), "{}", elsewhere.stderr);
    let salaries = ledger.client().database("salaries").collection::<Document>("items");
    is_refused("reading elsewhere", salaries.find_one(doc! {}).await);
    is_refused("writing elsewhere", salaries.insert_one(doc! {}).await);
    is_refused("a user", ledger.client().database("admin").run_command(doc! { "usersInfo": 1 }).await);
    let own = ledger.collection::<Document>("anything");
    is_refused("another collection beside the ledger", own.insert_one(doc! {}).await);
}

#[tokio::test]
async fn a_viewer_sees_everything_and_is_refused_every_write_by_the_server() {
    let site = Site::new().await;
    site.fill().await;
    let pod = site.pod("stopover");
    pod.must(&["init", "--environment", "staging"]);
    pod.must(&["run", STEPS, "--wait"]);

    let viewer = site.pod("onlooker").variable("STOPOVER_POD", "pod-b");
    for looking in [
        &["list"][..],
        &["list", "--json"],
        &["show", STEPS],
        &["runs"],
        &["logs", STEPS],
        &["quarantine", STEPS],
        &["doctor"],
    ] {
        assert!(!viewer.must(&[&["--read-only"], looking].concat()).is_empty(), "{looking:?}");
    }
    assert!(viewer.must(&["--read-only", "logs", STEPS]).contains("left out"), "from the archive, in another pod");
    // Without Stopover's own restraint, the server's is left.
    let refused = viewer.stopover(&["run", PROGRAM]);
    assert_eq!(refused.status, 6, "{}", refused.stderr);
    assert!(refused.stderr.contains("lacks the privilege"), "{}", refused.stderr);

    let ledger = site.database(&site.uri("onlooker", "ledger"), "ledger").await;
    for name in LEDGER {
        let collection = ledger.collection::<Document>(name);
        collection.find_one(doc! {}).await.unwrap();
        is_refused(name, collection.insert_one(doc! {}).await);
        is_refused(name, collection.update_many(doc! {}, doc! { "$set": { "a": 1 } }).await);
        is_refused(name, collection.delete_many(doc! {}).await);
        is_refused(name, collection.drop().await);
        is_refused(name, ledger.run_command(doc! { "findAndModify": name, "remove": true }).await);
        let index = doc! { "createIndexes": name, "indexes": [{ "key": { "a": 1 }, "name": "a" }] };
        is_refused(name, ledger.run_command(index).await);
        is_refused(name, collection.aggregate([doc! { "$out": "copy" }]).await);
    }
    for (database, collection) in [("payments", "items"), ("ledger", "anything"), ("salaries", "items")] {
        let collection = ledger.client().database(database).collection::<Document>(collection);
        is_refused(database, collection.find_one(doc! {}).await);
        is_refused(database, collection.insert_one(doc! {}).await);
    }
    is_refused("dropping the ledger", ledger.drop().await);
}

#[tokio::test]
async fn running_it_again_mends_the_roles_and_leaves_users_and_their_passwords() {
    let site = Site::new().await;
    let admin = site.database(&site.server.admin(), "admin").await;
    let too_much = doc! { "updateRole": "stopover_viewer", "roles": ["readWriteAnyDatabase"], "privileges": [] };
    admin.run_command(too_much).await.unwrap();
    admin.run_command(doc! { "revokeRolesFromUser": "stopover", "roles": ["stopover_operator"] }).await.unwrap();

    let users = [("OPERATOR", "stopover"), ("VIEWER", "onlooker")];
    let ended = site.roles(&users);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let told = "role stopover_operator is as it should be\nuser stopover has the roles stopover_operator\n\
        role stopover_viewer is as it should be\nuser onlooker has the roles stopover_viewer\n";
    assert_eq!(ended.stdout, told, "no password is asked for");
    let viewer = site.database(&site.uri("onlooker", "ledger"), "ledger").await;
    is_refused("a write", viewer.collection("stopover_runs").insert_one(doc! {}).await);
    viewer.collection::<Document>("stopover_runs").find_one(doc! {}).await.unwrap();
    site.pod("stopover").must(&["init", "--environment", "staging"]);

    admin.run_command(doc! { "grantRolesToUser": "onlooker", "roles": ["readWriteAnyDatabase"] }).await.unwrap();
    let told = site.roles(&users).stdout;
    let line = told.lines().last().unwrap();
    assert!(line.contains("stopover_viewer") && line.contains("readWriteAnyDatabase"), "other roles are seen: {told}");
}

#[tokio::test]
async fn without_the_name_of_the_ledger_nothing_is_made() {
    let site = Server::start().await;
    let site = Site { server: site };
    let ended = site.roles(&[("LEDGER", "")]);
    assert_ne!(ended.status, 0);
    assert!(format!("{}{}", ended.stdout, ended.stderr).contains("set LEDGER to the name of the ledger's database"));
    assert_eq!(roles(&site.admin().await).await, BTreeMap::new());
}

/// The roles that were made, with what they allow. The server lists that in any order.
async fn roles(admin: &mongodb::Database) -> BTreeMap<String, BTreeSet<String>> {
    let answer = admin.run_command(doc! { "rolesInfo": 1, "showPrivileges": true }).await.unwrap();
    let list = |role: &Document, name: &str| role.get_array(name).unwrap().clone();
    let documents = |list: Vec<Bson>| list.into_iter().map(|one| one.as_document().unwrap().clone());
    let rights = |role: &Document| {
        let direct = documents(list(role, "privileges")).flat_map(|privilege| {
            let resource = privilege.get_document("resource").unwrap().clone();
            list(&privilege, "actions").into_iter().map(move |action| format!("{action} on {resource}"))
        });
        direct.chain(list(role, "roles").iter().map(ToString::to_string)).collect()
    };
    documents(list(&answer, "roles")).map(|role| (role.get_str("role").unwrap().to_owned(), rights(&role))).collect()
}

/// A user with what it may do; `None` if there is none in this database.
async fn user(admin: &mongodb::Database, name: &str, home: &str) -> Option<Document> {
    let ask = doc! { "usersInfo": { "user": name, "db": home }, "showPrivileges": true };
    let answer = admin.run_command(ask).await.unwrap();
    answer.get_array("users").unwrap().first().map(|user| user.as_document().unwrap().clone())
}

#[tokio::test]
async fn a_user_without_a_password_is_given_the_role_where_it_lives_and_none_is_made_beside_it() {
    let site = Site { server: Server::start().await };
    let admin = site.admin().await;
    let external = admin.client().database("$external");
    // One of a certificate, and one of a directory, which looks like any other.
    for name in ["CN=stopover,O=payments", "onlooker"] {
        external.run_command(doc! { "createUser": name, "roles": [] }).await.unwrap();
    }
    let ended = site.roles(&[("OPERATOR", "CN=stopover,O=payments"), ("VIEWER", "onlooker")]);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let told = "role stopover_operator is as it should be\nuser CN=stopover,O=payments has the roles stopover_operator\n\
        role stopover_viewer is as it should be\nuser onlooker has the roles stopover_viewer\n";
    assert_eq!(ended.stdout, told, "no password is asked for");
    for (name, role) in [("CN=stopover,O=payments", "stopover_operator"), ("onlooker", "stopover_viewer")] {
        let held = user(&admin, name, "$external").await.unwrap();
        assert_eq!(held.get_array("roles").unwrap(), &vec![doc! { "role": role, "db": "admin" }.into()]);
        let privileges = held.get_array("inheritedPrivileges").unwrap();
        let runs = doc! { "db": "ledger", "collection": "stopover_runs" };
        assert!(
            privileges.iter().any(|held| held
                .as_document()
                .unwrap()
                .get_document("resource")
                .is_ok_and(|on| *on == runs)),
            "{privileges:?}"
        );
        assert_eq!(user(&admin, name, "admin").await, None);
    }
}

#[tokio::test]
async fn a_user_without_a_password_that_is_nowhere_is_refused_and_nothing_is_made() {
    let site = Site { server: Server::start().await };
    let admin = site.admin().await;
    for name in ["CN=nobody,O=payments", "arn:aws:iam::123456789012:role/nobody"] {
        let ended = site.roles(&[("OPERATOR", "stopover"), ("VIEWER", name)]);
        assert_ne!(ended.status, 0);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(name) && said.contains("make it there first"), "{said}");
        assert_eq!(roles(&admin).await, BTreeMap::new());
        assert_eq!(user(&admin, name, "admin").await, None);
    }
}

#[tokio::test]
async fn the_role_of_one_ledger_is_not_taken_for_another() {
    let site = Site { server: Server::start().await };
    let admin = site.admin().await;
    assert_eq!(site.roles(&[]).status, 0);
    let before = roles(&admin).await;
    assert_eq!(before.len(), 2);

    // Its operators would be mended, and its viewers are in the way: neither is changed.
    let operators = ("OPERATOR_ROLE", "second_operator");
    for (names, variable) in [(&[][..], "OPERATOR_ROLE"), (&[operators], "VIEWER_ROLE")] {
        let ended = site.roles(&[&[("LEDGER", "second")], names].concat());
        assert_ne!(ended.status, 0, "{}", ended.stdout);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        let next = format!("is that of the ledger ledger: set {variable} to another name for the ledger second");
        assert!(said.contains(&next), "{said}");
        assert_eq!(roles(&admin).await, before);
    }

    let named = [("LEDGER", "second"), operators, ("VIEWER_ROLE", "second_viewer")];
    for _ in 0..2 {
        assert_eq!(site.roles(&named).status, 0);
        let after = roles(&admin).await;
        assert_eq!(after.len(), 4);
        assert!(
            before.iter().all(|(role, rights)| after.get(role) == Some(rights)),
            "those of the first are as they were"
        );
    }
}
