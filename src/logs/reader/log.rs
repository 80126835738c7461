//! A log and its index, read by blocking calls.

use std::io;
use std::ops::Range;

use memchr::memchr;

use crate::ledger::{LogChunk, LogPosition};
use crate::logs::record::{self, Head, PREFIX, Stream};
use crate::time::Timestamp;

use super::index::{Index, Mark};
use super::lines::Lines;
use super::search::{self, Needle};
use super::source::Source;
use super::spool::Spool;
use super::{Direction, Extent, Line, Query, RawBlock};

/// Bytes read at once.
const BLOCK: usize = 256 * 1024;

/// See the module.
pub(super) struct Log {
    source: Source,
    index: Index,
}

impl Log {
    pub(super) fn new(source: Source) -> Self {
        Self { source, index: Index::default() }
    }

    /// Indexes what is new, or everything if the file is not the one it was.
    pub(super) fn refresh(&mut self) -> io::Result<Extent> {
        if !self.source.refresh()? {
            self.index = Index::default();
        }
        let mut buffer = vec![0; BLOCK];
        while self.index.scanned() < self.source.len() {
            match self.source.read_at(&mut buffer, self.index.scanned())? {
                0 => break,
                read => self.index.feed(&buffer[..read]),
            }
        }
        Ok(Extent { lines: self.index.lines(), bytes: self.index.end() })
    }

    /// Where to ask the archive for more, if this log comes from there.
    pub(super) fn archived_up_to(&self) -> Option<LogPosition> {
        self.source.spool.as_ref().map(Spool::next)
    }

    /// Adds a piece from the archive.
    pub(super) fn append(&mut self, chunk: &LogChunk) -> io::Result<()> {
        self.source.spool.as_mut().map_or(Ok(()), |spool| spool.append(chunk))
    }

    pub(super) fn lines(&self, range: Range<u64>) -> io::Result<Vec<Line>> {
        let mut found = Vec::new();
        let range = range.start..range.end.min(self.index.lines());
        if range.is_empty() {
            return Ok(found);
        }
        let mut lines = self.lines_from(range.start)?;
        while let Some(line) = lines.next()? {
            let is_last = line.number + 1 >= range.end;
            found.push(line.into_line());
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn find(
        &self,
        query: &Query,
        from: u64,
        direction: Direction,
        is_cancelled: &dyn Fn() -> bool,
    ) -> io::Result<Option<u64>> {
        let Some(needle) = Needle::new(query) else { return Ok(None) };
        let find = |range| search::find(&self.source, range, &needle, direction, is_cancelled);
        let hit = match direction {
            Direction::Down => find(self.offset_of(from)?..self.index.end())?,
            Direction::Up => {
                let mut end = self.offset_of(from.saturating_add(1))?;
                let mut hit = None;
                while end > 0 && hit.is_none() && !is_cancelled() {
                    let start = self.index.before_offset(end - 1).offset;
                    hit = find(start..end)?;
                    end = start;
                }
                hit
            }
        };
        hit.map(|hit| self.line_at(hit)).transpose()
    }

    pub(super) fn line_since(&self, time: Timestamp) -> io::Result<u64> {
        // Times grow but for a clock that was set back, so the marks are taken as sorted, and the way from the last earlier one is walked.
        let marks = self.index.marks();
        let (mut low, mut high) = (0, marks.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.time_at(marks[middle])?.is_some_and(|found| found < time) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let mark = low.checked_sub(1).map_or(Mark::default(), |at| marks[at]);
        let mut lines = Lines::from(&self.source, &self.index, mark);
        while let Some(line) = lines.next()? {
            if line.time().is_some_and(|found| found >= time) {
                return Ok(line.number);
            }
        }
        Ok(self.index.lines())
    }

    /// The time of the first line from a mark on that has one, within a few lines.
    fn time_at(&self, mark: Mark) -> io::Result<Option<Timestamp>> {
        let mut lines = Lines::from(&self.source, &self.index, mark);
        for _ in 0..16 {
            match lines.next()? {
                Some(line) if line.time().is_some() => return Ok(line.time()),
                Some(_) => {}
                None => break,
            }
        }
        Ok(None)
    }

    /// Whether this very record (without its newline) starts a line of the log.
    pub(super) fn holds(&self, record: &[u8]) -> io::Result<bool> {
        let Some(time) = record::parse(record).map(|record| record.time) else { return Ok(false) };
        let mut lines = self.lines_from(self.line_since(time)?)?;
        while let Some(line) = lines.next()? {
            if line.bytes.starts_with(&record[..record.len().min(line.bytes.len())]) && line.time() == Some(time) {
                return Ok(true);
            }
            if line.time().is_some_and(|found| found > time) {
                break;
            }
        }
        Ok(false)
    }

    /// Where a line starts; the end for a line that does not exist.
    pub(super) fn offset_of(&self, line: u64) -> io::Result<u64> {
        if line >= self.index.lines() {
            return Ok(self.index.end());
        }
        if let Some(offset) = self.index.start_of(line) {
            return Ok(offset);
        }
        Ok(self.lines_from(line)?.next_start())
    }

    /// The line that a byte belongs to.
    fn line_at(&self, offset: u64) -> io::Result<u64> {
        let mark = self.index.before_offset(offset);
        let mut lines = Lines::from(&self.source, &self.index, mark);
        let mut number = mark.line;
        while let Some(line) = lines.next()? {
            if line.start > offset {
                break;
            }
            number = line.number;
        }
        Ok(number)
    }

    fn lines_from(&self, line: u64) -> io::Result<Lines<'_>> {
        let mut lines = Lines::from(&self.source, &self.index, self.index.before_line(line));
        while lines.number() < line && lines.next()?.is_some() {}
        Ok(lines)
    }

    /// The program's own bytes from an offset on.
    pub(super) fn raw(&self, offset: u64) -> io::Result<RawBlock> {
        let mut buffer = vec![0; BLOCK];
        let length = usize::try_from(self.index.end().saturating_sub(offset)).map_or(BLOCK, |left| left.min(BLOCK));
        let length = self.source.read_at(&mut buffer[..length], offset)?;
        let mut bytes = Vec::with_capacity(length);
        let mut rest = &buffer[..length];
        while let Some(newline) = memchr(b'\n', rest) {
            push_raw(&mut bytes, &rest[..newline]);
            rest = &rest[newline + 1..];
        }
        // Only a damaged record is larger than a block; it goes out as it is.
        if rest.len() == length {
            bytes.extend_from_slice(rest);
            rest = &[];
        }
        Ok(RawBlock { bytes, next: offset + (length - rest.len()) as u64 })
    }
}

fn push_raw(out: &mut Vec<u8>, record: &[u8]) {
    match Head::of(record) {
        Some(Head { stream: Stream::System, .. }) => {}
        Some(Head { partial, .. }) => {
            out.extend_from_slice(&record[PREFIX..]);
            if !partial {
                out.push(b'\n');
            }
        }
        None => {
            out.extend_from_slice(record);
            out.push(b'\n');
        }
    }
}
