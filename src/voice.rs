//! What Stopover itself says on the output of its pod, for `kubectl logs`: somebody may read it, or nobody.

use std::cell::Cell;
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};

use crate::logs::sanitise;

/// Bytes of a line with its end: a pipe takes so many whole or not at all, and does not mix them with what others write, see pipe(7).
const LONGEST: usize = 4096;

/// A process's standard output, which can never hold it up: when nobody reads it, lines are left out and counted.
pub struct Voice {
    out: Option<File>,
    left_out: Cell<u64>,
}

impl Voice {
    /// Speaks on the standard output.
    #[must_use]
    pub fn on_stdout() -> Self {
        // A description of its own, so that not to wait is asked for here alone and not for all who write there.
        let own = || {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            rustix::fs::open("/proc/self/fd/1", flags, Mode::empty()).ok()
        };
        // A file has one end that all share, and a socket cannot be opened a second time.
        let shared = || rustix::stdio::stdout().try_clone_to_owned().ok();
        let kind = rustix::fs::fstat(rustix::stdio::stdout()).map(|file| FileType::from_raw_mode(file.st_mode));
        Self::on(match kind {
            Ok(FileType::Fifo | FileType::CharacterDevice) => own().or_else(shared),
            _ => shared(),
        })
    }

    fn on(out: Option<OwnedFd>) -> Self {
        Self { out: out.map(File::from), left_out: Cell::new(0) }
    }

    /// Says one line; never waits.
    pub fn say(&self, text: impl Display) {
        let missed = match self.left_out.get() {
            0 => String::new(),
            count => format!("stopover: {count} lines are left out here, for this output was not read in time\n"),
        };
        let mut line = sanitise::plain(format!("stopover: {text}").replace(['\n', '\r'], " ").as_bytes());
        line.truncate(line.floor_char_boundary(LONGEST - missed.len() - 1));
        let written = self.write(format!("{missed}{line}\n").as_bytes());
        self.left_out.set(if written { 0 } else { self.left_out.get() + 1 });
    }

    /// In one write.
    fn write(&self, lines: &[u8]) -> bool {
        let Some(mut out) = self.out.as_ref() else { return false };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::OUT)], Some(&now));
        ready.is_ok_and(|ready| ready > 0) && out.write(lines).is_ok_and(|count| count == lines.len())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};

    use super::*;

    #[test]
    fn each_word_is_one_line_of_bounded_length() {
        let (mut reader, writer) = pipe().unwrap();
        let voice = Voice::on(Some(writer.into()));
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
    fn a_reader_that_stalls_holds_nobody_up_and_is_told_what_it_missed() {
        let (mut reader, writer) = pipe().unwrap();
        let voice = Voice::on(Some(writer.into()));
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
