//! Commands at a terminal that may be dead.
//!
//! After a lost `kubectl exec -t` a terminal reports nothing, takes some 85 KB more, and then blocks a write for ever. It cannot be asked
//! whether anybody is there, as the console asks its own: here the answer would be echoed. So a thread looks whether the process gets
//! on. If it has not for ten minutes it is stuck, in a write that nobody takes or at a question that nobody answers, and it ends; runs
//! go on without those who follow them. Ten minutes, because whoever reads a log may hold it with Ctrl-S, or while marking text.
//!
//! A pipe or a file is another matter: its reader may take as long as it likes, and is gone when the pipe is closed. Except a pipe of the
//! container's runtime, which `kubectl exec` without `-t` reads: when its client is gone, it is not closed, takes some 128 KB more and then
//! blocks, too. It is given an hour, for whoever pages through what it brings.

use std::io::{self, IsTerminal, Write};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::config::{self, ConfigError};

use super::Exit;

/// A process that does not get on for so long is stuck.
const PATIENCE: Duration = Duration::from_mins(10);
/// The same at a pipe of the container's runtime.
const PATIENCE_WITH_A_RUNTIME: Duration = Duration::from_hours(1);
/// Looks within the patience. They rest while the process is stopped, so that it is given the patience anew when it goes on.
const LOOKS: u32 = 20;
/// Bytes of one write: small enough that a slow terminal shows its progress.
const PIECE: usize = 4096;
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Grows whenever this process gets on.
static PROGRESS: AtomicU64 = AtomicU64::new(0);

/// From now on, ends this process when it is stuck at its terminal, or at a pipe of the container's runtime. Does nothing where there is
/// neither. To be called in a runtime of one thread.
///
/// # Errors
/// When `STOPOVER_TERMINAL_PATIENCE` is no duration.
pub fn watch() -> Result<(), ConfigError> {
    let chosen = config::duration("STOPOVER_TERMINAL_PATIENCE")?;
    let at_terminal = io::stdout().is_terminal() || io::stderr().is_terminal();
    // What a runtime brings into a container has no parent that could be seen from there.
    let is_brought_in = rustix::process::getppid().is_none();
    if !at_terminal && !is_brought_in {
        return Ok(());
    }
    let patience = chosen.unwrap_or(if at_terminal { PATIENCE } else { PATIENCE_WITH_A_RUNTIME });
    let look = (patience / LOOKS).max(Duration::from_millis(10));
    // Whatever blocks the one thread stops this, too.
    tokio::spawn(async move {
        loop {
            PROGRESS.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(look).await;
        }
    });
    // Without it, a dead terminal may leave the process behind; that is no reason not to serve a living one.
    let _ = thread::Builder::new().name("onlooker".to_owned()).spawn(move || {
        let (mut known, mut in_vain) = (0, 0);
        while in_vain <= LOOKS {
            thread::sleep(look);
            let progress = PROGRESS.load(Ordering::Relaxed);
            in_vain = if progress == known { in_vain + 1 } else { 0 };
            known = progress;
        }
        leave(patience);
    });
    Ok(())
}

/// Ends this process, and says why if the terminal takes it.
fn leave(patience: Duration) -> ! {
    let end = || process::exit(Exit::StandsStill as i32);
    let _ = thread::Builder::new().spawn(move || {
        thread::sleep(LAST_WORDS);
        end()
    });
    eprintln!("\nnothing was taken here for {}: left; runs go on", humantime::format_duration(patience));
    end()
}

/// Writes to standard output, in pieces that count as progress.
///
/// # Errors
/// When it is closed.
pub fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for piece in bytes.chunks(PIECE) {
        stdout.write_all(piece)?;
        stdout.flush()?;
        PROGRESS.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
