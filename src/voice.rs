//! What Stopover itself says on the output of its pod, for `kubectl logs` and for collectors: somebody may read it, or nobody.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};

use crate::config::LogFormat;
use crate::events::{self, Level, Subject};
use crate::logs::ecs::{Encoder, Identity, LONGEST};
use crate::logs::sanitise;
use crate::time::Timestamp;

/// A process's standard output, which can never hold it up: when nobody reads it, lines are left out and counted.
pub struct Voice {
    out: Option<File>,
    words: RefCell<Words>,
    left_out: Cell<u64>,
}

impl Voice {
    /// Speaks on the standard output.
    #[must_use]
    pub fn on_stdout(format: LogFormat) -> Self {
        // A description of its own, so that not to wait is asked for here alone and not for all who write there.
        let own = || {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            rustix::fs::open("/proc/self/fd/1", flags, Mode::empty()).ok()
        };
        // A file has one end that all share, and a socket cannot be opened a second time.
        let shared = || rustix::stdio::stdout().try_clone_to_owned().ok();
        let kind = rustix::fs::fstat(rustix::stdio::stdout()).map(|file| FileType::from_raw_mode(file.st_mode));
        let out = match kind {
            Ok(FileType::Fifo | FileType::CharacterDevice) => own().or_else(shared),
            _ => shared(),
        };
        Self::on(out, Words::new(format))
    }

    fn on(out: Option<OwnedFd>, words: Words) -> Self {
        Self { out: out.map(File::from), words: words.into(), left_out: Cell::new(0) }
    }

    /// Says that something is as it should be; never waits.
    pub fn say(&self, text: impl Display) {
        self.tell(Level::Info, None, text);
    }

    /// Says what is worth a look; never waits.
    pub fn warn(&self, text: impl Display) {
        self.tell(Level::Warn, None, text);
    }

    /// Says something about a run; never waits.
    pub fn tell(&self, level: Level, subject: Option<&Subject>, text: impl Display) {
        let text = text.to_string();
        events::of_pod(level, subject, &text);
        let mut words = self.words.borrow_mut();
        if let count @ 1.. = self.left_out.get() {
            let missed = format!("{count} lines are left out here, for this output was not read in time");
            if self.write_all(&words.lines(Level::Warn, None, &missed)) {
                self.left_out.set(0);
            }
        }
        if self.left_out.get() > 0 || !self.write_all(&words.lines(level, subject, &text)) {
            self.left_out.set(self.left_out.get() + 1);
        }
    }

    /// Each in one write; whether all were taken.
    fn write_all(&self, lines: &[Vec<u8>]) -> bool {
        lines.iter().all(|line| self.write(line))
    }

    fn write(&self, line: &[u8]) -> bool {
        let Some(mut out) = self.out.as_ref() else { return false };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::OUT)], Some(&now));
        ready.is_ok_and(|ready| ready > 0) && out.write(line).is_ok_and(|count| count == line.len())
    }
}

/// How it is written.
pub enum Words {
    /// For people.
    Text,
    /// For collectors, see [`crate::logs::ecs`].
    Ecs(Box<Encoder>),
}

impl Words {
    /// Of this process.
    #[must_use]
    pub fn new(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Ecs => Self::Ecs(Box::new(Encoder::of_pod(&Identity::of_this_process()))),
        }
    }

    /// A text as lines, each with its end and of at most [`LONGEST`] bytes. For people it is one, and cut.
    pub fn lines(&mut self, level: Level, subject: Option<&Subject>, text: &str) -> Vec<Vec<u8>> {
        match self {
            Self::Text => {
                let text = format!("stopover: {text}").replace(['\n', '\r'], " ");
                let mut line = sanitise::plain(text.as_bytes());
                line.truncate(line.floor_char_boundary(LONGEST - 1));
                line.push('\n');
                vec![line.into_bytes()]
            }
            Self::Ecs(encoder) => {
                let text = text.replace(['\n', '\r'], " ");
                let mut lines = Vec::new();
                encoder
                    .own(Timestamp::of_this_machine(), level, subject, &text, &mut |line| lines.push(line.to_owned()));
                lines
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};

    use super::*;

    #[test]
    fn each_word_is_one_line_of_bounded_length() {
        let (mut reader, writer) = pipe().unwrap();
        let voice = Voice::on(Some(writer.into()), Words::Text);
        voice.say("a run is lost\nand \u{1b}[31mred");
        voice.say("é".repeat(5_000));
        drop(voice);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        assert_eq!(lines[0], "stopover: a run is lost and red\n");
        assert!(lines[1].len() <= LONGEST && lines.len() == 2);
    }

    #[test]
    fn in_the_common_schema_a_long_word_is_several_lines() {
        let (mut reader, writer) = pipe().unwrap();
        let voice = Voice::on(Some(writer.into()), Words::new(LogFormat::Ecs));
        voice.warn("é".repeat(5_000));
        drop(voice);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let mut said = String::new();
        for line in text.split_inclusive('\n') {
            assert!(line.len() <= LONGEST, "{}", line.len());
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["log.level"], "warn");
            said += line["message"].as_str().unwrap();
        }
        assert_eq!(said, "é".repeat(5_000));
    }

    #[test]
    fn a_reader_that_stalls_holds_nobody_up_and_is_told_what_it_missed() {
        let (mut reader, writer) = pipe().unwrap();
        let voice = Voice::on(Some(writer.into()), Words::Text);
        for _ in 0..1_000 {
            voice.say("x".repeat(4_000));
        }
        let missed = voice.left_out.get();
        assert!(missed > 900, "{missed}");
        let mut read = vec![0; 64 * 1024];
        reader.read_exact(&mut read[..32 * 1024]).unwrap();
        voice.say("again");
        drop(voice);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let told = format!(
            "stopover: {missed} lines are left out here, for this output was not read in time\nstopover: again\n"
        );
        assert!(rest.ends_with(&told), "{}", &rest[rest.len().saturating_sub(200)..]);
    }
}
