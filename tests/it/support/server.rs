//! A MongoDB server of a test's own: it asks for passwords, and it can be taken away and brought back.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bson::{Document, doc};
use mongodb::Client;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::eventually_async;
use super::mongo::mongod;
use super::nobody::free_port;

/// What every password here begins with, as it is and as it stands in a connection string: nothing may ever show it.
pub const SECRET: &str = "passw0rd";

const PASSWORD: &str = "passw0rd@mongo";
const PASSWORD_IN_URI: &str = "passw0rd%40mongo";

const ADMIN: &str = "admin:passw0rd-of-admin";
const DATABASE: &str = "payments";
const KEY_FILE: &str = "key";

/// A server, standalone unless it is said to be a replica set; killed when it is dropped.
pub struct Server {
    process: Child,
    port: u16,
    directory: TempDir,
    replicates: bool,
}

impl Server {
    /// Starts one with a database `payments` and two users: one may read and write it, the other may only read.
    pub async fn start() -> Self {
        Self::start_as(false).await
    }

    /// The same as a replica set of one member.
    pub async fn start_replica_set() -> Self {
        Self::start_as(true).await
    }

    async fn start_as(replicates: bool) -> Self {
        let directory = TempDir::new().unwrap();
        if replicates {
            let key = directory.path().join(KEY_FILE);
            std::fs::write(&key, "what members of a set show each other").unwrap();
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).unwrap();
        }
        let port = free_port();
        let server = Self { process: serve(&directory, port, replicates), port, directory, replicates };
        // The first user may be made without a password, from this machine.
        let first = format!("mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=500&directConnection=true");
        let first = Client::with_uri_str(first).await.unwrap();
        if replicates {
            let member = doc! { "_id": 0, "host": format!("127.0.0.1:{port}") };
            let initiate = doc! { "replSetInitiate": { "_id": "test", "members": [member] } };
            eventually_async("the server takes its configuration", Duration::from_secs(30), async || {
                first.database("admin").run_command(initiate.clone()).await.ok()
            })
            .await;
        }
        eventually_async("the server takes its first user", Duration::from_secs(30), async || {
            let (user, password) = ADMIN.split_once(':')?;
            let create = doc! { "createUser": user, "pwd": password, "roles": ["root"] };
            first.database("admin").run_command(create).await.ok()
        })
        .await;
        let admin = Client::with_uri_str(server.uri(ADMIN)).await.unwrap();
        for (user, role) in [("writer", "readWrite"), ("reader", "read")] {
            let create = doc! { "createUser": user, "pwd": PASSWORD, "roles": [{ "role": role, "db": DATABASE }] };
            admin.database("admin").run_command(create).await.unwrap();
        }
        server
    }

    /// A connection string for who may do everything in the database.
    pub fn writer(&self) -> String {
        self.uri(&format!("writer:{PASSWORD_IN_URI}"))
    }

    /// A connection string for who may only read.
    pub fn reader(&self) -> String {
        self.uri(&format!("reader:{PASSWORD_IN_URI}"))
    }

    /// A connection string for who may do everything.
    pub fn admin(&self) -> String {
        self.uri(ADMIN)
    }

    /// A connection string for a new user with a role of its own, given as the server's command `createRole`.
    pub async fn user(&self, role: Document) -> String {
        let admin = Client::with_uri_str(self.uri(ADMIN)).await.unwrap().database("admin");
        let name = role.get_str("createRole").unwrap().to_owned();
        admin.run_command(role).await.unwrap();
        admin.run_command(doc! { "createUser": &name, "pwd": PASSWORD, "roles": [&name] }).await.unwrap();
        self.uri(&format!("{name}:{PASSWORD_IN_URI}"))
    }

    /// A connection string for `name:password`.
    pub fn uri(&self, user: &str) -> String {
        format!("mongodb://{user}@127.0.0.1:{}/{DATABASE}?authSource=admin", self.port)
    }

    /// Everything that is stored in the database, as text.
    pub async fn contents(&self) -> String {
        let database = Client::with_uri_str(self.writer()).await.unwrap().database(DATABASE);
        let mut contents = String::new();
        let mut names = database.list_collection_names().await.unwrap();
        names.sort();
        for name in names {
            let mut cursor = database.collection::<Document>(&name).find(doc! {}).await.unwrap();
            while cursor.advance().await.unwrap() {
                contents.push_str(&cursor.deserialize_current().unwrap().to_string());
                contents.push('\n');
            }
        }
        contents
    }

    /// The same with the names of all collections and of their indexes: what there is at all.
    pub async fn dump(&self) -> String {
        let database = Client::with_uri_str(self.writer()).await.unwrap().database(DATABASE);
        let mut names = database.list_collection_names().await.unwrap();
        names.sort();
        let mut dump = Vec::new();
        for name in names {
            let mut indexes = database.collection::<Document>(&name).list_index_names().await.unwrap();
            indexes.sort();
            dump.push(format!("{name}: {}\n", indexes.join(", ")));
        }
        dump.concat() + &self.contents().await
    }

    /// Holds the server still: connections stay open, and nothing is answered.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Shuts the server down as an administrator does: it says good-bye.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.process.wait().unwrap();
    }

    /// Kills the server; what it has confirmed stays in its files.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts the server again where it was.
    pub fn start_again(&mut self) {
        self.process = serve(&self.directory, self.port, self.replicates);
    }

    /// Starts the killed server where only who is told the address finds it.
    pub fn start_elsewhere(&mut self) -> Elsewhere<'_> {
        let home = std::mem::replace(&mut self.port, free_port());
        self.start_again();
        Elsewhere { server: self, home }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// See [`Server::start_elsewhere`]; when it is dropped, the server is killed and has its old address again.
pub struct Elsewhere<'a> {
    server: &'a mut Server,
    home: u16,
}

impl std::ops::Deref for Elsewhere<'_> {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.server
    }
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        self.server.kill();
        self.server.port = self.home;
    }
}

fn serve(directory: &TempDir, port: u16, replicates: bool) -> Child {
    let mut command = Command::new(mongod());
    if replicates {
        command.args(["--replSet", "test", "--oplogSize", "64", "--keyFile"]).arg(directory.path().join(KEY_FILE));
    }
    command
        .args(["--auth", "--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--quiet"])
        .arg("--dbpath")
        .arg(directory.path())
        .arg("--port")
        .arg(port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
