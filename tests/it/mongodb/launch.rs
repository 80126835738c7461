//! From an empty database to an applied migration.

use std::process::Stdio;

use bson::{Document, doc};

use super::{STEADY, go, pod, stamp};
use crate::support::mongo::Database;
use crate::support::scene::Scene;

#[test]
fn a_ledger_without_a_stamp_refuses_every_launch_until_init() {
    let database = Database::new();
    let scene = Scene::new().script("20261101_good", "echo done").variable("MONGODB_URI", database.uri());
    assert_eq!(scene.json(&["list", "--json"])[0]["state"], "pending");
    let refused = scene.stopover(&["run", "20261101_good"]);
    assert_eq!(refused.status, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("stopover init --environment"), "{}", refused.stderr);
    assert!(scene.json(&["runs", "--json"]).as_array().unwrap().is_empty(), "nothing was recorded");

    stamp(&scene);
    scene.must(&["run", "20261101_good", "--wait"]);
    let list = scene.json(&["list", "--json"]);
    assert_eq!((&list[0]["state"], &list[0]["run"]["state"]), (&"applied".into(), &"succeeded".into()));
    let again = scene.stopover(&["run", "20261101_good"]);
    assert_eq!(again.status, 4, "{}", again.stderr);
    scene.must(&["run", "20261101_good", "--rerun", "--wait"]);
    assert_eq!(scene.json(&["runs", "--json"]).as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_first_write_creates_the_indexes_that_the_promises_rest_on() {
    let database = Database::new();
    let scene = pod("pod-a", database.uri());
    let driver = database.open().await;
    scene.must(&["list"]);
    assert!(driver.list_collection_names().await.unwrap().is_empty(), "looking creates nothing");

    stamp(&scene);
    let runs = driver.collection::<Document>("stopover_runs");
    let mut indexes = runs.list_indexes().await.unwrap();
    let mut one_open_run = None;
    while indexes.advance().await.unwrap() {
        let index = indexes.deserialize_current().unwrap();
        let options = index.options.unwrap();
        if options.unique == Some(true) {
            one_open_run = Some((index.keys, options.partial_filter_expression));
        }
    }
    assert_eq!(one_open_run, Some((doc! { "migration": 1 }, Some(doc! { "open": true }))));
    let mut indexes = driver.collection::<Document>("stopover_logs").list_indexes().await.unwrap();
    let mut expires = false;
    while indexes.advance().await.unwrap() {
        expires |= indexes.deserialize_current().unwrap().options.unwrap().expire_after.is_some();
    }
    assert!(expires, "archived logs do not stay for ever");
}

#[test]
fn of_two_launches_at_once_one_runs_and_the_other_is_told_so() {
    let database = Database::new();
    let pods = [pod("pod-a", database.uri()), pod("pod-b", database.uri())];
    stamp(&pods[0]);
    for _ in 0..5 {
        let launches = pods.each_ref().map(|pod| {
            let mut command = pod.command(&["run", STEADY, "--rerun"]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        });
        let ended = launches.map(|launch| launch.wait_with_output().unwrap());
        let mut statuses = ended.each_ref().map(|output| output.status.code().unwrap());
        statuses.sort_unstable();
        assert_eq!(statuses, [0, 3], "{ended:?}");
        pods[0].until(STEADY, &["running"]);
        pods.iter().for_each(go);
        pods[0].until(STEADY, &["succeeded"]);
        for pod in &pods {
            std::fs::remove_file(pod.path().join("go")).unwrap();
        }
    }
    assert_eq!(pods[1].json(&["runs", "--json"]).as_array().unwrap().len(), 5);
}
