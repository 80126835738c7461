//! `stopover metrics`: the figures about this pod's runs and the ledger's, as Prometheus reads them.

use std::io::Write;

use color_eyre::Result;

use crate::telemetry::page;

use super::{Context, Exit};

/// Prints them. A ledger that is away is told among them.
pub async fn run(context: &Context) -> Result<Exit> {
    let page = page::compose(&context.config).await;
    std::io::stdout().write_all(page.text.as_bytes())?;
    if let Some(trouble) = page.trouble {
        eprintln!("warning: {trouble}");
    }
    Ok(Exit::Fine)
}
