//! What can be run: real directories with real files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use stopover::catalog::{Broken, Catalog, Entry, Migration, MigrationId, Problem, Work};
use tempfile::TempDir;

/// A directory to fill with a catalog.
struct House(TempDir);

const MANIFESTS: &str = "catalog: [{ files: 'migrations/*.yaml' }]\n";

impl House {
    fn new(project: &str) -> Self {
        let house = Self(TempDir::new().unwrap());
        house.file("stopover.yaml", project);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn program(&self, name: &str, content: &str) -> &Self {
        self.file(name, content);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn load(&self) -> Catalog {
        Catalog::load(&self.path("stopover.yaml"))
    }
}

fn id(name: &str) -> MigrationId {
    MigrationId::new(name).unwrap()
}

#[track_caller]
fn ready<'c>(catalog: &'c Catalog, name: &str) -> &'c Migration {
    match catalog.entry(&id(name)) {
        Some(Entry::Ready(migration)) => migration,
        other => panic!("{name} is not ready: {other:?}; the catalog says {:?}", catalog.problems),
    }
}

#[track_caller]
fn broken<'c>(catalog: &'c Catalog, name: &str) -> &'c Broken {
    match catalog.entry(&id(name)) {
        Some(Entry::Broken(broken)) => broken,
        other => panic!("{name} is not broken: {other:?}"),
    }
}

/// The only problem of a broken migration.
#[track_caller]
fn problem<'c>(catalog: &'c Catalog, name: &str) -> &'c Problem {
    let [problem] = &broken(catalog, name).problems[..] else {
        panic!("not one problem: {:#?}", broken(catalog, name).problems);
    };
    problem
}

#[test]
fn a_manifest_an_executable_and_an_adopted_file_are_each_found_and_bound_to_their_directory() {
    let house = House::new(
        "catalog:
  - files: migrations/*.yaml
  - files: migrations/*.sh
  - files: legacy/*.js
    command: [node, legacy/migration.js, '{name}', '{rerun}']
lease: 1m
grace: 20s
",
    );
    house.file("migrations/20261102_phones.yaml", "command: [python3, phones.py, --all]\n");
    house.file("migrations/phones.py", "print(1)\n");
    house.program("migrations/20261101_charges.sh", "#!/bin/sh\necho hi\n");
    house.file("legacy/20261103_senders.js", "module.exports = {}\n");
    house.file("legacy/migration.js", "console.log(1)\n");
    let catalog = house.load();
    assert_eq!(catalog.problems, []);
    let ids: Vec<_> = catalog.entries.iter().map(|entry| entry.id().as_str()).collect();
    assert_eq!(ids, ["20261101_charges", "20261102_phones", "20261103_senders"]);

    let rendered = |name: &str| {
        let Work::Executable(template) = &ready(&catalog, name).work;
        (template.render(&id(name), true), template.directory.clone())
    };
    let shell = house.path("migrations/20261101_charges.sh").to_string_lossy().into_owned();
    assert_eq!(rendered("20261101_charges"), (vec![shell], house.path("migrations")));
    let words = ["python3", "phones.py", "--all"].map(String::from).to_vec();
    assert_eq!(rendered("20261102_phones"), (words, house.path("migrations")));
    let words = ["node", "legacy/migration.js", "20261103_senders", "true"].map(String::from).to_vec();
    assert_eq!(rendered("20261103_senders"), (words, house.path(".").join("").components().collect::<PathBuf>()));
    assert_eq!(ready(&catalog, "20261103_senders").file, Path::new("legacy/20261103_senders.js"));
}

#[test]
fn a_broken_migration_is_shown_with_place_text_and_remedy_and_hides_no_other() {
    let house = House::new(MANIFESTS);
    house.file("migrations/a.yaml", "description: fine\ncommand: ['true']\n");
    house.file("migrations/b.yaml", "command: ['true']\nrequire: [a]\n");
    let catalog = house.load();
    ready(&catalog, "a");
    let problem = problem(&catalog, "b");
    assert_eq!((problem.file.as_path(), problem.position), (Path::new("migrations/b.yaml"), Some((2, 1))));
    assert_eq!(problem.text.as_deref(), Some("require: [a]"));
    assert_eq!(problem.message, "unknown key `require` in a manifest");
    assert!(
        problem.remedy.starts_with("did you mean `requires`? known keys are `description`, "),
        "{}",
        problem.remedy
    );
}
