//! Saying what happens on the pod's output, which somebody may read by `kubectl logs`, or nobody.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::logs::sanitise;

/// Lines that may wait for a reader; more are dropped, for what they tell is in the ledger, too.
const WAITING: usize = 256;
/// A write of at most this is not torn by the others that write to the same pipe, see pipe(7).
const ATOMIC: usize = 4096;
/// How long a stalled reader is waited for at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// A thread of its own writes, so that a reader that stalls holds nothing up.
pub struct Voice {
    queue: SyncSender<String>,
    thread: JoinHandle<()>,
}

impl Voice {
    /// Speaks on `output`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn on(mut output: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = sync_channel::<String>(WAITING);
        let thread = thread::Builder::new().name("voice".to_owned()).spawn(move || {
            for line in lines {
                // Whoever reads may be gone; that is no reason not to do the work.
                let _ = output.write_all(line.as_bytes()).and_then(|()| output.flush());
            }
        })?;
        Ok(Self { queue, thread })
    }

    /// Says one line; never waits.
    pub fn say(&self, text: impl Display) {
        let mut line = sanitise::plain(format!("stopover: {text}").replace(['\n', '\r'], " ").as_bytes());
        line.truncate(line.floor_char_boundary(ATOMIC - 1));
        line.push('\n');
        let _ = self.queue.try_send(line);
    }

    /// Waits until everything is written, but not for a reader that stalls.
    pub fn close(self) {
        drop(self.queue);
        let deadline = Instant::now() + CLOSE_WITHIN;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read, pipe};

    use super::*;

    fn heard(mut reader: PipeReader) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn each_word_is_one_line_of_bounded_length() {
        let (reader, writer) = pipe().unwrap();
        let voice = Voice::on(writer).unwrap();
        voice.say("a run is lost\nand \u{1b}[31mred");
        voice.say("é".repeat(5_000));
        voice.close();
        let text = heard(reader);
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        assert_eq!(lines[0], "stopover: a run is lost and red\n");
        assert!(lines[1].len() <= ATOMIC && lines.len() == 2);
    }

    #[test]
    fn a_reader_that_stalls_holds_nobody_up() {
        let (reader, writer) = pipe().unwrap();
        let voice = Voice::on(writer).unwrap();
        for _ in 0..10 * WAITING {
            voice.say("x".repeat(4_000));
        }
        voice.close();
        drop(reader);
    }
}
