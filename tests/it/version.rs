//! Which build this is: what the binary says of itself and records, and what `build.rs` finds out, in packages of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::scene::Scene;

/// A whole hash, as build systems pass it.
const HASH: &str = "3f2a9c1d0b5e4f60718293a4b5c6d7e8f9012345";

/// A package as small as can be with the `build.rs` of this one, which prints what it was told.
struct Package {
    directory: PathBuf,
    targets: TempDir,
}

impl Package {
    fn at(directory: PathBuf) -> Self {
        let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
        fs::create_dir_all(directory.join("src")).unwrap();
        fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/build.rs"), directory.join("build.rs")).unwrap();
        write("Cargo.toml", "[package]\nname = \"small\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[workspace]\n");
        write("Cargo.lock", "version = 4\n[[package]]\nname = \"small\"\nversion = \"1.0.0\"\n");
        let main = "fn main() { println!(\"{}\", option_env!(\"STOPOVER_BUILD_REVISION\").unwrap_or(\"unknown\")); }\n";
        write("src/main.rs", main);
        write("README.md", "of no matter for the binary\n");
        Self::existing(directory)
    }

    fn existing(directory: PathBuf) -> Self {
        Self { directory, targets: TempDir::new().unwrap() }
    }

    fn cargo(&self, arguments: &[&str], revision: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["CARGO_", "GIT_", "STOPOVER_", "NEXTEST"].iter().any(|prefix| name.starts_with(prefix))
                && name != "CARGO_HOME"
            {
                command.env_remove(name);
            }
        }
        if let Some(revision) = revision {
            command.env("STOPOVER_REVISION", revision);
        }
        command
            .args(arguments)
            .args(["--offline", "--locked"])
            .env("CARGO_TARGET_DIR", self.targets.path())
            .current_dir(&self.directory)
            .output()
            .unwrap()
    }

    /// What a build says; a build for release unless it is said otherwise.
    #[track_caller]
    fn says(&self, arguments: &[&str], revision: Option<&str>) -> String {
        let output = self.cargo(&[&["run"], arguments].concat(), revision);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[track_caller]
    fn released(&self) -> String {
        self.says(&["--release"], None)
    }

    /// Whether a build has anything to do.
    #[track_caller]
    fn is_fresh(&self, arguments: &[&str]) -> bool {
        let output = self.cargo(&[&["build", "-v"], arguments].concat(), None);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        assert!(told.contains("Fresh small") || told.contains("Running "), "{told}");
        told.contains("Fresh small")
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.directory.join(file), text).unwrap();
    }

    /// Commits everything, and answers the revision.
    #[track_caller]
    fn commit(&self) -> String {
        git(&self.directory, &["add", "-A"]);
        git(&self.directory, &["commit", "-q", "--allow-empty", "-m", "a change"]);
        git(&self.directory, &["rev-parse", "--short=12", "HEAD"])
    }
}

#[track_caller]
fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is missing: apt-get install git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A package in a repository of its own, with one commit, and that revision.
fn repository(inside: &TempDir) -> (Package, String) {
    let package = Package::at(inside.path().join("house"));
    git(&package.directory, &["init", "-q", "-b", "main"]);
    let first = package.commit();
    (package, first)
}

#[test]
fn the_version_is_one_line_with_the_revision_and_every_run_records_both() {
    let scene = Scene::new().script("20260101_good", "exit 0");
    let said = scene.must(&["--version"]);
    let build = said.strip_prefix(concat!("stopover ", env!("CARGO_PKG_VERSION"), " (")).unwrap();
    let revision = build.strip_suffix(")\n").unwrap();
    assert!(!revision.is_empty() && !revision.contains(['(', ')', '\n']), "{said}");

    scene.must(&["run", "20260101_good", "--wait"]);
    let run = scene.run("20260101_good");
    assert_eq!(run["version"], env!("CARGO_PKG_VERSION"));
    // One that nobody knows is not recorded.
    let recorded = run["revision"].as_str().unwrap_or("unknown revision");
    assert_eq!(recorded, revision);
    let whole = format!("stopover {}", stopover::place::Place::current().build());
    let shown = scene.must(&["show", "20260101_good"]);
    assert!(shown.contains(&format!("  where        pod-a, {whole}\n")), "{shown}");
    let doctor = scene.command(&["doctor"]).env("STOPOVER_IMAGE", "payments:7f3a").output().unwrap();
    let told = String::from_utf8(doctor.stdout).unwrap();
    let expected = format!("{}, image payments:7f3a", whole.trim_start_matches("stopover "));
    assert!(told.lines().any(|line| line.starts_with("ok") && line.ends_with(&expected)), "{told}");
}

