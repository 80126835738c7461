//! A keeper's claim to its pod: the file by which the mirror, probes and a second keeper find it.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::config::StateDir;
use crate::pod;
use crate::process::ProcessIdentity;

/// Why the post is not taken.
#[derive(Debug)]
pub enum PostError {
    /// A keeper that lives has it.
    Occupied {
        /// Its pid.
        pid: i32,
        /// Where it says so.
        file: PathBuf,
    },
    /// The file cannot be written.
    Io(io::Error),
}

/// A post that is taken.
pub struct Post {
    state: StateDir,
    keeper: ProcessIdentity,
}

impl Post {
    /// Takes the post, unless somebody who lives has it: what a keeper left that was killed counts for nothing.
    ///
    /// # Errors
    /// See [`PostError`].
    pub fn take(state: &StateDir, keeper: ProcessIdentity) -> Result<Self, PostError> {
        let file = state.keeper_pid();
        if let Some(other) = pod::keeper(state).filter(|&other| other != keeper) {
            return Err(PostError::Occupied { pid: other.pid, file });
        }
        pod::write(&file, &keeper).map_err(PostError::Io)?;
        Ok(Self { state: state.clone(), keeper })
    }

    /// Gives it up.
    pub fn leave(self) {
        if pod::keeper(&self.state) == Some(self.keeper) {
            // Whatever stays names a process that is gone, and is ignored.
            let _ = fs::remove_file(self.state.shutdown());
            let _ = fs::remove_file(self.state.keeper_pid());
        }
    }
}
