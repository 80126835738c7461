//! Programs that ask for more memory than their container may have.

use std::path::Path;

use super::*;

const MIB: u64 = 1024 * 1024;

/// A memory cgroup of a test's own, of whichever version this machine has.
struct Cgroup(PathBuf);

impl Cgroup {
    #[track_caller]
    fn limited_to(bytes: u64) -> Self {
        let name = format!("stopover-test-{}-{bytes}", std::process::id());
        let old = Path::new("/sys/fs/cgroup/memory");
        let (root, limit) = if old.join("cgroup.procs").exists() {
            (old, "memory.limit_in_bytes")
        } else {
            let root = Path::new("/sys/fs/cgroup");
            // It may be on already.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
            (root, "memory.max")
        };
        let path = root.join(name);
        let made = fs::create_dir(&path).and_then(|()| fs::write(path.join(limit), bytes.to_string()));
        made.unwrap_or_else(|error| {
            panic!("{}: {error}; this test needs root and a memory cgroup that can be written to", path.display())
        });
        Self(path)
    }

    fn members(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last process may be about to leave it.
        eventually("the cgroup is empty", PATIENCE, || fs::remove_dir(&self.0).ok());
    }
}

/// The first attempt wants a GiB after some items; what it does before that is up to `first`.
fn greedy(first: &str) -> Case {
    let each = format!(
        "if [ \"$STOPOVER_ATTEMPT\" = 1 ] && [ \"$at\" = 20 ]; then {first}\n exec python3 -c 'x = b\"x\" * (1 << 30); print(len(x))'; fi"
    );
    Case::with(Scene::new(), "", &each)
}

/// How the first attempt ended, when the second has done the rest.
fn fails_and_is_resumed(case: &Case) -> Value {
    let run = case.scene.until(NAME, &["failed"]);
    assert_eq!(run["error"]["signal"], 9, "{run}");
    assert_eq!(run["done"], 20, "{run}");
    assert_eq!(case.resume_and_check()["attempt"], 2);
    run
}

#[test]
fn a_program_out_of_memory_is_killed_alone_and_its_run_has_failed() {
    let cgroup = Cgroup::limited_to(64 * MIB);
    let case = greedy(&format!("echo $$ >{};", cgroup.members().display()));
    case.scene.launch(&[NAME]);
    fails_and_is_resumed(&case);
}

#[test]
fn a_worker_in_the_same_cgroup_outlives_the_program_that_was_greedy() {
    let cgroup = Cgroup::limited_to(512 * MIB);
    let case = greedy("");
    let script = format!("echo $$ >{}; exec \"$0\" run {NAME}", cgroup.members().display());
    let mut launcher = Command::new("sh");
    launcher.args(["-c", &script, crate::support::scene::STOPOVER]).env_clear().envs(case.scene.environment());
    assert!(launcher.output().unwrap().status.success());
    let run = fails_and_is_resumed(&case);
    assert!(run["warnings"].to_string().contains("for lack of memory"), "{run}");
    assert!(case.log(&run).contains("for lack of memory"), "{}", case.log(&run));
    until_dead("the first worker", worker_of(&run));
}
