//! `stopover worker RUN --attempt N`: the hidden role that executes one attempt of a run.

use color_eyre::Result;

use crate::config::Config;
use crate::ledger::RunId;
use crate::worker;

use super::Exit;

/// Which attempt of which run; also what the helper role is told.
#[derive(clap::Args)]
pub struct Args {
    /// The run's id
    pub run: RunId,
    /// The attempt to claim
    #[arg(long)]
    pub attempt: u32,
    /// What it executes, for those who look at a process list
    #[arg(long)]
    pub migration: Option<String>,
}

/// Executes the attempt. To be called before any other thread exists.
pub fn run(config: &Config, args: &Args) -> Result<Exit> {
    worker::run(config, args.run, args.attempt)?;
    Ok(Exit::Fine)
}
