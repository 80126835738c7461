//! What the keeper says, on its standard output.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};

/// The keeper's standard output, which can never hold it up: when nobody reads it, lines are left out and counted.
pub struct Voice {
    out: Option<File>,
    left_out: u64,
}

impl Voice {
    /// Opens it.
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
        let out = match kind {
            Ok(FileType::Fifo | FileType::CharacterDevice) => own().or_else(shared),
            _ => shared(),
        };
        Self { out: out.map(File::from), left_out: 0 }
    }

    /// Says a line.
    pub fn say(&mut self, text: &str) {
        let missed = match self.left_out {
            0 => String::new(),
            count => format!("stopover: {count} lines are left out here, for this output was not read in time\n"),
        };
        if self.write(format!("{missed}stopover: {text}\n").as_bytes()) {
            self.left_out = 0;
        } else {
            self.left_out += 1;
        }
    }

    /// In one write, which a pipe takes whole or not at all as long as it is not longer than 4,096 bytes.
    fn write(&mut self, line: &[u8]) -> bool {
        let Some(out) = &mut self.out else { return false };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::OUT)], Some(&now));
        ready.is_ok_and(|ready| ready > 0) && out.write(line).is_ok_and(|count| count == line.len())
    }
}
