//! The thread that reads the terminal. It sleeps in `poll`; a terminal that is gone ends it, it never spins.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::keys::{Awaited, Heard, Parser};

/// What the thread reports.
#[derive(Debug)]
pub enum Input {
    /// Bytes came: what they complete, which is nothing in the midst of a long paste. Or none came after an escape: the escape key.
    Heard(Vec<Heard>),
    /// The terminal is gone; nothing more will come.
    Gone,
}

/// What follows an escape is not the escape key's if it comes within this time.
const ESCAPE: Duration = Duration::from_millis(50);
/// How long the rest of a sequence may take that has begun: connections tear them, people do not type them.
const REST: Duration = Duration::from_secs(1);

/// Starts reading standard input. The thread ends with the terminal, or with the receiver.
///
/// # Errors
/// When no thread can be started.
pub fn listen(inputs: mpsc::Sender<Input>) -> io::Result<()> {
    std::thread::Builder::new().name("terminal input".to_owned()).spawn(move || {
        let mut parser = Parser::default();
        while let Some(heard) = next(&mut parser) {
            if inputs.blocking_send(Input::Heard(heard)).is_err() {
                return;
            }
        }
        let _ = inputs.blocking_send(Input::Gone);
    })?;
    Ok(())
}

/// Waits for bytes; `None` when the terminal is gone. That nothing came is no sign of anybody, so it is not reported: a paste or an answer whose end
/// was lost with the connection would else keep the console for ever.
fn next(parser: &mut Parser) -> Option<Vec<Heard>> {
    let stdin = io::stdin();
    let mut bytes = [0; 4096];
    loop {
        let timeout = match parser.waits_for() {
            Awaited::Anything => None,
            Awaited::AfterEscape => Timespec::try_from(ESCAPE).ok(),
            Awaited::Rest => Timespec::try_from(REST).ok(),
        };
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => {
                let settled = parser.settle();
                if settled.is_empty() {
                    continue;
                }
                return Some(settled);
            }
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return None,
        }
        let found = fds[0].revents();
        if !found.contains(PollFlags::IN) && found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return None;
        }
        match rustix::io::read(&stdin, &mut bytes) {
            Ok(0) => return None,
            Ok(length) => return Some(parser.feed(&bytes[..length])),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return None,
        }
    }
}
