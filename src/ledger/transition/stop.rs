//! Stopping a run: a wish to its worker, force when it does not follow, and the worker's word that it has heard.

use std::time::Duration;

use crate::ledger::run::{Lease, Run, RunState};
use crate::ledger::tuning::{SpeedChange, Tuning};
use crate::ledger::wish::{Force, Wish, WishKind};
use crate::place::Actor;
use crate::time::{Timestamp, short_duration};

use super::{Applied, EventKind, Refusal, told};

/// What a worker has heard of its operators, and what it does about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// To pause or to cancel.
    Stop {
        /// Which.
        kind: WishKind,
        /// How long the program has to stop at a checkpoint.
        time: Duration,
    },
    /// To stop by force.
    Force,
    /// Another speed.
    Speed {
        /// As the ledger holds it.
        set: SpeedChange,
        /// What that makes of the manifest's.
        now: SpeedChange,
    },
}

impl Run {
    pub(super) fn stop(&self, kind: WishKind, by: Actor, now: Timestamp) -> Result<Applied, Refusal> {
        let mut next = self.clone();
        match (&self.state, kind) {
            (RunState::Running { wish: Some(wish), .. }, _)
                if !self.is_lost(now) && (wish.kind == kind || wish.kind == WishKind::Cancel) =>
            {
                Ok(Applied::Already(self.asked_already(wish, now)))
            }
            (RunState::Running { since, lease, wish }, _) if !self.is_lost(now) => {
                // What is forced stays so: only what becomes of the run is another now.
                let force = wish.as_ref().and_then(|wish| wish.force.clone());
                let wish = Wish { kind, by: by.clone(), at: now, heard_at: None, force };
                next.state = RunState::Running { since: *since, lease: *lease, wish: Some(wish) };
                let (event, text) = match kind {
                    WishKind::Pause => (EventKind::PauseRequested, format!("{} asked it to pause", by.operator)),
                    WishKind::Cancel => (EventKind::CancelRequested, format!("{} asked it to cancel", by.operator)),
                };
                Ok(self.changed(next, now, event, Some(by), text))
            }
            (RunState::Paused { at, by: first }, WishKind::Pause) => {
                Ok(Applied::Already(format!("run {} is paused already: {}", self.id.short(), told(first, *at, now))))
            }
            (RunState::Cancelled { at, by: first }, WishKind::Cancel) => {
                Ok(Applied::Already(format!("run {} is cancelled already: {}", self.id.short(), told(first, *at, now))))
            }
            (RunState::Running { .. } | RunState::Queued { .. }, WishKind::Pause) if self.is_lost(now) => {
                Err(self.lost(now))
            }
            (RunState::Queued { .. }, WishKind::Pause) => {
                next.state = RunState::Paused { at: now, by: by.clone() };
                let text = format!("{} paused it before it started", by.operator);
                Ok(self.changed(next, now, EventKind::Paused, Some(by), text))
            }
            // No process holds it (or none that could still write): it ends at once.
            (
                RunState::Queued { .. }
                | RunState::Running { .. }
                | RunState::Paused { .. }
                | RunState::Interrupted { .. },
                WishKind::Cancel,
            ) => {
                next.state = RunState::Cancelled { at: now, by: by.clone() };
                let text = format!("{} cancelled it while it was {}", by.operator, self.standing(now));
                Ok(self.changed(next, now, EventKind::Cancelled, Some(by), text))
            }
            (RunState::Interrupted { .. }, WishKind::Pause) => Ok(Applied::Already(format!(
                "run {} stands still already: {}",
                self.id.short(),
                self.reason().unwrap_or_default()
            ))),
            (
                RunState::Succeeded { .. }
                | RunState::Failed { .. }
                | RunState::Cancelled { .. }
                | RunState::Running { .. },
                _,
            ) => Err(self.ended(kind.verb(), now)),
        }
    }

    fn asked_already(&self, wish: &Wish, now: Timestamp) -> String {
        let asked = match wish.kind {
            WishKind::Pause => "pausing",
            WishKind::Cancel => "cancelling",
        };
        let short = self.id.short();
        let first = format!("run {short} is {asked} already: {}", asked_for(wish, now));
        match &wish.force {
            Some(force) => format!("{first}, and by force: {}", told(&force.by, force.at, now)),
            None => first,
        }
    }

