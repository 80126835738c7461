//! `stopover detach RUN --attempt N`: the hidden, short-lived role that starts a worker in a session of its own and prints its pid.

use color_eyre::Result;

use crate::config::Config;
use crate::launch;

use super::{Exit, worker};

/// Starts the worker. To be called before any other thread exists.
pub fn run(config: &Config, args: &worker::Args) -> Result<Exit> {
    println!("{}", launch::leave(config, args.run, args.attempt, args.migration.as_deref())?);
    Ok(Exit::Fine)
}
