//! A state directory, a catalog and a ledger of a given size.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, types::Value};
use stopover::catalog::MigrationId;
use stopover::ledger::{LedgerAddress, LedgerReader, RunQuery, Standing, open_reader};
use tempfile::TempDir;

/// The release binary under measure.
pub const STOPOVER: &str = env!("CARGO_BIN_EXE_stopover");

/// A catalog and a state directory of their own.
pub struct Scene {
    directory: TempDir,
}

impl Scene {
    /// A catalog of `migrations` manifests, each of which runs `true`, and one for each `(name, shell script)` of `extra`.
    pub fn new(migrations: usize, extra: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let folder = directory.path().join("migrations");
        fs::create_dir(&folder).expect("a folder for migrations");
        fs::write(directory.path().join("stopover.yaml"), "catalog:\n  - files: migrations/*.yaml\n")
            .expect("a catalog");
        for number in 0..migrations {
            // All alike, so that a copied run's checksum is right for each of them.
            let manifest = "description: Give every old charge its sender\nowner: payments\ncommand: ['true']\n";
            fs::write(folder.join(format!("{}.yaml", name(number))), manifest).expect("a manifest");
        }
        for (name, script) in extra {
            let mut manifest = "command:\n".to_owned();
            for word in ["sh", "-c", script] {
                writeln!(manifest, "  - {}", serde_json::to_string(word).expect("text")).expect("a string takes it");
            }
            fs::write(folder.join(format!("{name}.yaml")), manifest).expect("a manifest");
        }
        Self { directory }
    }

    /// The directory of it all.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The variables that make a Stopover work on this scene and nothing else.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("STOPOVER_CATALOG", self.path().join("stopover.yaml").display().to_string()),
            ("STOPOVER_STATE_DIR", self.state().display().to_string()),
            ("STOPOVER_MIRROR", "off".to_owned()),
            ("STOPOVER_OPERATOR", "bench".to_owned()),
        ]
    }

    /// The binary, told of this scene.
    pub fn stopover(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(STOPOVER);
        command.args(arguments).envs(self.variables()).env_remove("MONGODB_URI").env_remove("STOPOVER_LEDGER");
        command
    }

    /// Runs a command of the binary that must succeed, and returns what it prints.
    pub fn must(&self, arguments: &[&str]) -> String {
        let output = self.stopover(arguments).output().expect("the binary starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Fills the embedded ledger: `runs` finished runs spread over the first `migrations` migrations, as copies of one real run.
    pub fn fill(&self, migrations: usize, runs: usize) {
        self.must(&["run", &name(0), "--wait"]);
        let mut connection = Connection::open(self.state().join("ledger.db")).expect("the ledger is there");
        let columns: Vec<String> = connection
            .prepare("SELECT name FROM pragma_table_info('runs')")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .expect("the runs table");
        let template: Vec<Value> = connection
            .query_row("SELECT * FROM runs", [], |row| (0..columns.len()).map(|index| row.get(index)).collect())
            .expect("one run");
        let id = template
            .iter()
            .find_map(|value| match value {
                Value::Text(text) if text.len() == 36 => Some(text.clone()),
                _ => None,
            })
            .expect("the run's id");
        let transaction = connection.transaction().expect("nobody else is there");
        {
            let marks = vec!["?"; columns.len()].join(",");
            let mut insert =
                transaction.prepare(&format!("INSERT INTO runs VALUES ({marks})")).expect("the runs table");
            for number in 1..runs {
                let fresh = uuid::Uuid::now_v7().to_string();
                let reversed: String = fresh.replace('-', "").chars().rev().collect();
                let migration = name(number % migrations);
                // The copies are a day old: nobody looks at them as news.
                let row = template.iter().zip(&columns).map(|(value, column)| match value {
                    Value::Integer(at) if column == "created_at" || column == "updated_at" => {
                        Value::Integer(at - 86_400_000)
                    }
                    Value::Text(_) if column == "reversed" => Value::Text(reversed.clone()),
                    Value::Text(text) => Value::Text(text.replace(&id, &fresh).replace(&name(0), &migration)),
                    other => other.clone(),
                });
                insert.execute(rusqlite::params_from_iter(row)).expect("a copy");
            }
        }
        transaction.commit().expect("the copies");
    }
}

/// An eye on a scene's ledger that is quicker than a process.
pub struct Eye {
    runtime: tokio::runtime::Runtime,
    ledger: Arc<dyn LedgerReader>,
}

impl Eye {
    /// Opens the ledger for reading.
    pub fn on(scene: &Scene) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let address = LedgerAddress::Sqlite(scene.state().join("ledger.db"));
        let ledger = runtime.block_on(open_reader(&address)).expect("the ledger is there");
        Self { runtime, ledger }
    }

    /// Looks every millisecond until the latest run of a migration is running.
    pub fn until_running(&self, migration: &str) {
        let query = RunQuery { migration: Some(MigrationId::new(migration).expect("a name")), limit: Some(1) };
        let deadline = Instant::now() + Duration::from_secs(30);
        self.runtime.block_on(async {
            loop {
                let seen = self.ledger.runs(query.clone()).await.expect("the ledger is there");
                if seen.value.first().is_some_and(|run| run.standing(seen.now) == Standing::Running) {
                    return;
                }
                assert!(Instant::now() < deadline, "{migration} never ran");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
}

/// The name of migration `number`.
pub fn name(number: usize) -> String {
    format!("20260101_{number:05}_backfill")
}
