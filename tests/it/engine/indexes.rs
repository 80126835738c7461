//! Indexes are built and removed, watched, left alone, joined and ended.

use std::time::Duration;

use bson::{Bson, Document, doc};
use mongodb::Database as Driver;
use stopover::catalog::{CreateIndexes, DropIndexes, Hint};
use stopover::engine::fault::Fault;
use stopover::engine::indexes;
use stopover::engine::site::Site;
use tokio_util::sync::CancellationToken;

use super::{Said, fatal, here, site};
use crate::support::mongo::Database;
use crate::support::scene::Scene;
use crate::support::server::Server;
use crate::support::{eventually, eventually_async};

const PATIENCE: Duration = Duration::from_mins(1);

/// Makes a collection whose indexes take the server a while.
async fn fill(database: &Driver) {
    fill_so_often(database, 1).await;
}

/// So many times as large.
async fn fill_so_often(database: &Driver, times: i32) {
    const DOCUMENTS: i32 = 300_000;
    let pipeline = [
        doc! { "$documents": [{}] },
        doc! { "$set": { "m": { "$range": [0, times] } } },
        doc! { "$unwind": "$m" },
        doc! { "$set": { "n": { "$range": [0, DOCUMENTS] } } },
        doc! { "$unwind": "$n" },
        doc! { "$set": { "n": { "$add": ["$n", { "$multiply": ["$m", DOCUMENTS] }] } } },
        doc! { "$project": { "_id": "$n", "n": 1, "text": { "$concat": [
            { "$toString": { "$mod": [{ "$multiply": ["$n", 7919] }, 300_007] } }, "x".repeat(100),
        ] } } },
        doc! { "$out": "large" },
    ];
    database.aggregate(pipeline).await.unwrap();
}

/// Indexes for it.
fn large() -> CreateIndexes {
    let index = |name: &str, key: Document| doc! { "key": key, "name": name };
    CreateIndexes {
        target: here("large"),
        indexes: vec![
            index("one", doc! { "text": 1, "n": 1 }),
            index("two", doc! { "text": -1, "n": 1 }),
            index("three", doc! { "n": -1, "text": 1 }),
            index("four", doc! { "text": -1, "n": -1 }),
        ],
    }
}

fn one(collection: &str, index: Document) -> CreateIndexes {
    CreateIndexes { target: here(collection), indexes: vec![index] }
}

async fn create(site: &Site, step: &CreateIndexes) -> (Result<(), Fault>, Said) {
    let said = Said::default();
    let result = said.by(site, &CancellationToken::new(), async |tools| indexes::create(&tools, step).await).await;
    (result, said)
}

/// The builds that are under way, and the indexes that are complete.
async fn standing(database: &Driver, collection: &str) -> (Vec<Bson>, Vec<String>) {
    let answer = database.run_command(doc! { "listIndexes": collection, "includeBuildUUIDs": true }).await.unwrap();
    let entries = answer.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    let entries = entries.iter().map(|entry| entry.as_document().unwrap());
    let mut builds: Vec<Bson> = entries.clone().filter_map(|entry| entry.get("buildUUID").cloned()).collect();
    builds.dedup();
    (builds, entries.filter_map(|entry| entry.get_str("name").ok()).map(str::to_owned).collect())
}

#[tokio::test]
async fn a_build_is_watched_left_alone_by_a_stop_and_joined_by_who_asks_again() {
    let database = Database::new();
    let (site, driver) = (site(database.uri()).await, database.open().await);
    fill(&driver).await;

    let (stop, said) = (CancellationToken::new(), Said::default());
    let wanted = large();
    let stopped = said.by(&site, &stop, async |tools| indexes::create(&tools, &wanted).await);
    let stopping = async {
        eventually_async("the build is seen", PATIENCE, async || said.reports().pop()).await;
        stop.cancel();
    };
    let (stopped, ()) = tokio::join!(stopped, stopping);
    assert!(matches!(stopped, Err(Fault::Stopped)), "{stopped:?}");
    let (done, total, message) = said.reports().pop().unwrap();
    assert!(done <= total.unwrap() && message.unwrap().starts_with("index build: "));
    let (builds, complete) = standing(&driver, "large").await;
    assert_eq!((builds.len(), complete.as_slice()), (1, &["_id_".to_owned()][..]));

    let (first, second) = (Said::default(), Said::default());
    let on = CancellationToken::new();
    let joined = async {
        let first = first.by(&site, &on, async |tools| indexes::create(&tools, &wanted).await);
        let second = second.by(&site, &on, async |tools| indexes::create(&tools, &wanted).await);
        tokio::join!(first, second)
    };
    let looking = async { standing(&driver, "large").await.0 };
    let ((one, other), seen) = tokio::join!(joined, looking);
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert!(seen.iter().all(|build| builds.contains(build)), "another build was begun");
    let (builds, complete) = standing(&driver, "large").await;
    assert_eq!((builds.len(), complete.len()), (0, 5));
}

