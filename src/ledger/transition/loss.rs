//! Telling people of a lost attempt: once, by one of all pods, and by another if that one dies.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ledger::loss::LossNotice;
use crate::ledger::run::{Run, Standing};
use crate::place::Place;
use crate::time::Timestamp;

use super::Applied;

impl Run {
    /// A pod takes it upon itself to tell that `attempt` is lost, or says whom it has `told`, and whether all have it. It is no part of the
    /// run's history: nothing happened to the run.
    pub(super) fn tell_loss(
        &self,
        attempt: u32,
        by: &Arc<Place>,
        mut told: BTreeSet<String>,
        is_delivered: bool,
        now: Timestamp,
    ) -> Applied {
        let already = |what: &str| Applied::Already(format!("attempt {attempt} of run {}: {what}", self.id.short()));
        if attempt != self.attempt {
            return already("there is a later one");
        }
        let is_report = is_delivered || !told.is_empty();
        match self.loss.as_ref().filter(|notice| notice.attempt == attempt) {
            Some(notice) if notice.delivered => return already("its loss was told"),
            Some(notice) if !is_report && notice.pod != by.pod && now.since(notice.at) < LossNotice::WITHIN => {
                return already("another pod tells of its loss");
            }
            Some(notice) if is_report && !is_delivered && told.is_subset(&notice.told) => {
                return already("that they were told is recorded");
            }
            // Whom another pod has told knows.
            Some(notice) => told.extend(notice.told.iter().cloned()),
            None => {}
        }
        // Whoever has told of a loss says so even if the worker has come back meanwhile.
        if !is_report && self.standing(now) != Standing::Lost {
            return already("it is not lost");
        }
        let mut next = self.clone();
        next.loss = Some(LossNotice { attempt, pod: by.pod.clone(), at: now, told, delivered: is_delivered });
        next.updated_at = self.next_update(now);
        Applied::Noted(Box::new(next))
    }
}
