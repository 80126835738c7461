//! `stopover completions SHELL`.

use clap_complete::Shell;
use color_eyre::Result;

use super::Exit;

/// Arguments of `stopover completions`.
#[derive(clap::Args)]
pub struct Args {
    /// The shell to complete in
    shell: Shell,
}

/// Prints the script on standard output.
pub fn run(command: &mut clap::Command, args: &Args) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "stopover", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)?;
    Ok(Exit::Fine)
}
