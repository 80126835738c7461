//! Reading small text files of the catalog, without trusting that they are small, text or files.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::problem::{Problem, Source};

/// A manifest longer than this is none: nobody wrote it by hand.
pub(super) const LARGEST: u64 = 1024 * 1024;

/// Opens a regular file. A FIFO is opened without waiting for its writer, and then refused.
pub(super) fn open(path: &Path, shown: &Path) -> Result<(File, u64), Problem> {
    let unreadable = |error: std::io::Error| {
        let message = format!("the file cannot be read: {error}");
        Problem::of_file(shown, message, "make it a readable file, or delete it")
    };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file: File = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?.into();
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        let remedy = "replace it by a file, or narrow the pattern";
        return Err(Problem::of_file(shown, "this is not a regular file", remedy));
    }
    Ok((file, metadata.len()))
}

/// Reads a text file; `shown` is its name in problems.
pub(super) fn read_text(path: &Path, shown: &Path) -> Result<String, Problem> {
    let (file, length) = open(path, shown)?;
    // One byte more than it has, so that a single read finds its end.
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(LARGEST)).unwrap_or(0) + 1);
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| {
        let message = format!("the file cannot be read: {error}");
        Problem::of_file(shown, message, "make it a readable file, or delete it")
    })?;
    if bytes.len() as u64 > LARGEST {
        let remedy = "keep data in files of its own, which the command reads";
        return Err(Problem::of_file(shown, "the file is larger than 1 MiB", remedy));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        // The valid part is the same in both, so that its end is the place of the bad byte.
        let before = &text[..valid];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Source { file: shown, text: &text }.problem(
            (narrow(line), narrow(column)),
            "the file is not UTF-8",
            "save it as UTF-8",
        )
    })
}

/// A path without `.` and `..`, by its text alone: two names of one file compare equal as long as no symbolic link is between.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}
