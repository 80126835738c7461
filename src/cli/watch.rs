//! `stopover watch`: a wall display, for a screen that nobody types at.

use color_eyre::Result;

use crate::config::Config;
use crate::console::wall::Every;
use crate::console::{self, Ending};

use super::Exit;
use super::console::on_terminal;

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
    let shows = console::watch(config, args.look.appearance(), args.every, Exit::StandsStill as i32);
    on_terminal("stopover watch", shows, |ending| match ending {
        Ending::Left => Exit::Fine,
        // Whoever has it in a loop gets it back.
        Ending::Asked | Ending::Silent(_) | Ending::Gone => Exit::StandsStill,
    })
}
