//! The binary: parse, dispatch, and turn the outcome into an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    stopover::cli::main()
}
