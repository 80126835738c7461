//! Where the lines of a log start: a mark every so often, and nothing else in memory.

use memchr::memchr_iter;

use crate::logs::record::{Head, PREFIX};

/// A mark is set at least every so many lines.
const LINES_PER_MARK: u64 = 1024;

/// A mark is set at the first line start after so many bytes, so that no page needs a walk over many long lines.
const BYTES_PER_MARK: u64 = 4 << 20;

/// The start of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its number, from 0.
    pub line: u64,
    /// Its first byte.
    pub offset: u64,
}

/// What is known of the bytes fed so far.
#[derive(Default)]
pub(super) struct Index {
    marks: Vec<Mark>,
    lines: u64,
    scanned: u64,
    /// Where the record that is being fed starts, and as much of its head as was fed.
    record: u64,
    head: Vec<u8>,
    previous: Option<Head>,
}

impl Index {
    /// Takes up the bytes that follow those fed before.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let mut start = 0;
        for newline in memchr_iter(b'\n', bytes) {
            self.feed_head(&bytes[start..newline]);
            start = newline + 1;
            self.end_record(self.scanned + start as u64);
        }
        self.feed_head(&bytes[start..]);
        self.scanned += bytes.len() as u64;
    }

    fn feed_head(&mut self, bytes: &[u8]) {
        let missing = PREFIX - self.head.len();
        self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
    }

    fn end_record(&mut self, end: u64) {
        let head = Head::of(&self.head);
        if !head.is_some_and(|head| head.continues(self.previous)) {
            self.start_line();
        }
        self.previous = head;
        self.record = end;
        self.head.clear();
    }

    fn start_line(&mut self) {
        let is_due = self
            .marks
            .last()
            .is_none_or(|mark| self.lines - mark.line >= LINES_PER_MARK || self.record - mark.offset >= BYTES_PER_MARK);
        if is_due {
            self.marks.push(Mark { line: self.lines, offset: self.record });
        }
        self.lines += 1;
    }

    /// Bytes fed.
    pub(super) fn scanned(&self) -> u64 {
        self.scanned
    }

    /// Lines of which at least one record is whole.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// The end of the last whole record: what follows is still being written.
    pub(super) fn end(&self) -> u64 {
        self.record
    }

    /// All marks, in order.
    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The last mark at or before a line.
    pub(super) fn before_line(&self, line: u64) -> Mark {
        let after = self.marks.partition_point(|mark| mark.line <= line);
        after.checked_sub(1).map_or(Mark::default(), |at| self.marks[at])
    }

    /// The last mark at or before an offset.
    pub(super) fn before_offset(&self, offset: u64) -> Mark {
        let after = self.marks.partition_point(|mark| mark.offset <= offset);
        after.checked_sub(1).map_or(Mark::default(), |at| self.marks[at])
    }

    /// Where a line starts, if there happens to be a mark.
    pub(super) fn start_of(&self, line: u64) -> Option<u64> {
        Some(self.before_line(line)).filter(|mark| mark.line == line).map(|mark| mark.offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::logs::record::{Stream, push_prefix};
    use crate::time::Timestamp;

    fn record(stream: Stream, partial: bool, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_prefix(&mut bytes, Timestamp::from_millis(0), stream, partial);
        bytes.extend_from_slice(text);
        bytes.push(b'\n');
        bytes
    }

    fn index_of(bytes: &[u8]) -> Index {
        let mut index = Index::default();
        index.feed(bytes);
        index
    }

    #[test]
    fn the_pieces_of_a_cut_line_count_once() {
        let log = [
            record(Stream::Stdout, true, b"a long"),
            record(Stream::Stdout, true, b" line"),
            record(Stream::Stdout, false, b" ends"),
            record(Stream::Stdout, false, b"next"),
        ];
        assert_eq!(index_of(&log.concat()).lines(), 2);
    }

    #[test]
    fn a_record_of_another_stream_ends_a_cut_line() {
        let log = [
            record(Stream::Stdout, true, b"a long"),
            record(Stream::Stderr, false, b"meanwhile"),
            record(Stream::Stdout, false, b" line"),
        ];
        assert_eq!(index_of(&log.concat()).lines(), 3);
    }

    #[test]
    fn a_damaged_record_is_a_line_of_its_own() {
        let log =
            [record(Stream::Stdout, true, b"a long"), b"\0\0\0\n\n".to_vec(), record(Stream::Stdout, false, b"x")];
        assert_eq!(index_of(&log.concat()).lines(), 4);
    }

    #[test]
    fn a_record_that_is_being_written_is_not_there_yet() {
        let mut log = record(Stream::Stdout, false, b"whole");
        let end = log.len() as u64;
        log.extend_from_slice(b"2026-11-04T02:13:55.041Z stdout F hal");
        let mut index = index_of(&log);
        assert_eq!((index.lines(), index.end()), (1, end));
        index.feed(b"f\n");
        assert_eq!((index.lines(), index.end()), (2, log.len() as u64 + 2));
    }

    #[test]
    fn a_million_lines_need_a_thousand_marks() {
        let line = record(Stream::Stdout, false, b"");
        let mut index = Index::default();
        for _ in 0..1_000 {
            index.feed(&line.repeat(1_000));
        }
        assert_eq!(index.lines(), 1_000_000);
        assert_eq!(index.marks().len(), 977);
        let length = line.len() as u64;
        assert_eq!(index.before_line(5_000), Mark { line: 4_096, offset: 4_096 * length });
        assert_eq!(index.before_offset(5_000 * length), Mark { line: 4_096, offset: 4_096 * length });
        assert_eq!(index.start_of(4_096), Some(4_096 * length));
        assert_eq!(index.start_of(4_097), None);
    }

    #[test]
    fn the_line_after_a_giant_one_has_a_mark() {
        let mut log = record(Stream::Stdout, false, b"small");
        let giant = log.len() as u64;
        for _ in 0..300 {
            log.extend_from_slice(&record(Stream::Stdout, true, &[b'x'; 16 * 1024]));
        }
        log.extend_from_slice(&record(Stream::Stdout, false, b""));
        let after = log.len() as u64;
        log.extend_from_slice(&record(Stream::Stdout, false, b"small again"));
        let index = index_of(&log);
        assert_eq!(index.lines(), 3);
        assert_eq!(index.start_of(2), Some(after));
        assert!(after - giant > BYTES_PER_MARK);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_which_portions_a_log_is_fed(
            records in prop::collection::vec((0..4_u8, any::<bool>(), "[a-z]{0,40}"), 0..50),
            portions in prop::collection::vec(1..90_usize, 1..20),
        ) {
            let log: Vec<u8> = records
                .iter()
                .flat_map(|(stream, partial, text)| match stream {
                    0 => record(Stream::Stdout, *partial, text.as_bytes()),
                    1 => record(Stream::Stderr, *partial, text.as_bytes()),
                    2 => record(Stream::System, *partial, text.as_bytes()),
                    _ => format!("{text}\n").into_bytes(),
                })
                .collect();
            let whole = index_of(&log);
            let mut portioned = Index::default();
            let mut rest = &log[..];
            for size in portions.iter().cycle() {
                let (portion, after) = rest.split_at((*size).min(rest.len()));
                portioned.feed(portion);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(portioned.lines(), whole.lines());
            prop_assert_eq!(portioned.end(), log.len() as u64);
            prop_assert_eq!(portioned.marks(), whole.marks());
        }
    }
}