#[tokio::test]
async fn ending_a_build_leaves_nothing_of_it_and_touches_no_complete_index() {
    let database = Database::new();
    let (site, driver) = (site(database.uri()).await, database.open().await);
    fill(&driver).await;
    let mut step = large();
    let complete = CreateIndexes { target: here("large"), indexes: vec![step.indexes.remove(0)] };
    create(&site, &complete).await.0.unwrap();
    let both = CreateIndexes { target: here("large"), indexes: [complete.indexes, step.indexes.clone()].concat() };

    let (on, said, ending) = (CancellationToken::new(), Said::default(), Said::default());
    let built = said.by(&site, &on, async |tools| indexes::create(&tools, &step).await);
    let ended = async {
        eventually_async("the build is there", PATIENCE, async || standing(&driver, "large").await.0.pop()).await;
        ending.by(&site, &on, async |tools| indexes::abort(&tools, &both).await).await.unwrap();
    };
    let (built, ()) = tokio::join!(built, ended);
    let words = fatal(built);
    assert!(words.contains("somebody ended the build of two, three, four on"), "{words}");
    assert!(ending.notes().contains("the build of two, three, four on"), "{}", ending.notes());
    assert_eq!(standing(&driver, "large").await, (Vec::new(), vec!["_id_".to_owned(), "one".to_owned()]));
}

