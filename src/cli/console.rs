//! `stopover`, or `stopover console`: the console, where there is a terminal for it.

use std::io::IsTerminal;

use color_eyre::Result;

use crate::config::Config;
use crate::console::{self, Appearance, ColourDepth};
use crate::diagnostics;

use super::attach;
use super::exit::{Exit, Shown};

/// Options of the console; `stopover` takes them without a verb, too.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Args {
    /// Colours: none, 16, 256 or truecolor [default: 16, none if `NO_COLOR` is set]
    #[arg(long, value_name = "DEPTH")]
    color: Option<ColourDepth>,
    /// Draw with ASCII characters only
    #[arg(long)]
    ascii: bool,
}

impl Args {
    /// How the screen shall look.
    pub fn appearance(&self) -> Appearance {
        Appearance { colour: self.color.unwrap_or_else(ColourDepth::from_environment), ascii: self.ascii }
    }
}

/// Opens the console; without a terminal, says how to attach.
pub fn run(config: Config, args: &Args) -> Result<Exit> {
    let noted = config.clone();
    let shows = console::run(config, args.appearance(), |ending| Exit::of_ending(ending, Shown::Console));
    on_terminal("stopover", &noted, shows)
}

/// Stays with what `command` shows on the terminal, until it ends, and notes what happens to it; without a terminal, says how to attach to it.
pub fn on_terminal(command: &str, config: &Config, shows: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Ok(attach::explain(command));
    }
    let _diagnostics = diagnostics::of_console(config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exit = runtime.block_on(shows)?;
    // A blocking read of a log or of the catalog must not keep the operator waiting.
    runtime.shutdown_background();
    Ok(exit)
}