#[test]
fn sources_without_git_build_and_do_not_know_their_revision() {
    let directory = TempDir::new().unwrap();
    assert_eq!(Package::at(directory.path().join("house")).released(), "unknown");
}

#[test]
fn sources_that_lie_in_somebody_elses_repository_do_not_take_its_revision() {
    let directory = TempDir::new().unwrap();
    let (theirs, _) = repository(&directory);
    assert_eq!(Package::at(theirs.directory.join("vendored")).released(), "unknown");
}

#[test]
fn whoever_builds_may_name_the_revision_and_a_whole_hash_is_shortened() {
    let directory = TempDir::new().unwrap();
    let package = Package::at(directory.path().join("house"));
    assert_eq!(package.says(&[], Some(HASH)), "3f2a9c1d0b5e");
    assert_eq!(package.says(&[], Some("v1.2-3-g3f2a9c1-dirty\n")), "v1.2-3-g3f2a9c1-dirty");
    assert_eq!(package.says(&[], Some("")), "unknown");
    for wrong in ["a b", "a\ncargo::rustc-env=X=y", "$(id)", &"a".repeat(65)] {
        let refused = package.cargo(&["build"], Some(wrong));
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains("pass what `git rev-parse HEAD` prints"), "{wrong}: {told}");
    }
}

#[test]
fn a_release_follows_every_commit_and_marks_sources_that_differ_from_it() {
    let directory = TempDir::new().unwrap();
    let (package, first) = repository(&directory);
    assert_eq!(package.released(), first);
    assert!(package.is_fresh(&["--release"]));
    package.write("README.md", "changed");
    assert!(package.is_fresh(&["--release"]), "what is not compiled is of no matter");
    let second = package.commit();
    assert_ne!(first, second);
    assert_eq!(package.released(), second);
    package.write("src/lib.rs", "");
    assert_eq!(package.released(), format!("{second}-dirty"), "also where git does not know the file yet");
    assert_eq!(package.commit(), package.released());
    git(&package.directory, &["checkout", "-q", "--detach", &second]);
    assert_eq!(package.released(), second);
}

#[test]
fn a_release_from_a_linked_work_tree_follows_commits_also_where_branches_are_packed() {
    let directory = TempDir::new().unwrap();
    let (main, first) = repository(&directory);
    let linked = directory.path().join("linked");
    git(&main.directory, &["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    git(&main.directory, &["pack-refs", "--all"]);
    let package = Package::existing(linked);
    assert_eq!(package.released(), first);
    assert!(package.is_fresh(&["--release"]));
    main.commit();
    assert!(package.is_fresh(&["--release"]), "a commit elsewhere is of no matter");
    assert_eq!(package.commit(), package.released());
    assert!(package.is_fresh(&["--release"]));
}

#[test]
fn a_release_follows_commits_where_git_keeps_no_log_of_them() {
    let directory = TempDir::new().unwrap();
    let (package, _) = repository(&directory);
    git(&package.directory, &["config", "core.logAllRefUpdates", "false"]);
    fs::remove_dir_all(package.directory.join(".git/logs")).unwrap();
    git(&package.directory, &["pack-refs", "--all"]);
    package.released();
    assert!(package.is_fresh(&["--release"]));
    assert_eq!(package.commit(), package.released());
}

#[test]
fn a_build_for_development_is_not_repeated_for_a_commit_of_what_it_is_built_of() {
    let directory = TempDir::new().unwrap();
    let (package, first) = repository(&directory);
    package.write("src/lib.rs", "");
    assert_eq!(package.says(&[], None), format!("{first}-dirty"));
    let second = package.commit();
    assert!(package.is_fresh(&[]));
    package.write("src/lib.rs", "//! Changed.\n");
    assert_eq!(package.says(&[], None), format!("{second}-dirty"));
}