#[tokio::test]
async fn an_index_that_is_there_is_a_success_and_another_like_it_is_named() {
    let database = Database::new();
    let (site, driver) = (site(database.uri()).await, database.open().await);
    let wanted = doc! { "key": { "email": 1 }, "name": "email_1" };
    let (result, said) = create(&site, &one("users", wanted.clone())).await;
    result.unwrap();
    assert!(said.notes().contains("users did not exist and was created"), "{}", said.notes());
    let (result, said) = create(&site, &one("users", wanted)).await;
    result.unwrap();
    assert!(said.notes().ends_with("users: there already"), "{}", said.notes());

    let conflicts = [
        doc! { "key": { "email": -1 }, "name": "email_1" },
        doc! { "key": { "email": 1 }, "name": "email_1", "unique": true },
        doc! { "key": { "email": 1 }, "name": "by_email" },
    ];
    for other in conflicts {
        let words = fatal(create(&site, &one("users", other.clone())).await.0);
        assert!(words.contains(r#"has the index {"key":{"email":1},"name":"email_1"}, and wanted is {"#), "{words}");
    }

    driver.collection("users").insert_many([doc! { "phone": "555-1234" }, doc! { "phone": "555-1234" }]).await.unwrap();
    let unique = doc! { "key": { "phone": 1 }, "name": "phone_1", "unique": true };
    let words = fatal(create(&site, &one("users", unique)).await.0);
    assert!(words.starts_with("the unique index phone_1 cannot be built on"), "{words}");
    assert!(!words.contains("555"), "{words}");
    let words = fatal(create(&site, &one("users", doc! { "key": { "a": "up" }, "name": "a" })).await.0);
    assert!(words.contains("createIndexes on") && words.contains("Unknown index plugin"), "{words}");
}

#[tokio::test]
async fn an_index_is_removed_by_its_name_or_its_key_and_one_that_is_not_there_is_a_success() {
    let database = Database::new();
    let (site, driver) = (site(database.uri()).await, database.open().await);
    for field in ["a", "b", "c"] {
        create(&site, &one("users", doc! { "key": { field: 1 }, "name": field })).await.0.unwrap();
    }
    let (said, on) = (Said::default(), CancellationToken::new());
    let hints = vec![Hint::Name("a".to_owned()), Hint::Keys(doc! { "b": 1 }), Hint::Name("z".to_owned())];
    for collection in ["users", "nobody"] {
        let step = DropIndexes { target: here(collection), indexes: hints.clone() };
        said.by(&site, &on, async |tools| indexes::drop(&tools, &step).await).await.unwrap();
    }
    assert_eq!(said.notes().matches("not there").count(), 4, "{}", said.notes());
    assert_eq!(standing(&driver, "users").await.1, ["_id_", "c"]);
    let id = DropIndexes { target: here("users"), indexes: vec![Hint::Name("_id_".to_owned())] };
    let words = fatal(said.by(&site, &on, async |tools| indexes::drop(&tools, &id).await).await);
    assert!(words.contains("dropIndexes on") && words.contains("_id"), "{words}");
}

#[tokio::test]
async fn a_user_who_may_not_see_the_build_builds_without_and_one_who_may_not_build_is_told() {
    let server = Server::start().await;
    let (writer, reader) = (site(server.writer()).await, site(server.reader()).await);
    fill(&writer.database(None)).await;
    let (stop, said) = (CancellationToken::new(), Said::default());
    let wanted = CreateIndexes { indexes: large().indexes.split_off(2), ..large() };
    let stopped = said.by(&writer, &stop, async |tools| indexes::create(&tools, &wanted).await);
    let stopping = async {
        eventually_async("it is told", PATIENCE, async || said.notes().contains("`inprog`").then_some(())).await;
        stop.cancel();
    };
    let (stopped, ()) = tokio::join!(stopped, stopping);
    assert!(matches!(stopped, Err(Fault::Stopped)), "{stopped:?}");
    assert_eq!(said.notes().matches("`inprog`").count(), 1, "{}", said.notes());
    // Nobody asks again, and it is completed all the same: on a server without an oplog, too.
    eventually_async("the build is completed", PATIENCE, async || {
        (standing(&writer.database(None), "large").await
            == (Vec::new(), ["_id_", "three", "four"].map(str::to_owned).to_vec()))
            .then_some(())
    })
    .await;
    let words = fatal(create(&reader, &large()).await.0);
    assert!(words.contains("lacks the privilege for createIndexes on payments.large"), "{words}");
}

/// A run that builds indexes.
struct Building {
    scene: Scene,
    driver: Driver,
    id: String,
    _database: Database,
}

impl Building {
    const NAME: &str = "20270106_orders";

    /// Launches it on so many documents, and waits until it watches the build.
    async fn of(times: i32) -> Self {
        let database = Database::new();
        let driver = database.open().await;
        fill_so_often(&driver, times).await;
        let scene = Scene::new()
            .variable("MONGODB_URI", database.uri())
            .variable("STOPOVER_LEDGER", "sqlite:./ledger.db")
            .manifest(
                Self::NAME,
                "createIndexes:
  collection: large
  indexes:
    - { key: { text: 1, n: 1 }, name: one }
    - { key: { text: -1, n: 1 }, name: two }
    - { key: { n: -1, text: 1 }, name: three }
    - { key: { text: -1, n: -1 }, name: four }
",
            );
        let id = scene.launch(&[Self::NAME]);
        let watching = |run: &serde_json::Value| {
            run["message"].as_str().is_some_and(|message| message.starts_with("index build: "))
        };
        eventually("it watches the build", PATIENCE, || Some(scene.run(Self::NAME)).filter(watching));
        Self { scene, driver, id, _database: database }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.scene.state().join(format!("runs/{}.log", self.id))).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_run_that_is_paused_leaves_a_build_to_the_server_and_is_resumed_to_its_end() {
    let building = Building::of(2).await;
    building.scene.must(&["pause", Building::NAME, "--wait"]);
    let log = building.log();
    assert!(log.contains("the server goes on building one, two, three, four on"), "{log}");
    building.scene.must(&["resume", Building::NAME, "--wait"]);
    assert_eq!(standing(&building.driver, "large").await.1, ["_id_", "one", "two", "three", "four"]);
}

#[tokio::test]
async fn a_run_that_is_cancelled_ends_the_build_that_it_watches() {
    let building = Building::of(3).await;
    building.scene.must(&["cancel", Building::NAME, "--wait"]);
    let log = building.log();
    assert!(log.contains("the build of one, two, three, four on"), "{log}");
    assert_eq!(standing(&building.driver, "large").await, (Vec::new(), vec!["_id_".to_owned()]));
}
