//! Lines in the Elastic Common Schema: one JSON object each, which Filebeat and Elastic Agent take as they are.
//!
//! Keys are dotted, as Elastic's own loggers print them, and begin with `@timestamp`, `log.level` and `message`. What says who speaks is
//! the same in all lines of a process, and encoded once. No line is longer than [`LONGEST`] with its newline: a longer text is cut into
//! pieces, each an object by itself, whose `labels.stopover_part` counts them and whose `labels.stopover_more` says that one follows.

mod program;

use memchr::memchr2;

use crate::config::{SERVICE, service_name, variable};
use crate::events::{Level, Subject};
use crate::place::{self, Place};
use crate::time::Timestamp;
use crate::trace_context::TraceContext;

use super::record::{Head, Prefix, Record, Stream};
use super::sanitise;

/// Bytes of a line with its newline: a pipe takes so many whole or not at all, see pipe(7).
pub const LONGEST: usize = 4096;
/// The version of the schema, whose definitions the fields are checked against.
pub const VERSION: &str = "9.4.0";
/// Bytes that the fields which are the same in every line may take; those that find no room are left out. There are names of any length.
const IDENTITY: usize = 2048;
/// Bytes of a value of these fields.
const VALUE: usize = 256;
/// Bytes kept for what follows the message besides: numbers, and the marks of a piece.
const MARKS: usize = 128;

/// Who speaks.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What the process is called in the backend.
    pub service: String,
    /// `STOPOVER_ENVIRONMENT`, if it is set.
    pub environment: Option<String>,
    /// Where it is.
    pub place: Place,
    /// Whether that is a pod.
    pub is_in_kubernetes: bool,
    /// Its process.
    pub pid: u32,
}

impl Identity {
    /// Of this process, by its environment.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            service: service_name().unwrap_or_else(|| SERVICE.to_owned()),
            environment: variable("STOPOVER_ENVIRONMENT"),
            place: Place::current(),
            is_in_kubernetes: place::in_kubernetes(),
            pid: std::process::id(),
        }
    }
}

/// Turns what is said into lines.
pub struct Encoder {
    fields: Fields,
    of_streams: [Fields; 3],
    /// The time of the last line, encoded: a flood has many lines of the same millisecond.
    clock: Prefix,
    sequence: u64,
    /// The record before, and which piece of its line it was.
    previous: Option<(Head, u64)>,
    line: Vec<u8>,
}

impl Encoder {
    /// For the log of an attempt, which `operator` launched.
    #[must_use]
    pub fn of_attempt(identity: &Identity, subject: &Subject, operator: &str) -> Self {
        let mut fields = Fields::of_subject(subject);
        fields.add("labels.stopover_operator", operator);
        fields.add("event.dataset", "stopover.run");
        fields.add_identity(identity);
        Self::new(fields)
    }

    /// For what a pod says of itself.
    #[must_use]
    pub fn of_pod(identity: &Identity) -> Self {
        let mut fields = Fields::default();
        fields.add("event.dataset", "stopover.pod");
        fields.add_identity(identity);
        Self::new(fields)
    }

    fn new(fields: Fields) -> Self {
        let of_stream = |stream: Stream| {
            let mut fields = Fields::default();
            fields.add("labels.stopover_stream", stream.tag());
            fields
        };
        let clock = Prefix::new(Timestamp::from_millis(0), Stream::System);
        let of_streams = [Stream::Stdout, Stream::Stderr, Stream::System].map(of_stream);
        Self { fields, of_streams, clock, sequence: 0, previous: None, line: Vec::with_capacity(LONGEST) }
    }

    /// Gives `emit` the lines of a record. `level` is that of Stopover's own; what a program says on standard output is as it should be, and
    /// on standard error worth a look, unless it says otherwise itself.
    pub fn record(&mut self, record: &Record<'_>, level: Level, emit: &mut dyn FnMut(&[u8])) {
        let level = match record.stream {
            Stream::Stdout => Level::Info,
            Stream::Stderr => Level::Warn,
            Stream::System => level,
        };
        let head = Head { stream: record.stream, partial: record.partial };
        let part = self.previous.filter(|(previous, _)| head.continues(Some(*previous))).map_or(0, |(_, part)| part);
        let is_whole_line = part == 0 && !record.partial && record.stream != Stream::System;
        if is_whole_line && self.programs_own(record, level, emit) {
            self.previous = Some((head, 0));
            return;
        }
        let own = std::mem::take(&mut self.of_streams[record.stream as usize]);
        let piece = Piece { part, goes_on: record.partial };
        let part = self.say(record.time, level, &plain(record.text), piece, &own, emit);
        self.of_streams[record.stream as usize] = own;
        self.previous = Some((head, part));
    }

    /// Gives `emit` the lines of what the process itself says, about `subject` if that is given.
    pub fn own(
        &mut self,
        time: Timestamp,
        level: Level,
        subject: Option<&Subject>,
        text: &str,
        emit: &mut dyn FnMut(&[u8]),
    ) {
        let own = subject.map(Fields::of_subject).unwrap_or_default();
        self.say(time, level, &plain(text.as_bytes()), Piece { part: 0, goes_on: false }, &own, emit);
    }

    /// A line that the program's own logger has written in the schema; whether it is one.
    fn programs_own(&mut self, record: &Record<'_>, level: Level, emit: &mut dyn FnMut(&[u8])) -> bool {
        let Some(object) = program::read(record.text) else { return false };
        self.clock.move_to(record.time);
        let clock = self.clock.of(false);
        let ours = [&self.fields, &self.of_streams[record.stream as usize]];
        let time = std::str::from_utf8(&clock[..24]).unwrap_or_default();
        let Some(line) = program::merge(object, time, level, self.sequence + 1, ours) else { return false };
        self.sequence += 1;
        emit(line.as_bytes());
        true
    }

