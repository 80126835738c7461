//! `stopover init`: stamps the ledger's passport.

use color_eyre::Result;

use crate::ledger::{EnvironmentName, NewPassport};

use super::{Context, Exit, UserError};

/// Arguments of `stopover init`.
#[derive(clap::Args)]
pub struct Args {
    /// The environment this ledger belongs to, e.g. `staging` [default: `STOPOVER_ENVIRONMENT`]
    #[arg(long, value_name = "NAME")]
    environment: Option<EnvironmentName>,
    /// Launching asks the operator to type the migration's name
    #[arg(long)]
    protected: bool,
    /// Replace an existing stamp
    #[arg(long)]
    restamp: bool,
}

/// Stamps, and says what the passport says.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let environment = match (args.environment, &context.config.environment) {
        (Some(given), Some(here)) if given != *here => {
            return Err(UserError::Usage(format!(
                "--environment is `{given}`, but STOPOVER_ENVIRONMENT here is `{here}`"
            ))
            .into());
        }
        (Some(given), _) => given,
        (None, Some(here)) => here.clone(),
        (None, None) => {
            return Err(
                UserError::Usage("which environment is this? `stopover init --environment NAME`".to_owned()).into()
            );
        }
    };
    let ledger = context.writer().await?;
    let new = NewPassport {
        environment: environment.clone(),
        protected: args.protected,
        by: context.config.actor.clone(),
        restamp: args.restamp,
    };
    let passport = ledger.stamp(new).await?;
    println!(
        "{} belongs to environment `{}`{}, stamped by {} at {}",
        ledger.label(),
        passport.environment,
        if passport.protected { " (protected)" } else { "" },
        passport.stamped_by.operator,
        passport.stamped_at
    );
    if passport.environment != environment || passport.protected != args.protected {
        return Err(UserError::Refused(
            "this ledger was stamped before, and differently; `--restamp` replaces the stamp".to_owned(),
        )
        .into());
    }
    Ok(Exit::Fine)
}
