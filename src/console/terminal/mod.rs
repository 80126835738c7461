//! The terminal: entered and left in one place, read and written by threads of their own.
//!
//! Under `kubectl exec` a terminal whose other end is gone says nothing, accepts some 85 KB more, and then blocks a write for ever.
//! Hence nothing but [`output`]'s thread ever writes to it, nothing ever waits for that thread, and [`pulse`] asks
//! whether anybody is there.

pub mod input;
pub mod keys;
pub mod output;
pub mod pulse;

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use rustix::termios::{self, OptionalActions, Termios};

/// Alternate screen, no cursor, bracketed paste.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[2J";
/// The same backwards, and whatever a torn frame may have left: synchronised update, colours.
const LEAVE: &str = "\x1b[?2026l\x1b[0m\x1b[?2004l\x1b[?25h\x1b[?1049l";

/// How the terminal was before, while the console has it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal, taken. It is given back when this is dropped, and before a panic is reported.
pub struct Taken(());

/// Takes the terminal: raw mode and the alternate screen.
///
/// # Errors
/// When standard input is no terminal.
pub fn take() -> io::Result<Taken> {
    let stdin = io::stdin();
    let before = termios::tcgetattr(&stdin)?;
    let mut raw = before.clone();
    raw.make_raw();
    // `Now`: waiting for output to drain may wait for ever.
    termios::tcsetattr(&stdin, OptionalActions::Now, &raw)?;
    *BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(before);
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        report(panic);
    }));
    Ok(Taken(()))
}

/// The bytes that open the screen.
#[must_use]
pub fn opening() -> &'static [u8] {
    ENTER.as_bytes()
}

/// Gives the terminal back, once, without ever waiting for it.
fn give_back() {
    let before = BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let Some(before) = before else { return };
    output::write_if_possible(LEAVE.as_bytes());
    let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &before);
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// Says a line, on a terminal that has been given back. Whoever calls this shall have called [`end_within`] before.
pub fn say(line: &str) {
    output::write_if_possible(format!("{line}\n").as_bytes());
}

/// Ends this process with a status after so long, whatever it is waiting for then: a terminal can block even the one who leaves.
pub fn end_within(patience: Duration, status: i32) {
    let _ = std::thread::Builder::new().name("leaving".to_owned()).spawn(move || {
        std::thread::sleep(patience);
        std::process::exit(status);
    });
}

/// The terminal's size; `None` while it is unknown, which under `kubectl exec` it is for up to 100 ms after the start (0x0).
#[must_use]
pub fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// What is assumed while the size is unknown.
pub const ASSUMED_SIZE: (u16, u16) = (80, 24);
