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

    /// To be called before more is fetched from the archive: bounds what is kept of it.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        if self.source.spool.as_mut().map_or(Ok(false), Spool::empty_if_full)? {
            self.index = Index::default();
        }
        Ok(())
    }

    /// To be called when there is no more to fetch for now.
    pub(super) fn caught_up(&mut self) {
        if let Some(spool) = &mut self.source.spool {
            spool.caught_up();
        }
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

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::PathBuf;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::logs::record::push_prefix;
    use crate::logs::sanitise::{DISPLAY_LIMIT, plain};

    /// A log file and what reads it.
    struct Fixture {
        _directory: TempDir,
        path: PathBuf,
        log: Log,
    }

    impl Fixture {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("run.log");
            let file = super::super::source::LocalFile::new(path.clone());
            let log = Log::new(Source { spool: None, file: Some(file) });
            Self { _directory: directory, path, log }
        }

        fn holding(bytes: &[u8]) -> Self {
            let mut fixture = Self::new();
            fixture.write(bytes);
            fixture
        }

        fn write(&mut self, bytes: &[u8]) -> Extent {
            OpenOptions::new().create(true).append(true).open(&self.path).unwrap().write_all(bytes).unwrap();
            self.log.refresh().unwrap()
        }

        fn texts(&self, range: Range<u64>) -> Vec<String> {
            let lines = self.log.lines(range).unwrap();
            lines.into_iter().map(|line| line.spans.into_iter().map(|span| span.text).collect()).collect()
        }

        fn find(&self, text: &str, from: u64, direction: Direction) -> Option<u64> {
            self.log.find(&Query { text: text.to_owned() }, from, direction, &|| false).unwrap()
        }

        fn raw(&self, mut offset: u64) -> Vec<u8> {
            let mut bytes = Vec::new();
            loop {
                let block = self.log.raw(offset).unwrap();
                if block.next == offset {
                    return bytes;
                }
                bytes.extend(block.bytes);
                offset = block.next;
            }
        }
    }

    fn record(millis: i64, stream: Stream, partial: bool, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_prefix(&mut bytes, Timestamp::from_millis(millis), stream, partial);
        bytes.extend_from_slice(text);
        bytes.push(b'\n');
        bytes
    }

    fn stdout(text: &str) -> Vec<u8> {
        record(0, Stream::Stdout, false, text.as_bytes())
    }

    fn numbered(lines: Range<u32>) -> Vec<u8> {
        lines
            .flat_map(|line| record(i64::from(line) * 10, Stream::Stdout, false, format!("line {line}").as_bytes()))
            .collect()
    }

    #[test]
    fn a_log_that_does_not_exist_yet_is_empty_and_appears() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.log.refresh().unwrap(), Extent::default());
        assert_eq!(fixture.texts(0..10), [""; 0]);
        assert_eq!(fixture.write(&stdout("here")).lines, 1);
        assert_eq!(fixture.texts(0..10), ["here"]);
    }

    #[test]
    fn growth_is_seen_at_the_next_look() {
        let mut fixture = Fixture::holding(&numbered(0..3_000));
        assert_eq!(fixture.log.refresh().unwrap().lines, 3_000);
        assert_eq!(fixture.write(&numbered(3_000..3_002)).lines, 3_002);
        assert_eq!(fixture.texts(2_999..9_999), ["line 2999", "line 3000", "line 3001"]);
    }

    #[test]
    fn a_truncated_log_is_read_anew() {
        let mut fixture = Fixture::holding(&numbered(0..3_000));
        fs::write(&fixture.path, stdout("again")).unwrap();
        assert_eq!(fixture.log.refresh().unwrap().lines, 1);
        assert_eq!(fixture.texts(0..3_000), ["again"]);
    }

    #[test]
    fn a_log_that_shrinks_between_two_looks_is_read_as_far_as_it_goes() {
        let fixture = Fixture::holding(&numbered(0..3_000));
        fs::write(&fixture.path, b"").unwrap();
        assert_eq!(fixture.texts(0..3_000), [""; 0]);
        assert_eq!(fixture.find("line", 0, Direction::Down), None);
        assert_eq!(fixture.find("line", 2_999, Direction::Up), None);
    }

    #[test]
    fn a_replaced_log_is_read_anew_although_it_is_larger() {
        let mut fixture = Fixture::holding(&numbered(0..10));
        let other = fixture.path.with_extension("new");
        fs::write(&other, numbered(100..200)).unwrap();
        fs::rename(&other, &fixture.path).unwrap();
        assert_eq!(fixture.log.refresh().unwrap().lines, 100);
        assert_eq!(fixture.texts(0..1), ["line 100"]);
    }

    #[test]
    fn a_removed_log_is_empty() {
        let mut fixture = Fixture::holding(&numbered(0..10));
        fs::remove_file(&fixture.path).unwrap();
        assert_eq!(fixture.log.refresh().unwrap(), Extent::default());
        assert_eq!(fixture.texts(0..10), [""; 0]);
    }

    #[test]
    fn damaged_records_are_shown_as_they_are_without_a_time() {
        let fixture = Fixture::holding(&[&stdout("whole")[..], b"\0\0torn\n", &stdout("whole")].concat());
        assert_eq!(fixture.texts(0..3), ["whole", "torn", "whole"]);
        assert_eq!(fixture.log.lines(1..2).unwrap()[0].time, None);
    }

    #[test]
    fn of_a_giant_line_only_what_is_shown_is_read() {
        let mut bytes = stdout("before");
        for _ in 0..1_500 {
            bytes.extend(record(0, Stream::Stdout, true, &[b'x'; 16 * 1024]));
        }
        bytes.extend(record(0, Stream::Stdout, false, b"end"));
        bytes.extend(stdout("after"));
        let fixture = Fixture::holding(&bytes);
        let lines = fixture.log.lines(0..10).unwrap();
        let shown: Vec<_> = lines.iter().map(|line| (line.spans[0].text.len(), line.cut)).collect();
        assert_eq!(shown, [(6, false), (DISPLAY_LIMIT, true), (5, false)]);
        assert_eq!(fixture.log.offset_of(2).unwrap(), (bytes.len() - stdout("after").len()) as u64);
        assert_eq!(fixture.raw(0).len(), 7 + 1_500 * 16 * 1024 + 4 + 6);
        assert_eq!(fixture.find("xend", 0, Direction::Down), None);
        assert_eq!(fixture.find("end", 0, Direction::Down), Some(1));
        assert_eq!(fixture.find("end", 2, Direction::Up), Some(1));
    }

    #[test]
    fn a_damaged_record_larger_than_every_buffer_is_read_all_the_same() {
        let giant = [&b"\0".repeat(3 * BLOCK)[..], b"needle", &b"\0".repeat(BLOCK), b"\n"].concat();
        let fixture = Fixture::holding(&[&stdout("before")[..], &giant, &stdout("after")].concat());
        assert_eq!(fixture.find("needle", 0, Direction::Down), Some(1));
        assert_eq!(fixture.find("needle", 2, Direction::Up), Some(1));
        assert!(fixture.log.lines(1..2).unwrap()[0].cut);
        assert_eq!(fixture.raw(0), [b"before\n", &giant[..], b"after\n"].concat());
    }

    #[test]
    fn a_search_ignores_case_unless_an_upper_case_letter_is_asked_for() {
        let fixture = Fixture::holding(&[stdout("Charge 8812"), stdout("charge 8813")].concat());
        assert_eq!(fixture.find("charge", 0, Direction::Down), Some(0));
        assert_eq!(fixture.find("Charge", 1, Direction::Up), Some(0));
        assert_eq!(fixture.find("Charge", 1, Direction::Down), None);
        assert_eq!(fixture.find("CHARGE", 0, Direction::Down), None);
    }

    #[test]
    fn a_search_does_not_see_the_prefixes_of_records() {
        let fixture = Fixture::holding(&[stdout("one"), record(0, Stream::Stderr, false, b"not stdout")].concat());
        assert_eq!(fixture.find("stdout", 0, Direction::Down), Some(1));
        assert_eq!(fixture.find("stderr", 0, Direction::Down), None);
        assert_eq!(fixture.find("1970", 1, Direction::Up), None);
        assert_eq!(fixture.find("", 0, Direction::Down), None);
    }

    #[test]
    fn a_search_stops_when_it_is_cancelled() {
        let fixture = Fixture::holding(&numbered(0..100_000));
        let looks = std::cell::Cell::new(0);
        let is_cancelled = || looks.replace(looks.get() + 1) >= 2;
        let query = Query { text: "line 99999".to_owned() };
        assert_eq!(fixture.log.find(&query, 0, Direction::Down, &is_cancelled).unwrap(), None);
        assert_eq!(looks.get(), 3);
    }

    #[test]
    fn a_time_is_found_although_the_clock_was_set_back() {
        let mut bytes = numbered(0..5_000);
        bytes.extend(record(10, Stream::Stdout, false, b"set back"));
        bytes.extend(numbered(5_000..9_000));
        let fixture = Fixture::holding(&bytes);
        assert_eq!(fixture.log.line_since(Timestamp::from_millis(0)).unwrap(), 0);
        assert_eq!(fixture.log.line_since(Timestamp::from_millis(12_345)).unwrap(), 1_235);
        assert_eq!(fixture.log.line_since(Timestamp::from_millis(70_000)).unwrap(), 7_001);
        assert_eq!(fixture.log.line_since(Timestamp::from_millis(90_000)).unwrap(), 9_001);
    }

    #[test]
    fn a_record_is_recognised_among_others_of_the_same_time() {
        let fixture = Fixture::holding(&[stdout("one"), stdout("two"), numbered(1..5)].concat());
        assert!(fixture.log.holds(stdout("two").trim_ascii_end()).unwrap());
        assert!(!fixture.log.holds(stdout("three").trim_ascii_end()).unwrap());
    }

    #[test]
    fn the_raw_form_is_what_the_program_wrote() {
        let records = [
            record(0, Stream::System, false, b"attempt 1 started"),
            record(0, Stream::Stdout, true, b"caf\xe9 \x1b[31m"),
            record(0, Stream::Stdout, false, b"red\r"),
            record(0, Stream::Stderr, false, b""),
        ];
        assert_eq!(Fixture::holding(&records.concat()).raw(0), b"caf\xe9 \x1b[31mred\r\n\n");
    }

    /// Lines as a person would make them of records, all in memory: what the index and the search must agree with.
    fn lines_of(records: &[(Stream, bool, String)]) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut open = None;
        for (stream, partial, text) in records {
            match lines.last_mut() {
                Some(line) if open == Some(*stream) => line.push_str(text),
                _ => lines.push(text.clone()),
            }
            open = partial.then_some(*stream);
        }
        lines
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn pages_positions_and_searches_agree_with_reading_everything(
            records in prop::collection::vec(
                (prop::sample::select(vec![Stream::Stdout, Stream::Stderr]), prop::bool::weighted(0.2), "[abAB ]{0,6}"),
                1..3_000,
            ),
            at in any::<prop::sample::Index>(),
            needle in "[abA]{1,4}",
        ) {
            let mut bytes = Vec::new();
            for (number, (stream, partial, text)) in (0..).zip(&records) {
                bytes.extend(record(number, *stream, *partial, text.as_bytes()));
            }
            let mut fixture = Fixture::new();
            let (early, late) = bytes.split_at(at.index(bytes.len()));
            fixture.write(early);
            let extent = fixture.write(late);
            let lines = lines_of(&records);
            prop_assert_eq!(extent, Extent { lines: lines.len() as u64, bytes: bytes.len() as u64 });

            let from = at.index(lines.len());
            let page: Vec<String> = lines.iter().skip(from).take(40).map(|line| plain(line.as_bytes())).collect();
            prop_assert_eq!(fixture.texts(from as u64..from as u64 + 40), page);
            prop_assert_eq!(fixture.raw(0).iter().filter(|byte| **byte != b'\n').count(), lines.concat().len());

            // What a search finds is in one record, so lines of several are left out of the comparison.
            let mut records = records;
            for (_, partial, _) in &mut records {
                *partial = false;
            }
            let bytes: Vec<u8> = records.iter().flat_map(|(stream, _, text)| record(0, *stream, false, text.as_bytes())).collect();
            let fixture = Fixture::holding(&bytes);
            let from = at.index(records.len());
            let is_match = |(_, _, text): &(Stream, bool, String)| {
                if needle.contains('A') { text.contains(&needle) } else { text.to_lowercase().contains(&needle) }
            };
            let down = (from..records.len()).find(|&line| is_match(&records[line])).map(|line| line as u64);
            let up = (0..=from).rev().find(|&line| is_match(&records[line])).map(|line| line as u64);
            prop_assert_eq!(fixture.find(&needle, from as u64, Direction::Down), down);
            prop_assert_eq!(fixture.find(&needle, from as u64, Direction::Up), up);
        }
    }
}
