//! How the mirror writes a record.

use crate::config::LogFormat;
use crate::events::{Level, Subject};
use crate::logs::ecs::{Encoder, Identity};
use crate::logs::record::{Record, Stream};
use crate::logs::sanitise;

use super::ATOMIC;

/// See the module; holds what is the same in all lines of a run.
pub enum Format {
    /// For people: the line behind the name of its migration. A piece that is continued ends in `…`.
    Text {
        /// `[name] `
        prefix: String,
        /// The line being made.
        line: Vec<u8>,
    },
    /// For collectors, see [`crate::logs::ecs`].
    Ecs(Box<Encoder>),
}

impl Format {
    /// For the attempt of a run that `operator` launched.
    #[must_use]
    pub fn of_attempt(format: LogFormat, subject: &Subject, operator: &str) -> Self {
        match format {
            LogFormat::Text => {
                let name = subject.migration.as_ref().map(ToString::to_string).unwrap_or_default();
                Self::Text { prefix: format!("[{name}] "), line: Vec::with_capacity(ATOMIC) }
            }
            LogFormat::Ecs => Self::Ecs(Box::new(Encoder::of_attempt(&Identity::of_this_process(), subject, operator))),
        }
    }

    /// Gives `emit` the lines of a record, each of at most [`LONGEST`](crate::logs::ecs::LONGEST) bytes with its newline.
    pub fn lines(&mut self, record: &Record<'_>, level: Level, emit: &mut dyn FnMut(&[u8])) {
        match self {
            Self::Text { prefix, line } => text(prefix, line, record, emit),
            Self::Ecs(encoder) => encoder.record(record, level, emit),
        }
    }
}

fn text(prefix: &str, line: &mut Vec<u8>, record: &Record<'_>, emit: &mut dyn FnMut(&[u8])) {
    // Printable ASCII is passed on as it is; all else is made safe first, for a terminal will show it.
    let safe;
    let mut text = if record.text.iter().all(|&byte| (b' '..0x7f).contains(&byte) || byte == b'\t') {
        record.text
    } else {
        safe = sanitise::plain(record.text);
        safe.as_bytes()
    };
    let speaker: &[u8] = if record.stream == Stream::System { b"stopover: " } else { b"" };
    let room = ATOMIC - prefix.len() - speaker.len() - "…\n".len();
    loop {
        let cut = if text.len() <= room { text.len() } else { char_boundary(text, room) };
        let (piece, rest) = text.split_at(cut);
        line.clear();
        line.extend_from_slice(prefix.as_bytes());
        line.extend_from_slice(speaker);
        line.extend_from_slice(piece);
        line.extend_from_slice(if record.partial || !rest.is_empty() { "…\n".as_bytes() } else { b"\n" });
        emit(line);
        if rest.is_empty() {
            return;
        }
        text = rest;
    }
}

/// The last place at or before `at` that is not within a character.
fn char_boundary(text: &[u8], at: usize) -> usize {
    (at.saturating_sub(3)..=at).rev().find(|&index| text[index] & 0xc0 != 0x80).unwrap_or(at)
}
