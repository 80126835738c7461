//! The end of a run's latest attempt, read from the record: for whoever tells others of it.

use crate::ledger::run::{Run, RunState};
use crate::ledger::wish::WishKind;
use crate::time::Timestamp;

use super::{Action, Applied, Outcome};

impl Run {
    /// How its latest attempt has ended, and what an operator had asked of it; `None` while it has not. What became of a stop is for the ledger
    /// to say, and not for what its worker knew last: a pause may have turned into a cancel since.
    #[must_use]
    pub fn ending(&self) -> Option<(Outcome, Option<WishKind>)> {
        match &self.state {
            RunState::Queued { .. } | RunState::Running { .. } => None,
            RunState::Paused { .. } => Some((Outcome::Stopped, Some(WishKind::Pause))),
            RunState::Cancelled { .. } => Some((Outcome::Stopped, Some(WishKind::Cancel))),
            RunState::Interrupted { cause, .. } => Some((Outcome::Interrupted(cause.clone()), None)),
            RunState::Succeeded { .. } => Some((Outcome::Succeeded, None)),
            RunState::Failed { failure, .. } => Some((Outcome::Failed(failure.clone()), None)),
        }
    }

    /// As it must be in the ledger since that took in that its running attempt has ended so, where it cannot be read at `now`. `None` for a stop:
    /// which that was, and who asked for it, the ledger alone knows.
    #[must_use]
    pub fn presumed(&self, outcome: &Outcome, now: Timestamp) -> Option<Self> {
        if *outcome == Outcome::Stopped {
            return None;
        }
        match self.apply(Action::Finish { attempt: self.attempt, outcome: outcome.clone() }, now) {
            Ok(Applied::Changed(run, _)) => Some(*run),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Interruption;
    use crate::ledger::samples::{at, failure, finish, running, stop};

    #[test]
    fn of_an_end_the_record_says_what_its_worker_would() {
        let run = running(at(0));
        assert_eq!(run.ending(), None);
        let interrupted = Outcome::Interrupted(Interruption::Shutdown);
        for outcome in [Outcome::Succeeded, failure(3), interrupted] {
            let ended = run.after(finish(1, outcome.clone()), at(9));
            assert_eq!(ended.ending(), Some((outcome.clone(), None)));
            assert_eq!(run.presumed(&outcome, at(9)), Some(ended));
        }
        assert_eq!(run.presumed(&Outcome::Stopped, at(9)), None);
    }

    #[test]
    fn a_pause_that_became_a_cancel_has_ended_as_one() {
        let paused = running(at(0)).after(stop(WishKind::Pause, "ben"), at(1));
        let cancelled = paused.after(stop(WishKind::Cancel, "ben"), at(2)).after(finish(1, Outcome::Stopped), at(3));
        assert_eq!(cancelled.ending(), Some((Outcome::Stopped, Some(WishKind::Cancel))));
        let paused = paused.after(finish(1, Outcome::Stopped), at(3));
        assert_eq!(paused.ending(), Some((Outcome::Stopped, Some(WishKind::Pause))));
    }
}
