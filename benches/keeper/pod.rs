//! A pod: a process namespace with a catalog of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const STOPOVER: &str = env!("CARGO_BIN_EXE_stopover");
const POLITE: &str = "#!/bin/sh\ntrap 'exit 75' TERM\nwhile :; do sleep 0.02; done\n";

/// See the module. Everything in it ends with this value.
pub struct Pod {
    directory: TempDir,
    outer: Child,
    first: i32,
}

impl Pod {
    /// Idles in the keeper.
    pub fn keeper() -> Self {
        Self::of(&[STOPOVER, "keep"])
    }

    /// Idles in this.
    pub fn of(first: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("migrations")).expect("a folder");
        fs::write(directory.path().join("stopover.yaml"), "catalog:\n  - files: migrations/*\n").expect("a catalog");
        let mut outer = Command::new("unshare");
        outer.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).args(first);
        outer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let outer = with_variables(&mut outer, &directory).spawn().expect("unshare, and the right to use it");
        let parent = outer.id();
        let first = until("the first process", || {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
            let first = children.trim().parse().ok()?;
            fs::read_link(format!("/proc/{first}/exe")).is_ok_and(|exe| !exe.ends_with("unshare")).then_some(first)
        });
        let pod = Self { directory, outer, first };
        // What it does at its start is not measured.
        std::thread::sleep(Duration::from_millis(500));
        pod
    }

    /// The pid of PID 1, as this machine counts.
    pub fn first(&self) -> u32 {
        self.first.unsigned_abs()
    }

    fn exec(&self, program: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.to_string(), "--mount", "--pid"]).args(program);
        with_variables(&mut command, &self.directory);
        command
    }

    /// The exec probe, within the pod.
    pub fn probe(&self) -> Command {
        self.exec(&[STOPOVER, "doctor", "--probe=ready"])
    }

    fn states(&self) -> Vec<serde_json::Value> {
        let mut list = Command::new(STOPOVER);
        list.args(["list", "--json"]);
        let output = with_variables(&mut list, &self.directory).output().expect("the binary starts");
        let list: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("a list");
        list.into_iter().map(|migration| migration["state"].clone()).collect()
    }

    /// Launches so many migrations and waits until all of them are at work.
    pub fn launch(&self, count: usize) {
        for number in 0..count {
            let path = self.directory.path().join(format!("migrations/m{number}.sh"));
            fs::write(&path, POLITE).expect("a migration");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        for number in 0..count {
            let output = self.exec(&[STOPOVER, "run", &format!("m{number}")]).output().expect("nsenter is there");
            assert!(output.status.success(), "{output:?}");
        }
        until("all run", || self.states().iter().all(|state| state == "running").then_some(()));
        std::thread::sleep(Duration::from_millis(200));
    }

    /// Asks it to end and waits until it has.
    pub fn terminate(&mut self) {
        kill_process(Pid::from_raw(self.first).expect("a pid"), Signal::TERM).expect("it is there");
        let status = self.outer.wait().expect("it is our child");
        assert!(status.success(), "{status}");
    }

    /// How many migrations are interrupted.
    pub fn interrupted(&self) -> usize {
        self.states().iter().filter(|state| *state == "interrupted").count()
    }

    /// Makes so many orphans and waits until all have been born.
    pub fn orphan(&self, count: usize) {
        let script = format!("i=0; while [ $i -lt {count} ]; do ( : & ); i=$((i+1)); done");
        assert!(self.exec(&["sh", "-c", &script]).status().expect("nsenter is there").success());
    }

    /// How many of PID 1's children are dead and not reaped.
    pub fn zombies(&self) -> usize {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.first)).unwrap_or_default();
        let is_zombie =
            |pid: &&str| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
        children.split_whitespace().filter(is_zombie).count()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

fn with_variables<'c>(command: &'c mut Command, directory: &TempDir) -> &'c mut Command {
    let path = |name: &str| directory.path().join(name);
    command
        .env("STOPOVER_CATALOG", path("stopover.yaml"))
        .env("STOPOVER_STATE_DIR", path("state"))
        .env("STOPOVER_MIRROR", "off")
        .env_remove("MONGODB_URI")
        .env_remove("STOPOVER_LEDGER")
        .env_remove("STOPOVER_LISTEN")
}

fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
