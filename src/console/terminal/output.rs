//! The thread that writes the terminal, and the screen that fills frames for it.
//!
//! A frame is handed over whole, one at a time: while one is being written no other is made, so that a slow terminal makes
//! the console draw less often and nothing piles up. What is drawn next is always the latest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::Notify;

const BEGIN_SYNCHRONISED: &[u8] = b"\x1b[?2026h";
const END_SYNCHRONISED: &[u8] = b"\x1b[?2026l";

/// Bytes of one write: small enough that a slow terminal shows its progress.
const PIECE: usize = 1024;

/// The writing thread's end of the terminal.
pub struct Output {
    frames: SyncSender<Vec<u8>>,
    done: Arc<Done>,
    /// Bytes handed over.
    sent: u64,
}

#[derive(Default)]
struct Done {
    /// Set when a frame has been written, or cannot be.
    notify: Notify,
    /// Whether the terminal refused a write.
    broken: AtomicBool,
    /// Bytes written.
    written: AtomicU64,
}

impl Output {
    /// Starts the writing thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start() -> io::Result<Self> {
        let (frames, inbox) = sync_channel(1);
        let done = Arc::new(Done::default());
        let writer = Arc::clone(&done);
        std::thread::Builder::new().name("terminal output".to_owned()).spawn(move || write_all(&inbox, &writer))?;
        Ok(Self { frames, done, sent: 0 })
    }

    /// Whether the terminal has taken the last frame.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.written() == self.sent
    }

    /// Waits until the terminal has taken a frame, if it has not since the last time.
    pub async fn taken(&self) {
        self.done.notify.notified().await;
    }

    /// How many bytes the terminal has taken since the start.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.done.written.load(Ordering::Acquire)
    }

    /// Whether the terminal refused a write: it is gone.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.done.broken.load(Ordering::Acquire)
    }

    /// Hands over bytes. Only when idle: what is handed over while another frame is being written is not taken.
    pub fn send(&mut self, bytes: Vec<u8>) -> bool {
        let length = bytes.len() as u64;
        if !self.is_idle() || self.frames.try_send(bytes).is_err() {
            return false;
        }
        self.sent += length;
        true
    }

    /// Waits at most `patience` for the frame under way. Answers whether the terminal takes what it is sent.
    pub fn drain(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while !self.is_broken() {
            if self.is_idle() {
                return true;
            }
            if Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }
}

fn write_all(inbox: &Receiver<Vec<u8>>, done: &Done) {
    let stdout = io::stdout();
    while let Ok(frame) = inbox.recv() {
        let mut rest = &frame[..];
        while !rest.is_empty() && !done.broken.load(Ordering::Acquire) {
            match rustix::io::write(&stdout, &rest[..rest.len().min(PIECE)]) {
                Ok(written) => {
                    rest = &rest[written..];
                    done.written.fetch_add(written as u64, Ordering::Release);
                }
                Err(rustix::io::Errno::INTR) => {}
                // Somebody else made the terminal non-blocking: wait until it takes more.
                Err(rustix::io::Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None);
                }
                Err(_) => done.broken.store(true, Ordering::Release),
            }
        }
        done.notify.notify_one();
    }
}

/// Writes a few bytes if the terminal takes them now: for leaving, when nobody may be there.
pub(super) fn write_if_possible(bytes: &[u8]) {
    let stdout = io::stdout();
    let patience = Timespec::try_from(Duration::from_millis(200)).ok();
    let mut fds = [PollFd::new(&stdout, PollFlags::OUT)];
    if matches!(poll(&mut fds, patience.as_ref()), Ok(1..)) && fds[0].revents() == PollFlags::OUT {
        // Not through the buffer of standard output, which is flushed, and waited for, at the end.
        let _ = rustix::io::write(&stdout, bytes);
    }
}

/// What the terminal shows, and what it shall show: a frame is the difference.
pub struct Screen {
    shown: Buffer,
    next: Buffer,
    /// Whether what the terminal shows is unknown, so that everything must be drawn.
    stale: bool,
}

impl Screen {
    /// A screen of a size, of which nothing is known yet.
    #[must_use]
    pub fn new((columns, rows): (u16, u16)) -> Self {
        let area = Rect::new(0, 0, columns, rows);
        Self { shown: Buffer::empty(area), next: Buffer::empty(area), stale: true }
    }

    /// Forgets what is shown.
    pub fn invalidate(&mut self) {
        self.stale = true;
    }

    /// Draws, and answers the bytes that bring the terminal there; none when nothing changes.
    ///
    /// # Errors
    /// Never in practice: the bytes go to memory.
    pub fn frame(&mut self, (columns, rows): (u16, u16), draw: impl FnOnce(&mut Buffer)) -> io::Result<Vec<u8>> {
        let area = Rect::new(0, 0, columns, rows);
        if self.next.area != area {
            self.next = Buffer::empty(area);
            self.shown = Buffer::empty(area);
            self.stale = true;
        }
        self.next.reset();
        draw(&mut self.next);
        let mut bytes = BEGIN_SYNCHRONISED.to_vec();
        if self.stale {
            self.shown.reset();
            bytes.extend_from_slice(b"\x1b[0m\x1b[2J");
        }
        let mut backend = CrosstermBackend::new(&mut bytes);
        let changes = self.shown.diff(&self.next);
        if changes.is_empty() && !self.stale {
            return Ok(Vec::new());
        }
        // Each run of cells begins with its place: what stands behind a doubtful one is put where it belongs.
        for run in changes.chunk_by(|(_, _, before), _| !is_doubtful(before.symbol())) {
            backend.draw(run.iter().copied())?;
        }
        bytes.extend_from_slice(END_SYNCHRONISED);
        std::mem::swap(&mut self.shown, &mut self.next);
        self.stale = false;
        Ok(bytes)
    }
}

/// Whether terminals disagree about how many columns a symbol takes: emoji, and whatever is combined of several characters.
fn is_doubtful(symbol: &str) -> bool {
    let mut chars = symbol.chars();
    chars.next().is_some_and(|c| c >= '\u{1f000}') || chars.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::Style;

    #[test]
    fn only_what_changes_is_sent_and_nothing_when_nothing_does() {
        let mut screen = Screen::new((20, 2));
        let mut draw =
            |text: &str| screen.frame((20, 2), |buffer| buffer.set_string(0, 0, text, Style::new())).unwrap();
        let first = String::from_utf8(draw("12s")).unwrap();
        assert!(first.starts_with("\x1b[?2026h") && first.contains("12s") && first.ends_with("\x1b[?2026l"));
        assert!(draw("12s").is_empty());
        let next = String::from_utf8(draw("13s")).unwrap();
        assert!(next.contains('3') && !next.contains("12"), "{next:?}");
    }

    #[test]
    fn what_follows_a_character_of_doubtful_width_is_put_in_its_place() {
        for symbol in ["🏦", "👩‍💻", "🇧🇷", "✈️"] {
            let mut screen = Screen::new((20, 1));
            let text = format!("ab{symbol}cd");
            let bytes = screen.frame((20, 1), |buffer| buffer.set_string(0, 0, &text, Style::new())).unwrap();
            let frame = String::from_utf8(bytes).unwrap();
            assert!(frame.contains(&format!("ab{symbol}")) && frame.contains("\x1b[1;5Hcd"), "{frame:?}");
        }
    }
}
