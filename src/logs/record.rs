//! The format of a log file; see [`crate::logs`].

use crate::time::Timestamp;

/// Bytes before the text of a record: 24 of time, 6 of stream, 1 of tag, and 3 spaces.
pub const PREFIX: usize = 34;

/// Longest text of one record; a longer line becomes several, all but the last marked as partial.
pub const MAX_TEXT: usize = 16 * 1024;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The program's standard output.
    Stdout,
    /// The program's standard error.
    Stderr,
    /// Stopover itself.
    System,
}

impl Stream {
    /// Its six letters in a record.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::System => "system",
        }
    }
}

/// One record, parsed; its text may hold any byte but a newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When the worker read it, by its machine's clock.
    pub time: Timestamp,
    /// Where it came from.
    pub stream: Stream,
    /// Whether the line goes on in the next record of the same stream.
    pub partial: bool,
    /// The text, as the program wrote it.
    pub text: &'a [u8],
}

/// Appends the prefix of a record to `out`; the text and a newline are to follow.
pub fn push_prefix(out: &mut Vec<u8>, time: Timestamp, stream: Stream, partial: bool) {
    out.extend_from_slice(&Prefix::new(time, stream).of(partial));
}

/// The prefix of records of one stream, formatted once for all lines of a millisecond.
#[derive(Clone, Debug)]
pub struct Prefix {
    time: Timestamp,
    bytes: [u8; PREFIX],
}

impl Prefix {
    /// A prefix for records read at `time`.
    #[must_use]
    pub fn new(time: Timestamp, stream: Stream) -> Self {
        let mut bytes = [b' '; PREFIX];
        bytes[25..31].copy_from_slice(stream.tag().as_bytes());
        write_time(&mut bytes, time);
        Self { time, bytes }
    }

    /// Moves to another time; free when it is the same millisecond.
    pub fn move_to(&mut self, time: Timestamp) {
        if time != self.time {
            self.time = time;
            write_time(&mut self.bytes, time);
        }
    }

    /// The bytes for a whole line or for a piece that is continued.
    #[must_use]
    pub fn of(&self, partial: bool) -> [u8; PREFIX] {
        let mut bytes = self.bytes;
        bytes[32] = if partial { b'P' } else { b'F' };
        bytes
    }
}

/// A year beyond 9999 would not fit the format; a clock that far off is shown as the format's last moment.
fn write_time(bytes: &mut [u8; PREFIX], time: Timestamp) {
    let text = time.rfc3339();
    let text = if text.len() == 24 { text.as_str() } else { "9999-12-31T23:59:59.999Z" };
    bytes[..24].copy_from_slice(text.as_bytes());
}

/// What a record says of itself apart from its time: enough to tell which records are pieces of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where it came from.
    pub stream: Stream,
    /// Whether the line goes on in the next record of the same stream.
    pub partial: bool,
}

impl Head {
    /// Of a record, or of its first [`PREFIX`] bytes; `None` for bytes that are none (a file damaged by a full disk).
    #[must_use]
    pub fn of(record: &[u8]) -> Option<Self> {
        let prefix = record.get(..PREFIX)?;
        let stream = match &prefix[24..32] {
            b" stdout " => Stream::Stdout,
            b" stderr " => Stream::Stderr,
            b" system " => Stream::System,
            _ => return None,
        };
        let partial = match &prefix[32..] {
            b"P " => true,
            b"F " => false,
            _ => return None,
        };
        Some(Self { stream, partial })
    }

    /// Whether it continues the line of the record directly before it. A record of another stream in between ends that line, as
    /// it does on a terminal.
    #[must_use]
    pub fn continues(self, previous: Option<Self>) -> bool {
        previous.is_some_and(|previous| previous.partial && previous.stream == self.stream)
    }
}

/// Reads one record without its newline; `None` for bytes that are none (a file damaged by a full disk).
#[must_use]
pub fn parse(record: &[u8]) -> Option<Record<'_>> {
    let Head { stream, partial } = Head::of(record)?;
    let (prefix, text) = record.split_at(PREFIX);
    let time = std::str::from_utf8(&prefix[..24]).ok()?.parse::<chrono::DateTime<chrono::Utc>>().ok()?;
    Some(Record { time: time.into(), stream, partial, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let time = Timestamp::from_millis(1_764_000_000_123);
        for stream in [Stream::Stdout, Stream::Stderr, Stream::System] {
            for partial in [false, true] {
                let mut bytes = Vec::new();
                push_prefix(&mut bytes, time, stream, partial);
                assert_eq!(bytes.len(), PREFIX);
                bytes.extend_from_slice(b"caf\xe9 \x1b[31m");
                assert_eq!(parse(&bytes), Some(Record { time, stream, partial, text: b"caf\xe9 \x1b[31m" }));
            }
        }
    }

    #[test]
    fn bytes_that_are_no_record_are_told_apart() {
        for bytes in
            [&b""[..], b"short", b"2026-11-04T02:13:55.041Z stdnot F x", b"xxxx-11-04T02:13:55.041Z stdout F x"]
        {
            assert_eq!(parse(bytes), None);
        }
    }
}
