//! Three MongoDB servers of a test's own that replicate to each other: they can be killed, held still and brought back one by one.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::Client;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;

use super::eventually_async;
use super::mongo::mongod;

/// Three that vote; one of them is the primary.
const NODES: usize = 3;
/// Starting a server and electing a primary may take this long on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a node that comes back may take to agree with the others, and how often that is tried.
const ROLLBACK: Duration = Duration::from_secs(20);
const PATIENTLY: usize = 9;

/// A replica set on loopback, without passwords; killed when it is dropped.
pub struct ReplicaSet {
    nodes: Vec<Node>,
}

struct Node {
    /// `None` after it was killed.
    process: Option<Child>,
    port: u16,
    directory: TempDir,
}

impl ReplicaSet {
    /// Starts one and waits for its primary, and until all others follow it.
    pub async fn start() -> Self {
        let nodes: Vec<Node> = (0..NODES).map(|_| Node::start()).collect();
        let mut set = Self { nodes };
        let members: Vec<Document> =
            (0..).zip(&set.nodes).map(|(id, node)| doc! { "_id": id, "host": node.host() }).collect();
        let config = doc! {
            "_id": "test",
            "members": members,
            "settings": { "electionTimeoutMillis": 1_000, "heartbeatIntervalMillis": 200 },
        };
        eventually_async("the servers answer and take the configuration", PATIENCE, async || {
            for node in &set.nodes {
                node.run(doc! { "ping": 1 }).await?;
            }
            set.nodes[0].run(doc! { "replSetInitiate": config.clone() }).await
        })
        .await;
        set.settle().await;
        set
    }

    /// A connection string for the whole set, with a database `shop`. Confirmations wait for a majority unless the client says otherwise.
    pub fn uri(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(Node::host).collect();
        format!("mongodb://{}/shop?replicaSet=test", hosts.join(","))
    }

    /// Waits until there is a primary that takes writes, and says which node it is.
    pub async fn primary(&self) -> usize {
        eventually_async("there is a primary", PATIENCE, async || {
            for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.process.is_some()) {
                if node.hello().await.is_some_and(|hello| hello.get_bool("isWritablePrimary").is_ok_and(|is| is)) {
                    return Some(index);
                }
            }
            None
        })
        .await
    }

    /// A node that is not the primary.
    pub async fn secondary(&self) -> usize {
        let primary = self.primary().await;
        (0..NODES).find(|node| *node != primary && self.nodes[*node].process.is_some()).expect("one is left")
    }

    /// Waits until every node that runs is the primary or follows it. The rollback of what a node alone had written may spin for ever in this
    /// server; a node that does not get over it is started anew.
    pub async fn settle(&mut self) {
        for _ in 0..PATIENTLY {
            let deadline = Instant::now() + ROLLBACK;
            while Instant::now() < deadline {
                if self.laggards().await.is_empty() {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
            for node in self.laggards().await {
                self.restart(node);
            }
        }
        panic!("the nodes {:?} do not become primary or secondary", self.laggards().await);
    }

    /// The nodes that run and are neither a primary nor follow one; all of them while there is no primary.
    async fn laggards(&self) -> Vec<usize> {
        let (mut laggards, mut all, mut primaries) = (Vec::new(), Vec::new(), 0);
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.process.is_some()) {
            let hello = node.hello().await.unwrap_or_default();
            let is = |field| hello.get_bool(field).is_ok_and(|is| is);
            if !is("isWritablePrimary") && !is("secondary") {
                laggards.push(index);
            }
            primaries += u8::from(is("isWritablePrimary"));
            all.push(index);
        }
        if laggards.is_empty() && primaries != 1 { all } else { laggards }
    }

    /// Has the primary hand over to another node, as during maintenance, and returns once it is no longer primary.
    pub async fn step_down(&self) {
        let primary = self.primary().await;
        let step_down = doc! { "replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 2, "force": true };
        // It is refused while an election is under way.
        eventually_async("the primary steps down", PATIENCE, async || self.nodes[primary].run(step_down.clone()).await)
            .await;
    }

    /// Kills the primary as a power failure does, and says which node it was.
    pub async fn kill_primary(&mut self) -> usize {
        let primary = self.primary().await;
        self.kill(primary);
        primary
    }

    /// Kills a node.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Starts a killed node again where it was; see [`ReplicaSet::settle`].
    pub fn restart(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.kill();
        node.process = Some(serve(&node.directory, node.port));
    }

    /// Holds a node still: connections stay open, and nothing is answered.
    pub fn freeze(&self, node: usize) {
        self.nodes[node].signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self, node: usize) {
        self.nodes[node].signal(Signal::CONT);
    }

    /// Runs a command of the `admin` database on one node, whatever its role is, as soon as the node takes it.
    pub async fn run(&self, node: usize, command: Document) -> Document {
        eventually_async("the node takes the command", PATIENCE, async || self.nodes[node].run(command.clone()).await)
            .await
    }
}

impl Node {
    fn start() -> Self {
        let (directory, port) = (TempDir::new().unwrap(), free_port());
        Self { process: Some(serve(&directory, port)), port, directory }
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it says of itself; soon, for a node that is held still says nothing.
    async fn hello(&self) -> Option<Document> {
        tokio::time::timeout(Duration::from_secs(1), self.run(doc! { "hello": 1 })).await.ok()?
    }

    /// `None` when it does not answer, or answers with an error.
    async fn run(&self, command: Document) -> Option<Document> {
        let uri = format!("mongodb://{}/?directConnection=true&serverSelectionTimeoutMS=500", self.host());
        let answer = async {
            let client = Client::with_uri_str(uri).await?;
            client.database("admin").run_command(command).await
        };
        tokio::time::timeout(Duration::from_secs(10), answer).await.ok()?.ok()
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the node was not killed");
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that the system gives to no connection by itself, so that a killed node finds it free when it comes back.
fn free_port() -> u16 {
    let any = || 15_000 + u16::try_from(RandomState::new().hash_one(0) % 17_000).unwrap_or(0);
    std::iter::repeat_with(any).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("there are many")
}

fn serve(directory: &TempDir, port: u16) -> Child {
    Command::new(mongod())
        .args(["--replSet", "test", "--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"])
        .args(["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"])
        .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
        .arg("--dbpath")
        .arg(directory.path())
        .arg("--port")
        .arg(port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_set_survives_a_step_down_a_kill_and_a_restart() {
    let mut set = ReplicaSet::start().await;
    let first = set.primary().await;
    set.step_down().await;
    let second = set.primary().await;
    assert_ne!(first, second);
    assert_eq!(set.kill_primary().await, second);
    assert_ne!(set.primary().await, second);
    set.restart(second);
    set.settle().await;
    let frozen = set.secondary().await;
    set.freeze(frozen);
    assert_ne!(set.primary().await, frozen);
    set.thaw(frozen);
    set.settle().await;
}
