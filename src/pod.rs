//! What the processes of one pod tell each other by files in the state directory: which of them is the keeper, and whether the
//! pod is being shut down.
//!
//! Each file names the process that wrote it, and counts only while that process lives. So whatever a keeper leaves behind when it
//! is killed means nothing to anybody, and nothing has to be cleaned up.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::StateDir;
use crate::process::ProcessIdentity;
use crate::time::since_boot;

/// The keeper that lives in this pod, if there is one.
#[must_use]
pub fn keeper(state: &StateDir) -> Option<ProcessIdentity> {
    read::<ProcessIdentity>(&state.keeper_pid()).filter(|keeper| keeper.is_alive())
}

/// The pod's shutdown, as its keeper announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {
    /// Who announced it.
    keeper: ProcessIdentity,
    /// When workers that are left are killed: nanoseconds of the clock that counts from boot, which no clock's setting changes.
    deadline: u64,
}

impl Shutdown {
    /// Kept of the time that is left, for a worker to report its run's end.
    const RESERVE: Duration = Duration::from_secs(3);

    /// By `keeper`, with so much time left.
    #[must_use]
    pub fn new(keeper: ProcessIdentity, left: Duration) -> Self {
        Self { keeper, deadline: u64::try_from((since_boot() + left).as_nanos()).unwrap_or(u64::MAX) }
    }

    /// The shutdown that is under way, if one is. One announced by a keeper that is gone is none.
    #[must_use]
    pub fn under_way(state: &StateDir) -> Option<Self> {
        read::<Self>(&state.shutdown()).filter(|shutdown| shutdown.keeper.is_alive())
    }

    /// Makes it known to the pod.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&self, state: &StateDir) -> io::Result<()> {
        write(&state.shutdown(), self)
    }

    /// How long workers may still live.
    #[must_use]
    pub fn left(&self) -> Duration {
        Duration::from_nanos(self.deadline).saturating_sub(since_boot())
    }

    /// How long a program or steps may still take: what is left without what the worker needs itself.
    #[must_use]
    pub fn left_for_work(&self) -> Duration {
        let left = self.left();
        left.saturating_sub(Self::RESERVE.min(left / 3))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Replaces a file in one step: nobody ever reads half of it.
///
/// # Errors
/// What the system says; the file is as it was then.
pub fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    crate::private::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(&mut file, value)?;
    file.flush()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, StateDir) {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path().join("state"));
        (directory, state)
    }

    #[test]
    fn a_shutdown_counts_only_while_its_keeper_lives() {
        let (_directory, state) = state();
        assert_eq!(Shutdown::under_way(&state), None);
        let me = ProcessIdentity::current();
        let shutdown = Shutdown::new(me, Duration::from_secs(30));
        shutdown.announce(&state).unwrap();
        assert_eq!(Shutdown::under_way(&state), Some(shutdown));
        let gone = ProcessIdentity { start_ticks: me.start_ticks + 1, ..me };
        Shutdown::new(gone, Duration::from_secs(30)).announce(&state).unwrap();
        assert_eq!(Shutdown::under_way(&state), None);
    }

    #[test]
    fn a_worker_keeps_three_seconds_for_itself_or_a_third_of_less() {
        let me = ProcessIdentity::current();
        let for_work = |left| Shutdown::new(me, Duration::from_secs(left)).left_for_work().as_secs_f64().round();
        assert!((for_work(30) - 27.0).abs() < 0.1);
        assert!((for_work(3) - 2.0).abs() < 0.1);
        assert_eq!(Shutdown::new(me, Duration::ZERO).left_for_work(), Duration::ZERO);
    }

    #[test]
    fn a_file_that_is_not_understood_announces_nothing() {
        let (_directory, state) = state();
        write(&state.shutdown(), &"what?").unwrap();
        write(&state.keeper_pid(), &[1, 2]).unwrap();
        assert_eq!((Shutdown::under_way(&state), keeper(&state)), (None, None));
    }
}
