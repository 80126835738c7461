//! `stopover keep`: the pod's PID 1.

use std::time::Duration;

use color_eyre::Result;

use crate::config::Config;
use crate::keeper::{self, Settings};

use super::Exit;

/// Arguments of `stopover keep`.
#[derive(clap::Args)]
pub struct Args {
    /// How long the pod has from SIGTERM to SIGKILL: its terminationGracePeriodSeconds, less what a preStop hook takes
    /// [env: `STOPOVER_TERMINATION_GRACE`; default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    grace: Option<Duration>,
    /// Answer GET /livez, /readyz and /metrics at this address, such as 0.0.0.0:8080 [env: `STOPOVER_LISTEN`; default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

/// Keeps the pod until SIGTERM or SIGINT. To be called before any other thread exists.
pub fn run(config: &Config, args: &Args) -> Result<Exit> {
    let settings = Settings::load(args.grace, args.listen.as_deref())?;
    keeper::run(config, &settings)?;
    Ok(Exit::Fine)
}
