//! What a pod does about a run by itself: decided from the run, the catalog of this image and this pod's processes, without touching anything.

use crate::catalog::{Catalog, Entry, ResumePolicy};
use crate::config::Config;
use crate::launch::{ResumeRequest, resumption};
use crate::ledger::{Interruption, Run, RunState, Standing};
use crate::time::Timestamp;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is no business of this pod, or not its business any more.
    LeaveAlone,
    /// It goes on here.
    Resume,
    /// It would go on by itself, but not here. Says why.
    Decline(String),
}

/// Where and since when somebody looks.
#[derive(Clone, Copy)]
pub struct Lookout<'a> {
    /// What this image has.
    pub catalog: &'a Catalog,
    /// Of this pod.
    pub config: &'a Config,
    /// When this pod (or its container) began to look, by the ledger's clock.
    pub since: Timestamp,
}

impl Lookout<'_> {
    /// What to do about `run` at `now`, a time of the ledger's clock. The ledger may still refuse it.
    #[must_use]
    pub fn judge(self, run: &Run, now: Timestamp) -> Verdict {
        let standing = run.standing(now);
        if !matches!(standing, Standing::Interrupted | Standing::Lost)
            || run.wish().is_some()
            || self.policy(run) == ResumePolicy::Manual
            || run.recovery_of(self.pod()).is_some()
            || self.is_ending(run)
            || self.is_alive_here(run)
        {
            return Verdict::LeaveAlone;
        }
        // That the manifest has a default for it does not say what the operator gave.
        if let Some(param) = run.launch.params.iter().find(|param| param.secret) {
            let (name, short) = (&param.name, run.id.short());
            return Verdict::Decline(format!(
                "its param `{name}` is secret and stored nowhere; `stopover resume {short} --param {name}=@FILE` continues it"
            ));
        }
        match resumption(self.catalog, self.config, run, &ResumeRequest::default()) {
            Ok(_) => Verdict::Resume,
            Err(refusal) => Verdict::Decline(refusal.to_string()),
        }
    }

    /// Whether `run` may yet become a matter for this pod.
    #[must_use]
    pub fn concerns(self, run: &Run) -> bool {
        run.is_open() && self.policy(run) == ResumePolicy::Auto && run.recovery_of(self.pod()).is_none()
    }

    /// An image that has the migration says it for itself. For one that has not, the image that launched the run does: it must tell why
    /// the run does not go on here.
    fn policy(self, run: &Run) -> ResumePolicy {
        match self.catalog.entry(&run.migration) {
            Some(Entry::Ready(migration)) => migration.resume,
            Some(Entry::Broken(_)) | None => run.launch.resume,
        }
    }

    /// What this very pod has interrupted since we look is not to go on here: the pod is being shut down.
    fn is_ending(self, run: &Run) -> bool {
        let is_here = run.worker.as_ref().is_some_and(|worker| worker.place.pod == self.pod());
        is_here && matches!(run.state, RunState::Interrupted { at, cause: Interruption::Shutdown } if at >= self.since)
    }

    /// A worker that lives is an operator's to judge, however long it has been silent.
    fn is_alive_here(self, run: &Run) -> bool {
        run.worker
            .as_ref()
            .is_some_and(|worker| run.lease().is_some() && worker.place.pod == self.pod() && worker.process.is_alive())
    }

    fn pod(&self) -> &str {
        &self.config.actor.place.pod
    }
}
