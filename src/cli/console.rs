//! `stopover`, or `stopover console`: the console, where there is a terminal for it.

use std::io::IsTerminal;

use color_eyre::Result;

use crate::config::Config;
use crate::console::{self, Appearance, ColourDepth, Ending};

use super::{Exit, attach};

/// Options of the console; `stopover` takes them without a verb, too.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Colours: none, 16, 256 or truecolor [default: 16, none if `NO_COLOR` is set]
    #[arg(long, value_name = "DEPTH")]
    color: Option<ColourDepth>,
    /// Draw with ASCII characters only
    #[arg(long)]
    ascii: bool,
}

/// Opens the console; without a terminal, says how to attach.
pub fn run(config: Config, args: &Args) -> Result<Exit> {
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Ok(attach::explain());
    }
    let look = Appearance { colour: args.color.unwrap_or_else(ColourDepth::from_environment), ascii: args.ascii };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ending = runtime.block_on(console::run(config, look, Exit::StandsStill as i32))?;
    // A blocking read of a log or of the catalog must not keep the operator waiting.
    runtime.shutdown_background();
    Ok(match ending {
        Ending::Silent(_) => Exit::StandsStill,
        Ending::Left | Ending::Asked | Ending::Gone => Exit::Fine,
    })
}
