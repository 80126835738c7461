//! `stopover list` against `migrate-mongo status`, on the same server, both with everything applied.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mongodb::bson::{Document, doc};

use crate::measure::{median, show, whole_process};
use crate::scene::{Scene, name};

const ROUNDS: usize = 7;

/// Prints the table.
pub fn run() {
    let uri = dev_mongo();
    let peer = install_peer();
    println!("\nlist: every migration applied, one MongoDB, median of {ROUNDS}, interleaved");
    for migrations in [1_000, 5_000] {
        compare(&uri, &peer, migrations);
    }
}

fn compare(uri: &str, peer: &Path, migrations: usize) {
    let scene = Scene::new(migrations, &[]);
    let database = format!("bench_list_{migrations}_{}", std::process::id());
    let address = with_database(uri, &database);
    let stopover = |arguments: &[&str]| {
        let mut command = scene.stopover(arguments);
        command.env("MONGODB_URI", &address);
        command
    };
    assert!(stopover(&["init", "--environment", "bench"]).output().expect("the binary starts").status.success());
    assert!(stopover(&["run", &name(0), "--wait"]).output().expect("the binary starts").status.success());

    let project = tempfile::tempdir_in(peer).expect("a folder beside node_modules");
    let folder = project.path().join("migrations");
    fs::create_dir(&folder).expect("a folder");
    let files: Vec<String> = (0..migrations).map(|number| format!("{}.js", name(number))).collect();
    for file in &files {
        fs::write(folder.join(file), "module.exports = { async up(db) {}, async down(db) {} };\n")
            .expect("a migration");
    }
    let config = format!(
        "module.exports = {{ mongodb: {{ url: {uri:?}, databaseName: {database:?} }}, migrationsDir: 'migrations', changelogCollectionName: 'changelog', lockCollectionName: 'lock', lockTtl: 0, migrationFileExtension: '.js', useFileHash: false, moduleSystem: 'commonjs' }};\n"
    );
    fs::write(project.path().join("migrate-mongo-config.js"), config).expect("a configuration");
    block_on(fill(uri, &database, &files));

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(whole_process(&mut stopover(&["list"])));
        theirs.push(whole_process(
            Command::new("node")
                .arg(peer.join("node_modules/migrate-mongo/bin/migrate-mongo.js"))
                .arg("status")
                .current_dir(project.path()),
        ));
    }
    let split = |figures: Vec<(f64, f64)>| {
        let (times, peaks) = figures.into_iter().unzip();
        (median(times), median(peaks))
    };
    let ((our_time, our_peak), (their_time, their_peak)) = (split(ours), split(theirs));
    show(&format!("{migrations} migrations: stopover list"), &format!("{our_time:.0} ms   {our_peak:.0} MiB"));
    show(
        &format!("{migrations} migrations: migrate-mongo status"),
        &format!("{their_time:.0} ms   {their_peak:.0} MiB"),
    );
    show("times faster (aim: 10)", &format!("{:.1}", their_time / our_time));
    show("part of its memory (aim: 0.1)", &format!("{:.2}", our_peak / their_peak));
    block_on(async {
        let client = mongodb::Client::with_uri_str(uri).await.expect("the server is there");
        client.database(&database).drop().await.expect("our own database");
    });
}

/// Copies the one real run over all migrations, and fills the peer's changelog.
async fn fill(uri: &str, database: &str, files: &[String]) {
    let client = mongodb::Client::with_uri_str(uri).await.expect("the server is there");
    let runs = client.database(database).collection::<Document>("stopover_runs");
    let template = runs.find_one(doc! {}).await.expect("the server answers").expect("one run");
    let copies = (1..files.len()).map(|number| {
        let mut copy = template.clone();
        copy.insert("_id", uuid::Uuid::now_v7().to_string());
        copy.insert("migration", name(number));
        copy
    });
    runs.insert_many(copies).await.expect("the copies");
    let changelog = client.database(database).collection::<Document>("changelog");
    let applied = files.iter().map(|file| doc! { "fileName": file, "appliedAt": mongodb::bson::DateTime::now() });
    changelog.insert_many(applied).await.expect("the changelog");
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn with_database(uri: &str, database: &str) -> String {
    let (address, options) = uri.split_once('?').unwrap_or((uri, ""));
    let (scheme, hosts) = address.split_once("://").expect("a connection string");
    format!("{scheme}://{}/{database}?{options}", hosts.split('/').next().expect("hosts"))
}

/// The address of the checkout's own server, started if it is not there.
fn dev_mongo() -> String {
    let script = |verb: &str| {
        let output = Command::new("scripts/dev-mongo").arg(verb).output().expect("run from the checkout");
        assert!(output.status.success(), "scripts/dev-mongo {verb}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    script("start");
    script("uri").trim().to_owned()
}

/// The peer, from npm, in an ignored folder.
fn install_peer() -> PathBuf {
    let folder = std::env::current_dir().expect("the checkout").join(".dev/bench");
    fs::create_dir_all(&folder).expect("a folder");
    if !folder.join("node_modules/migrate-mongo").is_dir() {
        fs::write(folder.join("package.json"), "{ \"private\": true }\n").expect("a package");
        let status = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent", "migrate-mongo@14", "mongodb@6"])
            .current_dir(&folder)
            .status()
            .expect("npm is on the machine");
        assert!(status.success(), "npm could not install migrate-mongo");
    }
    folder
}
