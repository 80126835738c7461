//! `stopover guard`: the hidden role that ends a program whose worker no longer watches over it.

use color_eyre::Result;

use crate::worker::guard::{self, Watch};
use crate::worker::strays::Mark;

use super::Exit;

/// Waits for the worker's end. What it had to do is told in the worker's own log.
pub fn run() -> Result<Exit> {
    let mark = Mark::of_parent();
    let watch = guard::watch();
    // Even if something of the session cannot be killed.
    if !matches!(watch, Ok(Watch::Relieved))
        && let Some(mark) = mark
    {
        mark.kill_all()?;
    }
    match watch? {
        Watch::Relieved => {}
        Watch::Died => eprintln!("the worker died; everything that it had started was killed"),
        Watch::Overdue => {
            eprintln!("the worker did not renew its lease in time; it was killed with everything that it had started");
        }
    }
    Ok(Exit::Fine)
}
