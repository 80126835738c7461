//! A MongoDB of the bench's own: one member of a replica set, with a gigabyte of cache.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bson::{Document, doc};
use mongodb::{Client, Collection};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::payments::{FIELD, payment, undone};

/// The database.
pub const DATABASE: &str = "bench";
/// The collection that is changed.
pub const PAYMENTS: &str = "payments";
/// What it is made of, again and again.
const PRISTINE: &str = "pristine";

/// Killed when it is dropped.
pub struct Server {
    process: Child,
    port: u16,
    driver: Handle,
    client: Client,
    _directory: TempDir,
}

impl Server {
    /// Starts it.
    pub fn start() -> Self {
        let directory = tempfile::tempdir_in(".dev/bench").expect("a directory for the data");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let provision = Command::new("scripts/dev-mongo").arg("provision").output().expect("run from the checkout");
        let mongod = String::from_utf8(provision.stdout).expect("a path");
        let process = Command::new(mongod.trim())
            .args(["--bind_ip", "127.0.0.1", "--nounixsocket", "--replSet", "bench", "--wiredTigerCacheSizeGB", "1"])
            .args(["--oplogSize", "2048", "--quiet", "--setParameter", "diagnosticDataCollectionEnabled=false"])
            .args(["--port", &port.to_string(), "--dbpath"])
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("mongod starts");
        for _ in 0..300 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let initiate = Command::new("python3").args(["scripts/mongo-initiate.py", &port.to_string(), "bench"]).status();
        assert!(initiate.is_ok_and(|status| status.success()), "mongod became no replica set");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let driver = runtime.handle().clone();
        // The driver's own tasks go on while the bench waits for other processes.
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        let client = driver.block_on(Client::with_uri_str(uri(port))).expect("mongod is there");
        Self { process, port, driver, client, _directory: directory }
    }

    /// Its address, with the database.
    pub fn uri(&self) -> String {
        uri(self.port)
    }

    /// Waits for work on it.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.driver.block_on(work)
    }

    /// The collection that is changed.
    pub fn payments(&self) -> Collection<Document> {
        self.client.database(DATABASE).collection(PAYMENTS)
    }

    /// A client of the bench's own.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes the pristine documents.
    pub fn fill(&self, documents: u32) {
        let pristine = self.client.database(DATABASE).collection::<Document>(PRISTINE);
        self.wait(async {
            for from in (0..documents).step_by(5_000) {
                let part = (from..documents.min(from + 5_000)).map(payment);
                pristine.insert_many(part).await.expect("mongod takes documents");
            }
        });
    }

    /// The same fresh collection for whoever comes next, of `documents` documents or all, with nothing left to write to the disk.
    pub fn reset(&self, documents: Option<u32>) {
        let database = self.client.database(DATABASE);
        self.wait(async {
            let mut stages = vec![doc! { "$sort": { "_id": 1 } }];
            stages.extend(documents.map(|documents| doc! { "$limit": i64::from(documents) }));
            stages.push(doc! { "$out": PAYMENTS });
            database.collection::<Document>(PRISTINE).aggregate(stages).await.expect("$out works");
            let sync = doc! { "fsync": 1 };
            self.client.database("admin").run_command(sync).await.expect("mongod writes a checkpoint");
            // What was evicted comes back: a cold cache is nobody's doing.
            self.payments().count_documents(doc! { "status": "none" }).await.expect("mongod reads");
        });
    }

    /// Documents that are not done.
    pub fn undone(&self) -> u64 {
        self.wait(async { self.payments().count_documents(undone()).await.expect("mongod counts") })
    }

    /// Everything is done.
    pub fn assert_done(&self) {
        assert_eq!(self.undone(), 0, "documents without {FIELD} are left");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn uri(port: u16) -> String {
    format!("mongodb://127.0.0.1:{port}/{DATABASE}?replicaSet=bench")
}
