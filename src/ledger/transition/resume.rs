//! The next attempt of a run: an operator's, or that of a pod that found it without one.

use std::sync::Arc;
use std::time::Duration;

use crate::ledger::recovery::{Recovery, RecoveryOutcome, Resumed, Resumer};
use crate::ledger::run::{Lease, Run, RunState, Standing};
use crate::place::Place;
use crate::time::{Timestamp, short_duration};

use super::{Applied, EventKind, NewContent, Refusal, told};

impl Run {
    pub(super) fn resume(
        &self,
        by: &Resumer,
        lease: Duration,
        content: Option<NewContent>,
        leftover: Option<i32>,
        now: Timestamp,
    ) -> Result<Applied, Refusal> {
        let standing = self.standing(now);
        if standing.is_live() {
            return Err(self.live(now));
        }
        if !standing.is_resumable() {
            return Err(self.ended("resume", now));
        }
        let mut next = self.clone();
        next.attempt += 1;
        match by {
            // Whoever resumes it has seen what became of it; from here on pods may try again.
            Resumer::Operator(_) => next.recoveries.clear(),
            Resumer::Recovery(place) => {
                self.may_look_after(place, now)?;
                let times = self.recoveries.iter().filter(|recovery| recovery.has_resumed()).count();
                if times >= Recovery::MOST_RESUMED {
                    return Err(Refusal::ResumedTooOften { run: self.id.short(), times });
                }
                next.note_recovery(place, RecoveryOutcome::Resumed { attempt: next.attempt }, now);
            }
        }
        let by_whom = match by {
            Resumer::Operator(actor) => actor.operator.clone(),
            Resumer::Recovery(place) => format!("pod {}, by itself,", place.pod),
        };
        next.state = RunState::Queued { since: now, lease: Lease::granted(now, lease) };
        let (kind, mut text) = if standing == Standing::Lost {
            let text =
                format!("{by_whom} took it over from pod {}, not heard of for {}", self.place().pod, self.silence(now));
            (EventKind::TakenOver, text)
        } else {
            (EventKind::Resumed, format!("{by_whom} resumed it; it was {standing}"))
        };
        if let Some(pid) = leftover {
            text = format!("{text}; what is left of its worker here (pid {pid}) is killed first");
        }
        if let Some(NewContent { command, checksum }) = content {
            text = format!(
                "{text}, with changed content (checksum {}, was {})",
                checksum.short(),
                next.launch.checksum.short()
            );
            next.launch.command = command;
            next.launch.checksum = checksum;
        }
        let actor = by.actor();
        next.resumed = Some(Resumed { by: actor.clone(), at: now });
        Ok(self.changed(next, now, kind, Some(actor), text))
    }

    /// A pod says why it does not resume a run that it found interrupted or lost.
    pub(super) fn decline(&self, by: &Arc<Place>, reason: &str, now: Timestamp) -> Result<Applied, Refusal> {
        match self.may_look_after(by, now) {
            Ok(()) => {}
            Err(refusal @ Refusal::LookedAfter { .. }) => return Ok(Applied::Already(refusal.to_string())),
            Err(refusal) => return Err(refusal),
        }
        let reason: String = reason.chars().take(Recovery::LONGEST_REASON).collect();
        let text = format!("pod {} did not resume it: {reason}", by.pod);
        let mut next = self.clone();
        next.note_recovery(by, RecoveryOutcome::Declined { reason }, now);
        let actor = Resumer::Recovery(Arc::clone(by)).actor();
        Ok(self.changed(next, now, EventKind::Declined, Some(actor), text))
    }

    /// What a pod may do by itself: once, and only for what stopped without anybody's wish.
    fn may_look_after(&self, pod: &Place, now: Timestamp) -> Result<(), Refusal> {
        let standing = self.standing(now);
        if standing.is_live() {
            return Err(self.live(now));
        }
        // What was asked of a lost worker is the operator's to decide again: it must not be forgotten.
        if !matches!(standing, Standing::Interrupted | Standing::Lost) || self.wish().is_some() {
            return Err(Refusal::OperatorsOnly { run: self.id.short(), word: standing.word() });
        }
        match self.recovery_of(&pod.pod) {
            Some(recovery) => Err(Refusal::LookedAfter {
                run: self.id.short(),
                pod: pod.pod.clone(),
                ago: short_duration(now.since(recovery.at)),
            }),
            None => Ok(()),
        }
    }

    fn note_recovery(&mut self, pod: &Place, outcome: RecoveryOutcome, now: Timestamp) {
        if self.recoveries.len() >= Recovery::KEPT
            && let Some(oldest) = self.recoveries.iter().position(|recovery| !recovery.has_resumed())
        {
            self.recoveries.remove(oldest);
        }
        self.recoveries.push(Recovery { at: now, pod: pod.pod.clone(), outcome });
    }

    fn live(&self, now: Timestamp) -> Refusal {
        let first =
            self.resumed.as_ref().map_or_else(String::new, |Resumed { by, at }| format!(": {}", told(by, *at, now)));
        Refusal::Live {
            run: self.id.short(),
            word: self.standing(now).word(),
            pod: self.place().pod.clone(),
            ago: self.silence(now),
            first,
        }
    }
}
