//! Whether the kernel has killed here for lack of memory: a program that is killed cannot say why.

use std::fs;
use std::path::{Path, PathBuf};

use super::program::Exit;

/// What a shell makes of a child that SIGKILL has ended.
const STATUS_OF_KILLED: i32 = 128 + KILL;
const KILL: i32 = 9;

/// The kernel's count of such deaths in this process's cgroup, and what it was.
pub struct MemoryKills {
    counter: Option<PathBuf>,
    before: u64,
}

impl MemoryKills {
    /// Begins to watch. There is nothing to watch where the cgroup cannot be read.
    #[must_use]
    pub fn watch() -> Self {
        let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let counter = counters(&cgroups).into_iter().find(|counter| count(counter).is_some());
        let before = counter.as_deref().and_then(count).unwrap_or_default();
        Self { counter, before }
    }

    /// A sentence on why a program ended like this, if that was it.
    #[must_use]
    pub fn explain(&self, exit: &Exit) -> Option<&'static str> {
        let killed = matches!(exit, Exit::Signal(KILL) | Exit::Status(STATUS_OF_KILLED));
        let now = self.counter.as_deref().and_then(count)?;
        (killed && now > self.before).then_some(
            "the kernel killed a process of this container for lack of memory while the program ran: raise the container's memory limit, or have the program hold less at a time",
        )
    }
}

/// Where the count may be, by what `/proc/self/cgroup` says: in version 2 of cgroups or in version 1, and, as a container sees it, at the root.
fn counters(cgroups: &str) -> Vec<PathBuf> {
    let mut counters = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => (Path::new("/sys/fs/cgroup"), "memory.events"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (Path::new("/sys/fs/cgroup/memory"), "memory.oom_control")
            }
            _ => continue,
        };
        counters.push(root.join(path.trim_start_matches('/')).join(file));
        counters.push(root.join(file));
    }
    counters
}

fn count(counter: &Path) -> Option<u64> {
    let text = fs::read_to_string(counter).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_both_versions_of_cgroups() {
        let found = |text: &str| counters(text).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            found("0::/kubepods/pod1\n"),
            ["/sys/fs/cgroup/kubepods/pod1/memory.events", "/sys/fs/cgroup/memory.events"]
        );
        assert_eq!(
            found("5:cpu,cpuacct:/a\n4:memory:/a/b\n"),
            ["/sys/fs/cgroup/memory/a/b/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control"]
        );
        assert_eq!(found("nonsense"), [""; 0]);
    }
}
