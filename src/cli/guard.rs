//! `stopover guard`: the hidden role that ends a program whose worker has died.

use color_eyre::Result;

use crate::worker::guard;

use super::Exit;

/// Waits for the worker's end.
pub fn run() -> Result<Exit> {
    guard::watch()?;
    Ok(Exit::Fine)
}
