//! Walking over the lines of a log, one after another, at the cost of one buffer.

use std::io::{self, BufRead, BufReader};

use memchr::memchr;

use crate::logs::record::{self, Head, PREFIX};
use crate::logs::sanitise::{DISPLAY_LIMIT, sanitise};
use crate::time::Timestamp;

use super::Line;
use super::index::{Index, Mark};
use super::source::{Source, Stream};

/// Bytes of a line that are kept: one more than is shown, to tell that there is more.
const KEEP: usize = PREFIX + DISPLAY_LIMIT + 1;

/// Lines from a mark on.
pub(super) struct Lines<'a> {
    index: &'a Index,
    source: &'a Source,
    reader: BufReader<Stream<'a>>,
    /// The start of the next record to read.
    offset: u64,
    /// The number of the next line.
    number: u64,
    /// The record that was read to see that it starts another line.
    ahead: Option<Piece>,
}

/// A record without its newline, or a line joined of several; at most [`KEEP`] bytes of it.
struct Piece {
    start: u64,
    bytes: Vec<u8>,
}

/// A line as it is in the file.
pub(super) struct RawLine {
    pub(super) number: u64,
    /// Where its first record starts.
    pub(super) start: u64,
    /// The prefix of its first record, and the text of all; at most [`KEEP`] bytes.
    pub(super) bytes: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(super) fn from(source: &'a Source, index: &'a Index, mark: Mark) -> Self {
        let reader = BufReader::with_capacity(64 * 1024, source.stream(mark.offset..index.end()));
        Self { index, source, reader, offset: mark.offset, number: mark.line, ahead: None }
    }

    /// The number of the next line.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Where the next line starts.
    pub(super) fn next_start(&self) -> u64 {
        self.ahead.as_ref().map_or(self.offset, |piece| piece.start)
    }

    pub(super) fn next(&mut self) -> io::Result<Option<RawLine>> {
        let first = match self.ahead.take() {
            Some(piece) => piece,
            None => match self.read_record()? {
                Some(piece) => piece,
                None => return Ok(None),
            },
        };
        let line = RawLine { number: self.number, start: first.start, bytes: first.bytes };
        self.number += 1;
        self.join(line).map(Some)
    }

    /// Adds the pieces that follow, as far as they are shown.
    fn join(&mut self, mut line: RawLine) -> io::Result<RawLine> {
        let mut head = Head::of(&line.bytes);
        while head.is_some_and(|head| head.partial) {
            if line.bytes.len() == KEEP
                && let Some(offset) = self.index.start_of(self.number)
            {
                *self = Self::from(self.source, self.index, Mark { line: self.number, offset });
                break;
            }
            let Some(piece) = self.read_record()? else { break };
            let next = Head::of(&piece.bytes);
            if !next.is_some_and(|next| next.continues(head)) {
                self.ahead = Some(piece);
                break;
            }
            let room = KEEP - line.bytes.len();
            line.bytes.extend(piece.bytes[PREFIX..].iter().take(room));
            head = next;
        }
        Ok(line)
    }

    fn read_record(&mut self) -> io::Result<Option<Piece>> {
        let mut piece = Piece { start: self.offset, bytes: Vec::new() };
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                return Ok(None);
            }
            let newline = memchr(b'\n', available);
            let text = &available[..newline.unwrap_or(available.len())];
            let room = KEEP - piece.bytes.len();
            piece.bytes.extend_from_slice(&text[..text.len().min(room)]);
            let used = text.len() + usize::from(newline.is_some());
            self.reader.consume(used);
            self.offset += used as u64;
            if newline.is_some() {
                return Ok(Some(piece));
            }
        }
    }
}

impl RawLine {
    pub(super) fn time(&self) -> Option<Timestamp> {
        record::parse(&self.bytes).map(|record| record.time)
    }

    /// Its displayable form. A damaged record is shown as it is.
    pub(super) fn into_line(self) -> Line {
        let head = Head::of(&self.bytes);
        let text = if head.is_some() { &self.bytes[PREFIX..] } else { &self.bytes[..] };
        Line {
            number: self.number,
            time: self.time(),
            stream: head.map_or(record::Stream::Stdout, |head| head.stream),
            spans: sanitise(text),
            cut: text.len() > DISPLAY_LIMIT,
        }
    }
}
