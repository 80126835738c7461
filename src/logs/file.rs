//! Writing a run's log file. Nothing that happens to the file ever stops a run: what cannot be written is counted, and the log says so itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::private;
use crate::time::Timestamp;

use super::record::{Stream, push_prefix};

/// How often the file is looked after: whether it is still the one that its path names, and whether a broken one can be had again.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The log file of a run, open for one attempt.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    open: Option<Open>,
    next_check: Instant,
    /// Whether the file ends within a record.
    torn: bool,
    missing: Missing,
    extent: SharedExtent,
}

#[derive(Debug)]
struct Open {
    file: File,
    identity: (u64, u64),
}

/// What could not be written.
#[derive(Clone, Debug, Default)]
struct Missing {
    /// Bytes over the whole attempt.
    total: u64,
    /// Bytes that the log has not yet told of.
    untold: u64,
    reason: String,
}

/// Where the log of an attempt is within its file. A file that was deleted and made anew begins another part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Raised with every new file.
    pub part: u32,
    /// Where the part begins in the attempt's log, in bytes written since the attempt began.
    pub part_offset: u64,
    /// Where the part begins in the file.
    pub file_offset: u64,
    /// Bytes written since the attempt began.
    pub end: u64,
}

/// The extent as it grows, for the archive.
#[derive(Clone, Debug, Default)]
pub struct SharedExtent(Arc<Mutex<Extent>>);

impl SharedExtent {
    /// As it is now.
    #[must_use]
    pub fn get(&self) -> Extent {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Extent)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl LogFile {
    /// Opens the file to append to it, and makes it if need be. It need not succeed.
    #[must_use]
    pub fn open(path: PathBuf) -> Self {
        let mut log = Self {
            path,
            open: None,
            next_check: Instant::now(),
            torn: false,
            missing: Missing::default(),
            extent: SharedExtent::default(),
        };
        log.check();
        log
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the attempt's log is within the file.
    #[must_use]
    pub fn extent(&self) -> SharedExtent {
        self.extent.clone()
    }

    /// Appends whole records, or counts them as missing.
    pub fn append(&mut self, records: &[u8]) {
        self.look_after();
        if self.open.is_some() {
            self.tell_what_is_missing();
        }
        match self.write(records) {
            Ok(()) => {}
            Err((written, error)) => {
                let lost = (records.len() - written) as u64;
                self.torn |= written > 0;
                self.missing.total += lost;
                self.missing.untold += lost;
                self.missing.reason = error.to_string();
            }
        }
    }

    /// Looks after the file once a second: a deleted one is made again, a broken one opened again. To be called now and then.
    pub fn look_after(&mut self) {
        if Instant::now() >= self.next_check {
            self.check();
        }
    }

    /// Looks after the file at once: as far as is known nothing more is appended, and what is missing shall be told.
    pub fn conclude(&mut self) {
        self.check();
        self.tell_what_is_missing();
    }

    fn check(&mut self) {
        self.next_check = Instant::now() + CHECK_EVERY;
        let named = fs::metadata(&self.path).map(|file| (file.dev(), file.ino())).ok();
        if self.open.as_ref().is_some_and(|open| Some(open.identity) == named) {
            self.tell_what_is_missing();
            return;
        }
        match open(&self.path) {
            Ok((open, length)) => {
                let removed = self.open.replace(open).is_some();
                self.torn = false;
                self.extent.update(|extent| {
                    *extent =
                        Extent { part: extent.part + 1, part_offset: extent.end, file_offset: length, end: extent.end };
                });
                if removed {
                    self.tell("the log file was removed or replaced during the run: lines of the last seconds before this may be in no log");
                }
            }
            // An old file that is no longer named still takes what is written, but nobody would find it.
            Err(error) => {
                self.open = None;
                self.missing.reason = error.to_string();
            }
        }
    }

    /// What the operator should know, if something is missing or nothing can be written.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let Missing { total, reason, .. } = &self.missing;
        (*total > 0 || self.open.is_none()).then(|| {
            format!(
                "the log file {} cannot be written: {reason}; {total} bytes of the log are missing so far",
                self.path.display()
            )
        })
    }

    fn tell_what_is_missing(&mut self) {
        let Missing { untold, reason, .. } = &self.missing;
        if *untold > 0 && self.tell(&format!("{untold} bytes of the log are missing here: {reason}")) {
            self.missing.untold = 0;
        }
    }

    /// Writes a record of its own; whether that succeeded.
    fn tell(&mut self, text: &str) -> bool {
        let mut record = Vec::new();
        if self.torn {
            record.push(b'\n');
        }
        push_prefix(&mut record, Timestamp::of_this_machine(), Stream::System, false);
        record.extend_from_slice(text.as_bytes());
        record.push(b'\n');
        match self.write(&record) {
            Ok(()) => {
                self.torn = false;
                true
            }
            Err((written, _)) => {
                self.torn |= written > 0;
                false
            }
        }
    }

    /// Writes all, or says how much of it was written before the error.
    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let Some(open) = &mut self.open else {
            return Err((0, io::Error::other(self.missing.reason.clone())));
        };
        let mut written = 0;
        let result = loop {
            match open.file.write(&bytes[written..]) {
                Ok(0) if written < bytes.len() => break Err((written, io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err((written, error)),
            }
            if written == bytes.len() {
                break Ok(());
            }
        };
        self.extent.update(|extent| extent.end += written as u64);
        result
    }
}

/// Only its owner may read a log: it holds what the database holds.
fn open(path: &Path) -> io::Result<(Open, u64)> {
    if let Some(directory) = path.parent() {
        private::create_dir_all(directory)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    Ok((Open { identity: (metadata.dev(), metadata.ino()), file }, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_file_is_made_again_and_its_part_of_the_log_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runs").join("a.log");
        let mut log = LogFile::open(path.clone());
        log.append(b"one\n");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        log.check();
        log.append(b"two\n");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(" system F the log file was removed") && text.ends_with("\ntwo\n"), "{text}");
        let end = 4 + text.len() as u64;
        assert_eq!(log.extent().get(), Extent { part: 2, part_offset: 4, file_offset: 0, end });
        assert_eq!(log.trouble(), None);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_as_soon_as_it_can_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        fs::create_dir(&path).unwrap();
        let mut log = LogFile::open(path.clone());
        log.append(b"lost\n");
        assert!(log.trouble().unwrap().contains("5 bytes"));
        fs::remove_dir(&path).unwrap();
        log.conclude();
        log.append(b"kept\n");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("system F 5 bytes of the log are missing here") && text.ends_with("\nkept\n"), "{text}");
    }
}
