//! What every step works with.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ChildStderr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::catalog::{CommandTemplate, MigrationId};
use crate::ledger::{LedgerWriter, RunId};

use super::fault::Fault;
use super::governor::OwnLoad;
use super::observer::Observer;
use super::patience::Patience;
use super::site::Site;
use super::tally::Tally;
use super::throttle::Throttle;
use super::tools::Tools;
use super::transform::{Command, Transform};

/// How long a transform may take for one batch; a transaction lives for a minute.
const TRANSFORM_WITHIN: Duration = Duration::from_secs(30);

/// See the module.
pub struct Context {
    /// The database.
    pub site: Site,
    /// The run.
    pub run: RunId,
    /// What it runs.
    pub migration: MigrationId,
    /// The attempt, which is the epoch of every checkpoint.
    pub attempt: u32,
    /// Only the documents that this run left out.
    pub quarantine_of: Option<RunId>,
    /// The step that earlier attempts had come to, and the documents that were selected there.
    pub reached: Option<(u32, i64)>,
    /// Makes a text safe to be kept.
    pub mask: Arc<dyn Fn(&str) -> String + Send + Sync>,
    /// Where documents that are left out are recorded.
    pub ledger: Arc<dyn LedgerWriter>,
    /// Where progress is told.
    pub tally: Tally,
    /// How fast it may go.
    pub throttle: Throttle,
    /// What it puts on the server itself.
    pub own: OwnLoad,
    /// How long a batch should take.
    pub batch: Duration,
    /// Asks for a stop at the next checkpoint.
    pub stop: CancellationToken,
    /// Says of a stop that nothing will be resumed.
    pub for_good: CancellationToken,
    /// Tells the run's log.
    pub note: Arc<dyn Fn(String) + Send + Sync>,
    /// Tells the operator.
    pub warn: Arc<dyn Fn(String) + Send + Sync>,
    /// Who measures.
    pub observer: Arc<dyn Observer>,
    /// The environment of a transform.
    pub environment: BTreeMap<OsString, OsString>,
    /// Who reads what a transform prints on standard error.
    pub stderr: Arc<dyn Fn(ChildStderr) -> Receiver<Vec<String>> + Send + Sync>,
}

impl Context {
    /// Tries again what fails for a reason that passes.
    ///
    /// # Errors
    /// What does not pass.
    pub async fn patiently<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Fault> {
        let mut patience = Patience::default();
        loop {
            match call().await {
                Err(Fault::Passing(reason) | Fault::TooMuch(reason)) => {
                    self.tally.retried();
                    patience.wait(&reason, &self.stop).await?;
                }
                // Nothing that is called here looks at a document.
                Err(Fault::Poison(reason)) => return Err(Fault::Fatal(reason)),
                other => return other,
            }
        }
    }

    /// What a step that is not cut into batches is given.
    pub async fn with_tools<T>(&self, call: impl AsyncFnOnce(Tools<'_>) -> T) -> T {
        let note = |text| (self.note)(text);
        let report = |done, total, message| self.tally.tell(done, total, message);
        call(Tools { site: &self.site, stop: &self.stop, note: &note, report: &report }).await
    }

    /// What is going on; nothing special when empty.
    pub fn say(&self, message: &str) {
        self.tally.say((!message.is_empty()).then(|| message.to_owned()));
    }

    /// Tells the log and the operator.
    pub fn warn(&self, text: String) {
        (self.note)(format!("warning: {text}"));
        (self.warn)(text);
    }

    /// Starts the program of a transform.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn transform(&self, template: &CommandTemplate) -> Result<Arc<Transform>, Fault> {
        let stderr = self.stderr.clone();
        let command = Command {
            argv: template.render(&self.migration, false),
            directory: template.directory.to_path_buf(),
            environment: self.environment.clone(),
        };
        Transform::start(command, TRANSFORM_WITHIN, Box::new(move |pipe| stderr(pipe))).map(Arc::new)
    }
}