    /// Gives back how many pieces of the line there are by now; 0 when it is in one.
    fn say(
        &mut self,
        time: Timestamp,
        level: Level,
        mut text: &str,
        Piece { mut part, goes_on }: Piece,
        own: &Fields,
        emit: &mut dyn FnMut(&[u8]),
    ) -> u64 {
        self.clock.move_to(time);
        let clock = self.clock.of(false);
        let line = &mut self.line;
        loop {
            line.clear();
            line.extend_from_slice(b"{\"@timestamp\":\"");
            line.extend_from_slice(&clock[..24]);
            line.extend_from_slice(b"\",\"log.level\":\"");
            line.extend_from_slice(level.as_str().as_bytes());
            line.extend_from_slice(b"\",\"message\":\"");
            let room = LONGEST - line.len() - self.fields.text.len() - own.text.len() - MARKS;
            let taken = escape(line, text, room);
            text = &text[taken..];
            line.push(b'"');
            line.extend_from_slice(self.fields.text.as_bytes());
            line.extend_from_slice(own.text.as_bytes());
            self.sequence += 1;
            line.extend_from_slice(b",\"event.sequence\":");
            push_number(line, self.sequence);
            let more = goes_on || !text.is_empty();
            if more || part > 0 {
                part += 1;
                line.extend_from_slice(b",\"labels.stopover_part\":\"");
                push_number(line, part);
                line.push(b'"');
            }
            if more {
                line.extend_from_slice(b",\"labels.stopover_more\":\"true\"");
            }
            line.extend_from_slice(b"}\n");
            emit(line);
            if text.is_empty() {
                return part;
            }
        }
    }
}

/// Where in a line a record is.
struct Piece {
    /// How many pieces there were before.
    part: u64,
    /// Whether there will be more.
    goes_on: bool,
}

/// Fields in the order in which they are printed, encoded: for most lines all at once, for those of a program's own logger one by one.
#[derive(Default)]
struct Fields {
    /// `,"name":value` of each.
    text: String,
    /// The name, and where its value stands.
    values: Vec<(&'static str, std::ops::Range<usize>)>,
}

impl Fields {
    /// What the lines about a run have, and by which Elastic finds them from its trace: in its terms the run is the transaction.
    fn of_subject(subject: &Subject) -> Self {
        let Subject { run, migration, attempt } = subject;
        let mut fields = Self::default();
        let transaction = TraceContext::of_run(*run);
        fields.add("trace.id", &transaction.trace_hex());
        fields.add("transaction.id", &transaction.span_hex());
        if let Some(attempt) = attempt {
            fields.add("span.id", &TraceContext::of_attempt(*run, *attempt).span_hex());
        }
        fields.add("labels.stopover_run", &run.to_string());
        if let Some(migration) = migration {
            fields.add("labels.stopover_migration", migration.as_str());
        }
        if let Some(attempt) = attempt {
            fields.add("labels.stopover_attempt", &attempt.to_string());
        }
        fields
    }

    fn add_identity(&mut self, identity: &Identity) {
        let Identity { service, environment, place, is_in_kubernetes, pid } = identity;
        self.add("ecs.version", VERSION);
        self.add("service.name", service);
        self.add("service.version", &place.build());
        self.add_if("service.environment", environment.as_deref());
        self.add("service.node.name", &place.pod);
        self.add_raw("process.pid", &pid.to_string());
        self.add("host.name", place.node.as_deref().unwrap_or(&place.pod));
        if *is_in_kubernetes {
            self.add("orchestrator.type", "kubernetes");
            self.add_if("orchestrator.namespace", place.namespace.as_deref());
            self.add("orchestrator.resource.type", "pod");
            self.add("orchestrator.resource.name", &place.pod);
        }
        self.add_if("container.image.name", place.image.as_deref());
    }

    fn add_if(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn add(&mut self, name: &'static str, value: &str) {
        let mut encoded = vec![b'"'];
        escape(&mut encoded, &sanitise::plain(value.as_bytes()), VALUE);
        encoded.push(b'"');
        self.add_raw(name, &String::from_utf8_lossy(&encoded));
    }

    fn add_raw(&mut self, name: &'static str, value: &str) {
        let start = self.text.len() + name.len() + ",\"\":".len();
        if start + value.len() <= IDENTITY {
            self.text.push_str(",\"");
            self.text.push_str(name);
            self.text.push_str("\":");
            self.text.push_str(value);
            self.values.push((name, start..start + value.len()));
        }
    }

    /// Each name with its value as JSON.
    fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values.iter().map(|(name, value)| (*name, &self.text[value.clone()]))
    }
}

/// A text without anything that steers a terminal. Printable ASCII is what it is.
fn plain(text: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => text.into(),
        _ => sanitise::plain(text).into(),
    }
}

/// Appends as much of `text` as takes at most `room` bytes as a JSON string; gives back how many of its bytes. Sanitised text has nothing to
/// escape but quotes and backslashes.
fn escape(out: &mut Vec<u8>, text: &str, mut room: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let run = memchr2(b'"', b'\\', &bytes[at..]).unwrap_or(bytes.len() - at);
        if run > room {
            let cut = text.floor_char_boundary(at + room);
            out.extend_from_slice(&bytes[at..cut]);
            return cut;
        }
        out.extend_from_slice(&bytes[at..at + run]);
        at += run;
        room -= run;
        if at == bytes.len() || room < 2 {
            return at;
        }
        out.extend_from_slice(&[b'\\', bytes[at]]);
        at += 1;
        room -= 2;
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests;
