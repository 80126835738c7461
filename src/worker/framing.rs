//! From what a pipe gives to whole log records: the hot loop of a worker.
//!
//! It looks at as many bytes at once as there are and copies each once. A line without end costs no memory: it is passed
//! on in pieces.

use memchr::{memchr_iter, memrchr};

use crate::logs::record::{MAX_TEXT, Prefix, Stream};
use crate::time::Timestamp;

use super::mask::Masks;
use super::protocol;
use super::tail::Tail;

/// Bytes asked of a pipe at once.
const READ: usize = 128 * 1024;

/// Turns the bytes of one stream into records.
pub struct Framer {
    stream: Stream,
    prefix: Prefix,
    /// The unfinished line first, then room to read into.
    buffer: Vec<u8>,
    unfinished: usize,
    /// The unfinished line's beginning was passed on already.
    continued: bool,
    /// An unfinished line that is longer is passed on in part. It leaves room for the longest protocol line and the longest secret.
    hold: usize,
    scratch: Vec<u8>,
    tail: Tail,
}

/// Where the lines of a stream go.
pub struct Sink<'a> {
    /// Records are appended here.
    pub records: &'a mut Vec<u8>,
    /// What must not be seen.
    pub masks: &'a Masks,
    /// Is given the text of each protocol line; a line that it does not take (`false`) is log.
    pub protocol: &'a mut dyn FnMut(&[u8]) -> bool,
}

impl Framer {
    /// For one stream of a program.
    #[must_use]
    pub fn new(stream: Stream, masks: &Masks) -> Self {
        let hold = protocol::MAX_LINE + masks.longest();
        Self {
            stream,
            prefix: Prefix::new(Timestamp::from_millis(0), stream),
            buffer: vec![0; hold + READ],
            unfinished: 0,
            continued: false,
            hold,
            scratch: Vec::new(),
            tail: Tail::default(),
        }
    }

    /// Room to read into; at least [`READ`] bytes.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.unfinished..]
    }

    /// Takes the first `count` bytes of [`Self::room`], which were read at `time`.
    pub fn take(&mut self, count: usize, time: Timestamp, sink: &mut Sink<'_>) {
        self.prefix.move_to(time);
        let end = self.unfinished + count;
        let new_end = memrchr(b'\n', &self.buffer[self.unfinished..end]).map_or(0, |at| self.unfinished + at + 1);
        self.lines(new_end, sink);
        let mut start = new_end;
        if end - start > self.hold {
            start += self.pass_on_part(start..end, sink);
        }
        self.buffer.copy_within(start..end, 0);
        self.unfinished = end - start;
    }

    /// The stream has ended: an unfinished line is a line.
    pub fn finish(&mut self, time: Timestamp, sink: &mut Sink<'_>) {
        if self.unfinished > 0 || self.continued {
            self.prefix.move_to(time);
            self.buffer[self.unfinished] = b'\n';
            self.lines(self.unfinished + 1, sink);
            self.unfinished = 0;
        }
    }

    /// The last lines so far.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Turns the first `end` bytes of the buffer, which end in a newline, into records.
    fn lines(&mut self, end: usize, sink: &mut Sink<'_>) {
        let lines = &self.buffer[..end];
        let secret = sink.masks.found_in(lines);
        let whole = self.prefix.of(false);
        let speaks = self.stream == Stream::Stdout;
        let mut start = 0;
        for newline in memchr_iter(b'\n', lines) {
            let line = &lines[start..newline];
            start = newline + 1;
            let continued = std::mem::take(&mut self.continued);
            if speaks
                && !continued
                && line.starts_with(protocol::MARKER)
                && (sink.protocol)(&line[protocol::MARKER.len()..])
            {
                continue;
            }
            if secret {
                self.scratch.clear();
                sink.masks.mask(line, &mut self.scratch);
                push(&self.prefix, &self.scratch, false, sink.records);
            } else if line.len() <= MAX_TEXT {
                sink.records.extend_from_slice(&whole);
                sink.records.extend_from_slice(&lines[newline - line.len()..start]);
            } else {
                push(&self.prefix, line, false, sink.records);
            }
        }
        self.tail.note(lines, sink.masks);
    }

    /// Passes on the beginning of a line that has no end yet; returns how many of its bytes.
    fn pass_on_part(&mut self, line: std::ops::Range<usize>, sink: &mut Sink<'_>) -> usize {
        let line = &self.buffer[line];
        let cut = sink.masks.safe_cut(line);
        self.scratch.clear();
        sink.masks.mask(&line[..cut], &mut self.scratch);
        push(&self.prefix, &self.scratch, true, sink.records);
        if !self.continued {
            self.tail.push(line, sink.masks);
        }
        self.continued = true;
        cut
    }
}

