//! A real MongoDB for the tests: one server for all test processes of this checkout, a database of its own for each test.
//!
//! The first test that needs it starts it; it ends by itself half a minute after the last one is done, because each holds a shared lock
//! for as long as it lives, which the system releases even when a test is killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use mongodb::Client;
use stopover::ledger::RunId;

/// Seconds without any test before the server ends.
const IDLE: &str = "30";

/// A database that is dropped with this value.
pub struct Database {
    server: String,
    name: String,
    _in_use: File,
}

impl Database {
    /// An empty database on the shared server.
    pub fn new() -> Self {
        let directory = directory();
        std::fs::create_dir_all(&directory).unwrap();
        let in_use = File::create(directory.join("users")).unwrap();
        in_use.lock_shared().unwrap();
        let server = start(&directory);
        let name = format!("test_{}", RunId::generate()).replace('-', "");
        Self { server, name, _in_use: in_use }
    }

    /// Its connection string.
    pub fn uri(&self) -> String {
        self.server.replacen("/?", &format!("/{}?", self.name), 1)
    }

    /// The server's host and port.
    pub fn host(&self) -> &str {
        let host = self.server.trim_start_matches("mongodb://");
        host.split('/').next().unwrap_or(host)
    }

    /// Its connection string by way of another host and port that lead to it.
    pub fn uri_by(&self, host: &str) -> String {
        format!("mongodb://{host}/{}?directConnection=true", self.name)
    }

    /// A driver of the test's own, to look at and change what a ledger stores.
    pub async fn open(&self) -> mongodb::Database {
        Client::with_uri_str(self.uri()).await.unwrap().database(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (uri, name) = (self.uri(), self.name.clone());
        // The test's own runtime may be ending around this.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { Client::with_uri_str(uri).await?.database(&name).drop().await })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("the test's database was left behind: {error}");
        }
    }
}

/// A mongod to start with options of a test's own.
pub fn mongod() -> PathBuf {
    PathBuf::from(script(&["provision"], &directory()))
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("mongo")
}

fn start(directory: &Path) -> String {
    script(&["start"], directory)
}

fn script(arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/dev-mongo"))
        .args(arguments)
        .env("STOPOVER_MONGO_DIR", directory)
        .env("STOPOVER_MONGO_IDLE", IDLE)
        .output()
        .expect("scripts/dev-mongo is there and can be run");
    assert!(
        output.status.success(),
        "this test needs a real MongoDB; `scripts/dev-mongo provision` fetches one, or set STOPOVER_MONGOD to a mongod of your own\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
