//! `stopover new`: a migration that runs from the first moment, to be filled with work.

use std::io::Write;

use color_eyre::Result;

use crate::catalog::scaffold::{self, Kind, ScaffoldError};

use super::{Context, Exit, UserError};

/// Arguments of `stopover new`.
#[derive(clap::Args)]
pub struct Args {
    /// Its name, e.g. `add_sender_to_transactions`; gets today's date before it unless it begins with a digit
    name: String,
    /// What to begin with
    #[arg(long, value_enum, default_value = "script")]
    kind: Kind,
}

/// Writes the files and says what to do next.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let today = chrono::Utc::now().date_naive();
    let created =
        scaffold::create(&context.config.catalog, &args.name, args.kind, today).map_err(|error| match error {
            ScaffoldError::Name { .. } => UserError::Usage(error.to_string()).into(),
            ScaffoldError::Io { .. } => color_eyre::Report::from(error),
            _ => UserError::Refused(error.to_string()).into(),
        })?;
    let mut out = std::io::stdout().lock();
    for file in &created.files {
        writeln!(out, "wrote {}", file.display())?;
    }
    writeln!(out, "\nnext:\n  stopover lint\n  stopover run {} --follow", created.id)?;
    Ok(Exit::Fine)
}
