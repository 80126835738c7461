//! Files and directories that are their owner's alone: what Stopover keeps may hold what the database holds.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Creates a directory and those above it, as far as they are missing; the ones that exist stay as they are.
///
/// # Errors
/// As [`fs::create_dir_all`].
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates an empty file unless it exists; one that exists stays as it is.
///
/// # Errors
/// When it cannot be created.
pub fn create_file(path: &Path) -> io::Result<()> {
    if fs::exists(path)? {
        return Ok(());
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}
