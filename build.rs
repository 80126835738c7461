//! Tells the compiler which revision it compiles, so that `stopover --version` and the record of every run can say it.
//!
//! That is what `STOPOVER_REVISION` says (an image is built without `.git`), else what git says of this directory, else nobody knows.
//! Neither the time nor the machine goes in: the same sources make the same binary.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the binary is compiled from: where this differs from the revision, the revision alone would be a lie.
const SOURCES: [&str; 4] = ["src", "Cargo.toml", "Cargo.lock", "build.rs"];

/// So many digits of a revision's hash are enough for any repository.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-env-changed=STOPOVER_REVISION");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let given = std::env::var("STOPOVER_REVISION").unwrap_or_default();
    let revision = if given.trim().is_empty() { of_git() } else { named(given.trim()) };
    if let Some(revision) = revision {
        println!("cargo::rustc-env=STOPOVER_BUILD_REVISION={revision}");
    }
}

/// A revision that was named by whoever builds; a whole hash is shortened as git's own would be.
fn named(given: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-/".contains(c);
    if given.len() > 64 || !given.chars().all(is_plain) {
        println!(
            "cargo::error=STOPOVER_REVISION is {given:?}, which is no revision: pass what `git rev-parse HEAD` prints"
        );
        return None;
    }
    let is_hash = given.len() >= 40 && given.chars().all(|c| c.is_ascii_hexdigit());
    Some(if is_hash { given[..DIGITS].to_owned() } else { given.to_owned() })
}

/// The revision of the repository that this directory is the top of. One that it merely lies in is somebody else's.
fn of_git() -> Option<String> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let top = git(&root, &["rev-parse", "--show-toplevel"]).map(PathBuf::from);
    let is_ours = top.and_then(|top| top.canonicalize().ok()) == root.canonicalize().ok();
    let Some(revision) = git(&root, &["rev-parse", &format!("--short={DIGITS}"), "HEAD"]).filter(|_| is_ours) else {
        if root.join(".git").exists() {
            println!(
                "cargo::warning=git does not tell the revision, so this build does not know it; set STOPOVER_REVISION"
            );
        }
        return None;
    };
    // A build for development says the revision as of when its sources changed last. If it followed every commit, everything and all
    // tests would be compiled anew for each.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        follow_commits(&root);
    }
    let changes = git(&root, &[&["status", "--porcelain", "--"], &SOURCES[..]].concat());
    let mark = if changes.is_none_or(|changes| !changes.is_empty()) { "-dirty" } else { "" };
    Some(format!("{revision}{mark}"))
}

/// Has this run again when another revision is checked out or made. Only files that are there may be named: cargo takes one that is
/// missing for one that has changed, each time.
fn follow_commits(root: &Path) {
    let path = |name: &str| git(root, &["rev-parse", "--git-path", name]).map(|path| root.join(path));
    // Git writes each move of this work tree's HEAD into its log, wherever branches are kept; where it keeps none, a branch is a file, or
    // a line in the packed ones.
    let log = path("logs/HEAD").filter(|log| log.is_file());
    let branches = if log.is_some() { [log, None] } else { [path("refs"), path("packed-refs")] };
    for file in branches.into_iter().chain([path("HEAD")]).flatten().filter(|file| file.exists()) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
}

/// What git prints, if it is there and has something to say.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.arg("--no-optional-locks").args(arguments).current_dir(root);
    // A hook of git's that builds has these set, and they need not be about this directory.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