    /// A stop that is no longer left to the program. It must have been asked for, and its `grace` be over.
    pub(super) fn force(&self, kind: WishKind, by: Actor, grace: Duration, now: Timestamp) -> Result<Applied, Refusal> {
        let RunState::Running { since, lease, wish } = &self.state else {
            return self.stop(kind, by, now);
        };
        // No process that could still write: the ordinary rules say what holds at once.
        if self.is_lost(now) {
            return self.stop(kind, by, now);
        }
        let Some(wish) = wish else {
            return Err(Refusal::NotAsked { run: self.id.short(), verb: kind.verb() });
        };
        let is_more = kind == WishKind::Cancel && wish.kind == WishKind::Pause;
        let is_first = kind == wish.kind && wish.force.is_none();
        if !is_more && !is_first {
            return Ok(Applied::Already(self.asked_already(wish, now)));
        }
        let waited = now.since(wish.at);
        if wish.force.is_none() && waited < grace {
            return Err(Refusal::TooEarly {
                run: self.id.short(),
                word: self.standing(now).word(),
                first: asked_for(wish, now),
                left: grace.saturating_sub(waited),
            });
        }
        let force = wish.force.clone().unwrap_or_else(|| Force { by: by.clone(), at: now, heard_at: None });
        let mut next = self.clone();
        next.state = RunState::Running {
            since: *since,
            lease: *lease,
            wish: Some(Wish {
                kind,
                by: if is_more { by.clone() } else { wish.by.clone() },
                force: Some(force),
                ..wish.clone()
            }),
        };
        let text = format!(
            "{} forces it to {}: its worker ends the program at once, and no renewal extends its lease any more",
            by.operator,
            kind.verb()
        );
        Ok(self.changed(next, now, EventKind::ForceRequested, Some(by), text))
    }

    /// The lease after a renewal at `now`: a stop by force has an end even if the worker does not follow.
    pub(super) fn renewed(&self, length: Duration, now: Timestamp) -> Lease {
        match (self.lease(), self.is_forced()) {
            (Some(lease), true) => Lease { renewed_at: now, ..lease },
            _ => Lease::granted(now, length),
        }
    }

    /// The worker of `attempt` says that it has heard its operators. Recorded once for each thing asked.
    pub(super) fn acknowledge(&self, attempt: u32, heard: Heard, now: Timestamp) -> Result<Applied, Refusal> {
        if !self.is_held_by(attempt) {
            return Err(self.fenced(attempt, now));
        }
        let mut next = self.clone();
        let wish = match &mut next.state {
            RunState::Running { wish, .. } => wish.as_mut(),
            _ => None,
        };
        let work = if self.is_native() { "steps have" } else { "program has" };
        // What was asked may have changed while the answer was on its way; the next answer is for that.
        let text = match (heard, wish, &mut next.tuning) {
            (Heard::Stop { kind, time }, Some(wish), _) if wish.kind == kind && wish.heard_at.is_none() => {
                wish.heard_at = Some(now);
                format!("attempt {attempt} heard it: its {work} {} to stop at a checkpoint", short_duration(time))
            }
            (Heard::Force, Some(Wish { force: Some(force), .. }), _) if force.heard_at.is_none() => {
                force.heard_at = Some(now);
                format!("attempt {attempt} heard it: its {work} been ended")
            }
            (Heard::Speed { set, now: goes_on }, _, Some(tuning))
                if tuning.speed == set && tuning.heard_at.is_none() =>
            {
                *tuning = Tuning { heard_at: Some(now), ..tuning.clone() };
                format!("attempt {attempt} heard it: it goes on at {goes_on}")
            }
            _ => {
                return Ok(Applied::Already(format!(
                    "attempt {attempt} of run {} has answered that already, or is asked for something else by now",
                    self.id.short()
                )));
            }
        };
        Ok(self.changed(next, now, EventKind::Acknowledged, None, text))
    }
}

/// Who asked for a stop first, when and from where.
fn asked_for(wish: &Wish, now: Timestamp) -> String {
    let ago = short_duration(now.since(wish.at));
    format!("{} asked for it {ago} ago, from pod {}", wish.by.operator, wish.by.place.pod)
}
