//! What every verb works with: the configuration, and the ledger opened as it may be used.

use std::sync::Arc;

use color_eyre::Result;

use crate::catalog::{Catalog, MigrationId};
use crate::config::Config;
use crate::ledger::{
    Histories, History, LedgerReader, LedgerWriter, Run, RunId, RunQuery, Seen, open_reader, open_writer,
};
use crate::time::Timestamp;

use super::exit::UserError;

/// See the module.
pub struct Context {
    /// Flags, environment and `stopover.yaml`.
    pub config: Config,
}

impl Context {
    /// The catalog of this image.
    #[must_use]
    pub fn catalog(&self) -> Catalog {
        Catalog::load(&self.config.catalog)
    }

    /// The ledger, for looking.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn reader(&self) -> Result<Arc<dyn LedgerReader>> {
        Ok(open_reader(&self.config.ledger).await?)
    }

    /// The ledger, for acting; never in read-only mode.
    ///
    /// # Errors
    /// When this process is read-only, or the ledger cannot be reached.
    pub async fn writer(&self) -> Result<Arc<dyn LedgerWriter>> {
        // Verbs that change something were refused before; nothing here makes a writer all the same.
        self.config.may_change("writing to the ledger", Some("stopover")).map_err(UserError::Refused)?;
        Ok(open_writer(&self.config.ledger).await?)
    }

    /// The run that a person means by an id, the last digits of one, or the name of a migration (its latest run).
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub async fn find_run(&self, ledger: &dyn LedgerReader, text: &str) -> Result<Seen<Run>> {
        if let Ok(id) = text.parse::<RunId>() {
            let seen = ledger.run(id).await?;
            let run = seen.value.ok_or(crate::ledger::LedgerError::NoSuchRun(id))?;
            return Ok(Seen { now: seen.now, value: run });
        }
        if let Ok(migration) = MigrationId::new(text) {
            let query = RunQuery { migration: Some(migration), limit: Some(1) };
            let mut seen = ledger.runs(query).await?;
            if let Some(run) = seen.value.pop() {
                return Ok(Seen { now: seen.now, value: run });
            }
        }
        let digits: String = text.chars().filter(|&c| c != '-').collect::<String>().to_ascii_lowercase();
        if digits.len() >= 4 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
            let mut found = ledger.runs_ending_in(&digits).await?;
            if found.len() > 1 {
                let list: Vec<_> = found.iter().map(|run| format!("  {}  {}", run.id, run.migration)).collect();
                let list = list.join("\n");
                return Err(UserError::Usage(format!(
                    "{text} is the end of more than one run's id; give more digits:\n{list}"
                ))
                .into());
            }
            if let Some(run) = found.pop() {
                return Ok(Seen { now: ledger.now().await?, value: run });
            }
        }
        let hint = match MigrationId::new(text).ok().filter(|id| self.catalog().entry(id).is_some()) {
            Some(id) => format!("{id} has never been run; `stopover run {id}` launches it"),
            None => format!(
                "there is neither a run nor a migration `{text}`; `stopover runs` and `stopover list` show what there is"
            ),
        };
        Err(UserError::Refused(hint).into())
    }
}

/// The histories of some migrations, folded from all their runs.
///
/// # Errors
/// When the ledger cannot be reached.
pub async fn histories_of(
    ledger: &dyn LedgerReader,
    migrations: impl IntoIterator<Item = &MigrationId>,
) -> Result<Seen<Histories>> {
    let mut histories = Histories::new();
    let mut now: Option<Timestamp> = None;
    for id in migrations {
        let seen = ledger.runs(RunQuery { migration: Some(id.clone()), limit: None }).await?;
        now = Some(seen.now);
        let mut history = History::default();
        for run in seen.value {
            history.absorb(run);
        }
        histories.insert(id.clone(), history);
    }
    let now = match now {
        Some(now) => now,
        None => ledger.now().await?,
    };
    Ok(Seen { now, value: histories })
}
