//! What was fetched of a log from the ledger's archive, in a file without a name that goes with this process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memchr;

use crate::config::StateDir;
use crate::ledger::{LogChunk, LogPosition};
use crate::logs::record::{self, Stream, push_prefix};
use crate::time::Timestamp;

/// Where every log begins.
const START: LogPosition = LogPosition { attempt: 1, offset: 0 };

/// A spool smaller than this is never emptied.
const ALWAYS_KEPT: u64 = 64 << 20;

/// The archived chunks of a log, one after another, with a record of [`Stream::System`] where the archive left something out.
pub(super) struct Spool {
    file: File,
    length: u64,
    /// Where the next chunk starts if nothing is missing.
    next: LogPosition,
    /// From here on it is worth fetching anew; unknown until it has caught up with the archive.
    limit: Option<u64>,
    /// The latest attempt and its pod: where to find what the archive left out.
    latest: (u32, String),
}

impl Spool {
    /// An empty one, in the state directory, else in the temporary one, else (a read-only root) in memory.
    /// `attempt` and `pod` are the latest of the run.
    pub(super) fn new(state: &StateDir, attempt: u32, pod: &str) -> io::Result<Self> {
        let in_memory = || rustix::fs::memfd_create("stopover-log", rustix::fs::MemfdFlags::CLOEXEC).map(File::from);
        let file = tempfile::tempfile_in(state.path()).or_else(|_| tempfile::tempfile()).or_else(|_| in_memory())?;
        Ok(Self { file, length: 0, next: START, limit: None, latest: (attempt, pod.to_owned()) })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// Where to ask the archive for more.
    pub(super) fn next(&self) -> LogPosition {
        self.next
    }

    /// What lies before a place is not wanted, and not missed.
    pub(super) fn begin_at(&mut self, first: LogPosition) {
        self.next = first;
    }

    /// Nothing more is in the archive for now.
    pub(super) fn caught_up(&mut self) {
        self.limit.get_or_insert(ALWAYS_KEPT.max(2 * self.length));
    }

    /// Empties it if it holds much more than the archive does, which removes what a flood of lines made old; `true` if it did.
    pub(super) fn empty_if_full(&mut self) -> io::Result<bool> {
        let is_full = self.limit.is_some_and(|limit| self.length >= limit);
        if is_full {
            self.file.set_len(0)?;
            (self.length, self.next, self.limit) = (0, START, None);
        }
        Ok(is_full)
    }

    /// Adds a chunk that starts at or after [`Self::next`]; an earlier one is there already.
    pub(super) fn append(&mut self, chunk: &LogChunk) -> io::Result<()> {
        let start = LogPosition { attempt: chunk.attempt, offset: chunk.offset };
        if start < self.next {
            return Ok(());
        }
        let expected = if start.attempt == self.next.attempt { self.next.offset } else { 0 };
        let mut bytes = Vec::with_capacity(chunk.bytes.len() + 256);
        if start.offset > expected {
            self.push_gap(&mut bytes, chunk, start.offset - expected);
        }
        bytes.extend_from_slice(&chunk.bytes);
        if !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        self.file.write_all_at(&bytes, self.length)?;
        self.length += bytes.len() as u64;
        self.next = LogPosition { offset: start.offset + chunk.bytes.len() as u64, ..start };
        Ok(())
    }

    /// Adds a line of Stopover's own.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(text.len() + 64);
        push_prefix(&mut bytes, Timestamp::of_this_machine(), Stream::System, false);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        self.file.write_all_at(&bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn push_gap(&self, out: &mut Vec<u8>, before: &LogChunk, bytes: u64) {
        let time = record::parse(first_record(before)).map_or(Timestamp::from_millis(0), |record| record.time);
        push_prefix(out, time, Stream::System, false);
        let size = size(bytes);
        let pod = match &self.latest {
            (attempt, pod) if *attempt == before.attempt => format!("pod {pod}"),
            _ => format!("the pod of attempt {}", before.attempt),
        };
        let text = format!("... {size} left out of the archive; the log file in {pod} has them ...\n");
        out.extend_from_slice(text.as_bytes());
    }
}

/// The first record of a chunk, without its newline.
pub(super) fn first_record(chunk: &LogChunk) -> &[u8] {
    let end = memchr(b'\n', &chunk.bytes).unwrap_or(chunk.bytes.len());
    &chunk.bytes[..end]
}

/// Bytes in at most three digits or so, for a person: `812 bytes`, `1.4 kB`, `12.4 MB`.
fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", tenths(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", tenths(1_000_000)),
        _ => format!("{} GB", tenths(1_000_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::RunId;

    fn chunk(attempt: u32, offset: u64, text: &str) -> LogChunk {
        let mut bytes = Vec::new();
        push_prefix(&mut bytes, Timestamp::from_millis(1_764_000_000_000), Stream::Stdout, false);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        LogChunk { run: RunId::generate(), attempt, offset, bytes }
    }

    fn text_of(spool: &Spool) -> String {
        let mut bytes = vec![0; usize::try_from(spool.len()).unwrap()];
        spool.file().read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn spool(chunks: &[LogChunk]) -> Spool {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(&StateDir::new(directory.path()), 2, "stopover-7f9c").unwrap();
        for chunk in chunks {
            spool.append(chunk).unwrap();
        }
        spool
    }

    #[test]
    fn chunks_without_gaps_read_as_one_file() {
        let (first, mut second, third) = (chunk(1, 0, "one"), chunk(1, 0, "two"), chunk(2, 0, "three"));
        second.offset = first.bytes.len() as u64;
        let spool = spool(&[first, second.clone(), second, third.clone()]);
        let texts: Vec<String> = text_of(&spool).lines().map(|line| line[record::PREFIX..].to_owned()).collect();
        assert_eq!(texts, ["one", "two", "three"]);
        assert_eq!(spool.next(), LogPosition { attempt: 2, offset: third.bytes.len() as u64 });
    }

    #[test]
    fn a_gap_says_how_much_is_missing_and_where_it_is() {
        let first = chunk(1, 0, "one");
        let late = chunk(1, first.bytes.len() as u64 + 12_412_000, "two");
        let text = text_of(&spool(&[first, late, chunk(2, 812, "three")]));
        let gaps: Vec<_> = text.lines().filter(|line| line.contains("left out")).collect();
        assert_eq!(
            gaps,
            [
                "2025-11-24T16:00:00.000Z system F ... 12.4 MB left out of the archive; the log file in the pod of attempt 1 has them ...",
                "2025-11-24T16:00:00.000Z system F ... 812 bytes left out of the archive; the log file in pod stopover-7f9c has them ...",
            ]
        );
    }

    #[test]
    fn a_spool_that_a_flood_has_filled_starts_anew() {
        let mut spool = spool(&[]);
        spool.caught_up();
        let mut piece = chunk(1, 0, &"x".repeat(1 << 20));
        while !spool.empty_if_full().unwrap() {
            assert!(spool.len() < ALWAYS_KEPT);
            spool.append(&piece).unwrap();
            piece.offset = spool.next().offset;
        }
        assert_eq!((spool.len(), spool.next()), (0, START));
        assert_eq!(spool.file().metadata().unwrap().len(), 0);
    }

    #[test]
    fn sizes_read_in_three_digits_or_so() {
        assert_eq!(size(812), "812 bytes");
        assert_eq!(size(1_449), "1.4 kB");
        assert_eq!(size(999_999), "999.9 kB");
        assert_eq!(size(12_412_000), "12.4 MB");
        assert_eq!(size(3_000_000_000), "3.0 GB");
    }
}