/// Appends a line in records of at most [`MAX_TEXT`]; all are marked partial if the line goes on, else all but the last.
fn push(prefix: &Prefix, mut line: &[u8], goes_on: bool, records: &mut Vec<u8>) {
    while line.len() > MAX_TEXT {
        let (piece, rest) = line.split_at(MAX_TEXT);
        push_record(prefix.of(true), piece, records);
        line = rest;
    }
    push_record(prefix.of(goes_on), line, records);
}

fn push_record(prefix: [u8; crate::logs::record::PREFIX], text: &[u8], records: &mut Vec<u8>) {
    records.extend_from_slice(&prefix);
    records.extend_from_slice(text);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::record::parse;
    use crate::secret::Secret;

    /// Feeds `input` in reads of `size` bytes; gives back the lines as (text, whether it was cut) and the protocol lines.
    fn frame(input: &[u8], size: usize, secrets: &[&str]) -> (Vec<String>, Vec<String>) {
        let masks = Masks::of_secrets(secrets.iter().map(|text| Secret::new(*text)));
        let mut framer = Framer::new(Stream::Stdout, &masks);
        let mut records = Vec::new();
        let mut said = Vec::new();
        let mut protocol = |text: &[u8]| {
            said.push(String::from_utf8_lossy(text).into_owned());
            text != b"bad"
        };
        let mut sink = Sink { records: &mut records, masks: &masks, protocol: &mut protocol };
        for piece in input.chunks(size) {
            framer.room()[..piece.len()].copy_from_slice(piece);
            framer.take(piece.len(), Timestamp::from_millis(1), &mut sink);
        }
        framer.finish(Timestamp::from_millis(1), &mut sink);
        let mut lines = vec![String::new()];
        for record in records.split(|&byte| byte == b'\n').filter(|record| !record.is_empty()) {
            let record = parse(record).expect("every record is well formed");
            assert!(record.text.len() <= MAX_TEXT);
            *lines.last_mut().unwrap() += &String::from_utf8_lossy(record.text);
            if !record.partial {
                lines.push(String::new());
            }
        }
        assert_eq!(lines.pop().unwrap(), "", "the last line was ended");
        (lines, said)
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let input = b"one\n\ntwo::stopover {}\n::stopover {\"done\":1}\n::stopover bad\nlast";
        for size in [1, 2, 7, 1000] {
            let (lines, said) = frame(input, size, &[]);
            assert_eq!(lines, ["one", "", "two::stopover {}", "::stopover bad", "last"]);
            assert_eq!(said, ["{\"done\":1}", "bad"]);
        }
    }

    #[test]
    fn a_line_of_any_length_comes_through_in_pieces() {
        let long = "0123456789".repeat(70_000);
        for size in [4096, 100_000] {
            let (lines, _) = frame(format!("a\n{long}\nb\n{long}").as_bytes(), size, &[]);
            assert_eq!(lines, ["a", &long, "b", &long]);
        }
    }

    #[test]
    fn a_secret_is_masked_wherever_the_reads_and_pieces_are_cut() {
        let text = format!("{}s3cret{}s3cret{}", "x".repeat(MAX_TEXT - 3), "y".repeat(200_000), "z".repeat(10));
        let expected = text.replace("s3cret", "***");
        for size in [1009, 4096, 100_000] {
            let (lines, _) = frame(format!("{text}\n{text}").as_bytes(), size, &["s3cret"]);
            assert_eq!(lines, [expected.clone(), expected.clone()]);
        }
        let (lines, _) = frame(b"pw s3cret\nend s3c", 3, &["s3cret"]);
        assert_eq!(lines, ["pw ***", "end s3c"]);
    }

    #[test]
    fn the_largest_protocol_line_is_understood_and_a_larger_one_is_log() {
        let largest = format!("::stopover {}", "x".repeat(protocol::MAX_LINE - 12));
        let (lines, said) = frame(format!("{largest}\n").as_bytes(), 5000, &[]);
        assert_eq!((lines.len(), said.len()), (0, 1));
        let larger = format!("::stopover {}", "x".repeat(protocol::MAX_LINE * 2));
        let (lines, said) = frame(format!("{larger}\n").as_bytes(), 5000, &[]);
        assert_eq!((lines, said.len()), (vec![larger], 0));
    }
}
