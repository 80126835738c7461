//! `stopover logs`.

use std::sync::Arc;

use color_eyre::Result;

use crate::ledger::{LedgerReader, Run};

use super::Context;

/// Prints the log of a run, as `stopover logs -f` does, until the run stands still.
pub async fn follow(_context: &Context, _ledger: Arc<dyn LedgerReader>, _run: &Run) -> Result<()> {
    todo!()
}
