//! `stopover`: opens the console.

use color_eyre::Result;

use super::{Context, Exit};
use crate::console::{self, Appearance, ColourDepth};

/// How the console looks.
#[derive(clap::Args)]
pub struct Args {
    /// Colours the terminal can show: none, 16, 256 or truecolor [default: 16; none where `NO_COLOR` is set]
    #[arg(long, value_name = "DEPTH", help_heading = "Console options")]
    color: Option<ColourDepth>,
    /// Draw with ASCII characters only
    #[arg(long, help_heading = "Console options")]
    ascii: bool,
}

/// Opens the console and stays until it is left.
///
/// # Errors
/// When the terminal cannot be taken.
pub async fn run(context: Context, args: Args) -> Result<Exit> {
    let look = Appearance { colour: args.color.unwrap_or_else(ColourDepth::from_environment), ascii: args.ascii };
    console::run(context.config, look).await?;
    Ok(Exit::Fine)
}
