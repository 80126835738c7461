//! The network between a worker and its ledger is cut, and the one between its work and the data is not.

use crate::support::documents::{by_touched, fill, once};
use crate::support::eventually_async;
use crate::support::mongo::Database;
use crate::support::proxy::Proxy;

use super::*;

const STEPS: &str = "20270202_adds";
const DOCUMENTS: i32 = 20_000;

/// A network namespace with two ways out of it, which lead to this machine.
struct Namespace {
    name: String,
    /// A part of the addresses and of the devices, which are the machine's.
    number: u32,
}

impl Namespace {
    fn new() -> Self {
        let number = std::process::id() % 250;
        let namespace = Self { name: format!("stopover-{number}"), number };
        ip(&["netns", "add", &namespace.name]);
        for way in [1, 2] {
            let (here, there) = (namespace.device(way), format!("{}n", namespace.device(way)));
            ip(&["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", &namespace.name]);
            ip(&["addr", "add", &format!("{}/24", namespace.address(way)), "dev", &here]);
            ip(&["link", "set", &here, "up"]);
            let inside = format!("10.{way}7.{number}.2/24");
            ip(&["-n", &namespace.name, "addr", "add", &inside, "dev", &there]);
            ip(&["-n", &namespace.name, "link", "set", &there, "up"]);
        }
        namespace
    }

    fn device(&self, way: u32) -> String {
        format!("so{}w{way}", self.number)
    }

    /// This machine's end of a way.
    fn address(&self, way: u32) -> String {
        format!("10.{way}7.{}.1", self.number)
    }

    /// Cuts a way: what is sent vanishes.
    fn cut(&self, way: u32) {
        ip(&["link", "set", &self.device(way), "down"]);
    }

    fn join(&self, way: u32) {
        ip(&["link", "set", &self.device(way), "up"]);
    }

    /// Runs a command of a scene inside.
    #[track_caller]
    fn must(&self, scene: &Scene, arguments: &[&str]) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, crate::support::scene::STOPOVER]).args(arguments);
        let output = command.env_clear().envs(scene.environment()).current_dir(scene.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
        for way in [1, 2] {
            let _ = Command::new("ip").args(["link", "del", &self.device(way)]).status();
        }
    }
}

#[track_caller]
fn ip(words: &[&str]) {
    tool("iproute2", &[&["ip"], words].concat());
}

#[tokio::test]
async fn a_worker_cut_off_from_its_ledger_stops_its_work_on_the_data_that_it_still_reaches() {
    let namespace = Namespace::new();
    let (data, records) = (Database::new(), Database::new());
    let database = data.open().await;
    fill(&database, STEPS, DOCUMENTS).await;
    let to_ledger = Proxy::at(&namespace.address(1), records.host());
    let to_data = Proxy::at(&namespace.address(2), data.host());
    let pod = |name: &str, ledger: String, data: String| {
        Scene::new()
            .manifest(STEPS, &once(STEPS, "workers: 1, batch: 5ms, pace: 1"))
            .variable("STOPOVER_POD", name)
            .variable("STOPOVER_LEASE", LEASE)
            .variable("STOPOVER_LEDGER", ledger)
            .variable("MONGODB_URI", data)
    };
    let inside = pod("pod-a", records.uri_by(to_ledger.host()), data.uri_by(to_data.host()));
    let outside = pod("pod-b", records.uri(), data.uri());
    outside.must(&["init", "--environment", "staging"]);
    let checker = Checker { pods: vec![&inside, &outside], migration: STEPS, program: None };
    namespace.must(&inside, &["run", STEPS]);
    let changed = async || {
        let groups = by_touched(&database, STEPS).await;
        groups.iter().filter(|(touched, _)| *touched > 0).map(|(_, count)| *count).sum::<i32>()
    };
    until_done(&outside, STEPS, 1);
    let before = changed().await;
    namespace.cut(1);
    // The work itself is not held up by the cut.
    eventually_async("it goes on", PATIENCE, async || (changed().await > before).then_some(())).await;
    outside.until(STEPS, &["lost"]);
    let stopped = changed().await;
    assert!(stopped < DOCUMENTS, "it was stopped at work");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(changed().await, stopped, "nothing more is done once another may take over");
    outside.must(&["resume", STEPS]);
    outside.must(&["tune", STEPS, "--pace", "100"]);
    let run = checker.resume_and_check();
    assert_eq!((&run["attempt"], &run["pod"]), (&2.into(), &"pod-b".into()));
    namespace.join(1);
    eventually("the first worker is gone", PATIENCE, || {
        let told =
            fs::read_to_string(inside.state().join("workers").join(format!("{}.log", run["id"].as_str().unwrap())));
        told.unwrap_or_default().contains("nothing more was written").then_some(())
    });
    assert_eq!(checker.check(), run);
    assert_eq!(by_touched(&database, STEPS).await, [(1, DOCUMENTS)]);
}
