//! `stopover watch`: a wall display, for a screen that nobody types at.

use color_eyre::Result;

use crate::config::Config;
use crate::console::{self, wall::Every};

use super::console::on_terminal;
use super::exit::{Exit, Shown};

/// Arguments of `stopover watch`.
#[derive(clap::Args)]
pub struct Args {
    /// How long one run is shown before the next, 1s to 10min
    #[arg(long, value_name = "DURATION", default_value_t)]
    every: Every,
    #[command(flatten)]
    look: super::console::Args,
}

/// Shows until somebody leaves; without a terminal, says how to attach.
pub fn run(config: Config, args: &Args) -> Result<Exit> {
    let ending = |ending| Exit::of_ending(ending, Shown::Wall);
    let noted = config.clone();
    on_terminal("stopover watch", &noted, console::watch(config, args.look.appearance(), args.every, ending))
}
