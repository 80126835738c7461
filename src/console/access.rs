//! What a console may do to its ledger. A read-only one has no way to a writer: there is nothing in it to make one from.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::config::Config;
use crate::ledger::{self, LedgerAddress, LedgerError, LedgerWriter};

/// The right to look, or to act.
pub enum Access {
    /// Look, don't touch.
    ReadOnly,
    /// Act, once asked to.
    Operator(Pen),
}

/// The way to a writer. It is opened at the first action, not at the start: who only looks writes nothing, and a console
/// whose user may only read still opens.
pub struct Pen {
    address: LedgerAddress,
    writer: OnceCell<Arc<dyn LedgerWriter>>,
}

impl Access {
    /// What `config` allows.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        if config.read_only.is_some() {
            Self::ReadOnly
        } else {
            Self::Operator(Pen { address: config.ledger.clone(), writer: OnceCell::new() })
        }
    }
}

impl Pen {
    /// The writer; opened if it is not yet.
    ///
    /// # Errors
    /// The ledger's; the next call tries again.
    pub async fn writer(&self) -> Result<Arc<dyn LedgerWriter>, LedgerError> {
        self.writer.get_or_try_init(|| ledger::open_writer(&self.address)).await.cloned()
    }
}
