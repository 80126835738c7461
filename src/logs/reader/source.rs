//! The bytes of a log: what the ledger's archive had of it, followed by the file in this pod. Either may be missing.
//!
//! The file is read, never mapped: a mapped file that is truncated would kill the process.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::spool::Spool;

/// See the module.
pub(super) struct Source {
    pub(super) spool: Option<Spool>,
    pub(super) file: Option<LocalFile>,
}

impl Source {
    /// Looks at the file; `false` when the bytes read so far are no longer those that are there.
    pub(super) fn refresh(&mut self) -> io::Result<bool> {
        self.file.as_mut().map_or(Ok(true), LocalFile::refresh)
    }

    /// Bytes at the last look.
    pub(super) fn len(&self) -> u64 {
        self.spooled() + self.file.as_ref().map_or(0, LocalFile::len)
    }

    fn spooled(&self) -> u64 {
        self.spool.as_ref().map_or(0, Spool::len)
    }

    /// Reads some bytes from an offset on; 0 at the end.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let spooled = self.spooled();
        match (&self.spool, &self.file) {
            (Some(spool), _) if offset < spooled => {
                let length = usize::try_from(spooled - offset).map_or(buffer.len(), |left| left.min(buffer.len()));
                read_some(spool.file(), &mut buffer[..length], offset)
            }
            (_, Some(LocalFile { open: Some(open), .. })) => read_some(&open.file, buffer, offset - spooled),
            _ => Ok(0),
        }
    }

    /// The bytes of a range, as a stream.
    pub(super) fn stream(&self, range: std::ops::Range<u64>) -> Stream<'_> {
        Stream { source: self, range }
    }
}

fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// See [`Source::stream`].
pub(super) struct Stream<'a> {
    source: &'a Source,
    range: std::ops::Range<u64>,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.range.end.saturating_sub(self.range.start);
        let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.source.read_at(&mut buffer[..length], self.range.start)?;
        self.range.start += read as u64;
        Ok(read)
    }
}

/// A file by its name: it may not exist yet, grow, be truncated, replaced or removed.
pub(super) struct LocalFile {
    path: PathBuf,
    open: Option<Open>,
}

struct Open {
    file: File,
    /// Device and inode: another file under the same name has others.
    identity: (u64, u64),
    length: u64,
}

impl LocalFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.length)
    }

    fn refresh(&mut self) -> io::Result<bool> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(self.open.take().is_none()),
            Err(error) => return Err(error),
        };
        let identity = (metadata.dev(), metadata.ino());
        if let Some(open) = &mut self.open
            && open.identity == identity
            && open.length <= metadata.len()
        {
            open.length = metadata.len();
            return Ok(true);
        }
        let was_empty = self.len() == 0;
        self.open = match File::open(&self.path) {
            Ok(file) => {
                let metadata = file.metadata()?;
                Some(Open { file, identity: (metadata.dev(), metadata.ino()), length: metadata.len() })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(was_empty)
    }
}
