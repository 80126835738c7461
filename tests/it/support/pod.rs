//! A pod: namespaces of a test's own with a real keeper in them. What another test runs is out of its sight, and the other way round.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{PipeWriter, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;
use super::scene::{Ended, PATIENCE, STOPOVER, Scene};

/// What the first process of a pod is.
enum Kind {
    /// A process namespace, in which the first process is PID 1.
    OfItsOwn,
    /// PID 1 is another, outside: the processes are those of the machine.
    Shared,
}

/// See the module. Dropping it ends every process in it.
pub struct Pod<'a> {
    scene: &'a Scene,
    kind: Kind,
    /// `unshare`, or the first process itself.
    outer: Child,
    /// As this machine counts.
    first: i32,
    namespace: PathBuf,
    /// As long as it is held, no other pod is given the same number.
    _held: File,
    output: Arc<Mutex<Vec<u8>>>,
}

impl<'a> Pod<'a> {
    /// A pod whose PID 1 is `stopover keep` with these arguments.
    pub fn new(scene: &'a Scene, arguments: &[&str]) -> Self {
        let mut program = vec![STOPOVER, "keep"];
        program.extend(arguments);
        Self::of(scene, &program)
    }

    /// A pod with another PID 1.
    pub fn of(scene: &'a Scene, first: &[&str]) -> Self {
        Self::start(scene, Kind::OfItsOwn, first, None)
    }

    /// A pod whose PID 1 is `stopover keep` and writes to this pipe.
    pub fn writing_to(scene: &'a Scene, arguments: &[&str], output: PipeWriter) -> Self {
        let mut program = vec![STOPOVER, "keep"];
        program.extend(arguments);
        Self::start(scene, Kind::OfItsOwn, &program, Some(output))
    }

    /// A keeper that is not PID 1, in a container that shares its processes with others.
    pub fn shared(scene: &'a Scene, arguments: &[&str]) -> Self {
        let mut program = vec![STOPOVER, "keep"];
        program.extend(arguments);
        Self::start(scene, Kind::Shared, &program, None)
    }

    fn start(scene: &'a Scene, kind: Kind, first: &[&str], stdout: Option<PipeWriter>) -> Self {
        let options: &[&str] = match kind {
            Kind::OfItsOwn => &["--pid", "--fork", "--mount-proc", "--kill-child"],
            Kind::Shared => &["--mount"],
        };
        let mut command = Command::new("unshare");
        // Whoever is not root is given a namespace in which they are.
        command.args(if is_root() { &[][..] } else { &["--user", "--map-root-user"] });
        command.args(options).args(first).env_clear().envs(scene.environment()).current_dir(scene.path());
        let (mut reader, writer) = std::io::pipe().unwrap();
        let stdout = stdout.unwrap_or_else(|| writer.try_clone().unwrap());
        command.stdin(Stdio::null()).stdout(stdout).stderr(writer);
        let mut outer = command.spawn().expect("`unshare` is needed: apt-get install util-linux");
        drop(command);
        let output = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&output);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                heard.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        let pid = i32::try_from(outer.id()).unwrap();
        let own = namespace_of(std::process::id().try_into().unwrap());
        let first = eventually("the pod's first process", PATIENCE, || {
            let ended = outer.try_wait().unwrap();
            let said = || String::from_utf8_lossy(&output.lock().unwrap()).into_owned();
            assert!(
                ended.is_none(),
                "no namespaces: run the tests as root with CAP_SYS_ADMIN, or where `unshare --user` is allowed: {}",
                said()
            );
            let first = match kind {
                Kind::OfItsOwn => children_of(pid).first().copied()?,
                Kind::Shared => pid,
            };
            // It has become what it is to be once it is no longer `unshare`.
            let is_there = fs::read_link(format!("/proc/{first}/exe")).is_ok_and(|exe| !exe.ends_with("unshare"));
            (is_there && namespace_of(first)? != own.clone()?).then_some(first)
        });
        let held = File::open(format!("/proc/{first}/ns/mnt")).unwrap();
        Self { scene, kind, outer, first, namespace: namespace_of(first).unwrap(), _held: held, output }
    }

    /// Waits until the keeper hears signals.
    #[track_caller]
    pub fn ready(self) -> Self {
        self.says("it reaps what is orphaned");
        self
    }

    /// A command in this pod, as `kubectl exec` starts it.
    pub fn exec(&self, program: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(self.entrance()).args(program).env_clear().envs(self.scene.environment());
        command.current_dir(self.scene.path()).stdin(Stdio::null());
        command
    }

    /// The arguments of `nsenter` that lead into it.
    pub fn entrance(&self) -> Vec<String> {
        self.entrance_through(self.first)
    }

    /// The same by another process that lives there, where the first is gone.
    pub fn entrance_through(&self, pid: i32) -> Vec<String> {
        let mut arguments = vec!["--target".to_owned(), pid.to_string(), "--mount".to_owned()];
        arguments.extend(matches!(self.kind, Kind::OfItsOwn).then(|| "--pid".to_owned()));
        if !is_root() {
            arguments.extend(["--user", "--preserve-credentials"].map(ToOwned::to_owned));
        }
        arguments
    }

    /// Runs a command of the binary in this pod to its end.
    pub fn stopover(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.exec(&[&[STOPOVER], arguments].concat()).output().unwrap())
    }

    /// Launches a migration in this pod and returns the run's id.
    #[track_caller]
    pub fn launch(&self, arguments: &[&str]) -> String {
        let ended = self.stopover(&[&["run"], arguments].concat());
        assert_eq!(ended.status, 0, "{ended:?}");
        ended.stdout.lines().next().unwrap().to_owned()
    }

    /// Sends the keeper a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.first).unwrap(), signal).unwrap();
    }

    /// Sends a signal to a process of this pod, by the pid that it has there.
    #[track_caller]
    pub fn signal_within(&self, pid: i64, signal: &str) {
        let status = self.exec(&["sh", "-c", &format!("kill -{signal} {pid}")]).status().unwrap();
        assert!(status.success());
    }

    /// The keeper's pid, as this machine counts.
    pub fn keeper(&self) -> i32 {
        self.first
    }

    /// All that the first process and what shares its output has said.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// Waits until it has been said.
    #[track_caller]
    pub fn says(&self, text: &str) {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(text, PATIENCE, || self.output().contains(text).then_some(()));
        }));
        assert!(found.is_ok(), "never said {text:?}:\n{}", self.output());
    }

    /// Waits until the first process has ended.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        eventually("the pod has ended", 2 * PATIENCE, || self.outer.try_wait().unwrap())
    }

    /// Asks the keeper to end, and waits until it has; it must say that all is well.
    #[track_caller]
    pub fn shut_down(&mut self) {
        self.signal(Signal::TERM);
        let status = self.ends();
        assert!(status.success(), "{status}:\n{}", self.output());
    }

    /// Everything that lives in this pod, zombies aside, as this machine counts.
    pub fn processes(&self) -> BTreeSet<i32> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|&pid| namespace_of(pid).is_some_and(|namespace| namespace == self.namespace)).collect()
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        // What is forked meanwhile is found in the next round.
        for _ in 0..50 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
            }
            let _ = self.outer.try_wait();
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn namespace_of(pid: i32) -> Option<PathBuf> {
    fs::read_link(Path::new("/proc").join(pid.to_string()).join("ns/mnt")).ok()
}

fn children_of(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
