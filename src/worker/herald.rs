//! Telling people what becomes of an attempt. Nothing here can hold it up: what cannot be told is one warning and a line in its log, or in that of
//! the worker where it shows after the end.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::config::{Config, StateDir};
use crate::engine::throttle::{Hold, Throttle};
use crate::ledger::{EnvironmentName, RemainingCount, Run};
use crate::notify::{Notice, Receivers, Sender, Told};
use crate::pod::Shutdown;

use super::pump::{Said, Scribe};
use super::warnings::{Subject, Warnings};

/// How long the worker stays for what is still to be told when its run is reported.
const LINGER: Duration = Duration::from_secs(30);
/// The same in a pod that is being shut down, at most half of what is left.
const LINGER_AT_THE_END: Duration = Duration::from_secs(2);
/// How often a worker that stays looks whether its pod is being shut down.
const LOOK: Duration = Duration::from_millis(250);
/// Unusable receivers are warned of under numbers of their own.
const UNUSABLE: usize = 1_000;
/// So is their certificates' authorities.
const AUTHORITIES: usize = 999;

/// See the module.
pub struct Herald {
    environment: Option<EnvironmentName>,
    /// Taken when it is settled.
    sender: Option<Sender>,
}

impl Herald {
    /// For one attempt.
    #[must_use]
    pub fn new(config: &Config, receivers: Receivers, warnings: &Warnings, scribe: Scribe) -> Self {
        let problem = receivers.problem();
        let Receivers { ready, unusable } = receivers;
        if let Some(text) = problem {
            scribe.warn(text.clone());
            warnings.set(Subject::Notify(AUTHORITIES), Some(text));
        }
        for (index, unusable) in unusable.into_iter().enumerate() {
            let text = format!("{} is not told of this run: {}", unusable.name, unusable.reason);
            scribe.warn(text.clone());
            warnings.set(Subject::Notify(UNUSABLE + index), Some(text));
        }
        let (warnings, warned) = (warnings.clone(), Mutex::new(BTreeSet::new()));
        let scribe = Mutex::new(scribe);
        let sender = Sender::start(ready, move |Told { index, receiver, result, .. }| {
            let Err(reason) = result else { return };
            // Once: a receiver that is away for long is no news.
            if warned.lock().unwrap_or_else(PoisonError::into_inner).insert(index) {
                let text = format!(
                    "{receiver} could not be told what happens to this run: {reason}; `stopover notify --test` tries it"
                );
                scribe.lock().unwrap_or_else(PoisonError::into_inner).warn(text.clone());
                warnings.set(Subject::Notify(index), Some(text));
            }
        });
        Self { environment: config.environment.clone(), sender: Some(sender) }
    }

    /// The attempt was claimed.
    pub fn started(&self, run: &Run) {
        self.tell(&Notice::started(run, self.environment.as_ref()), |_| true);
    }

    /// Tells of each hold that lasts too long, once; never ends.
    pub async fn watch_holds(
        &self,
        run: &Run,
        throttle: Throttle,
        said: watch::Receiver<Said>,
        remaining: watch::Receiver<Option<RemainingCount>>,
    ) {
        let mut vigil = Vigil::new(self.sender.as_ref().map(Sender::holds).unwrap_or_default());
        loop {
            let changed = throttle.changed();
            let hold = throttle.verdict().hold;
            let due = vigil.look(hold.is_some(), Instant::now());
            if let (Some(Hold { text: reason, .. }), false) = (&hold, due.is_empty()) {
                let (said, remaining) = (said.borrow().clone(), remaining.borrow().as_ref().map(|it| it.count));
                let notice = Notice::held(run, self.environment.as_ref(), reason, vigil.lasts(), vigil.number);
                let notice = notice.with_progress(said.done, said.total, remaining);
                self.tell(&notice, |index| due.contains(&index));
            }
            match vigil.next() {
                Some(next) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(next) => {}
                },
                None => changed.await,
            }
        }
    }

    /// Its end was recorded, as `run` says.
    pub fn ended(&self, run: Option<&Run>) {
        if let Some(notice) = run.and_then(|run| Notice::ended(run, self.environment.as_ref())) {
            self.tell(&notice, |_| true);
        }
    }

    /// Stays until everybody was told, for a bounded time.
    pub async fn settle(&mut self, state: &StateDir) {
        let Some(sender) = self.sender.take() else { return };
        let patience = RefCell::new(Patience::from(Instant::now()));
        let until = || patience.borrow_mut().ends(Instant::now(), || Shutdown::under_way(state).map(|it| it.left()));
        sender.settle(|| until().into_std()).await;
    }

    fn tell(&self, notice: &Notice, is_due: impl Fn(usize) -> bool) {
        if let Some(sender) = &self.sender {
            sender.tell(notice, is_due);
        }
    }
}

/// Until when a worker stays: the pod may begin to be shut down meanwhile.
struct Patience {
    ends: Instant,
    /// When to look for that again; never once it was seen.
    look: Option<Instant>,
}

impl Patience {
    fn from(now: Instant) -> Self {
        Self { ends: now + LINGER, look: Some(now) }
    }

    /// Until when, as it is known `now`. `left` reads how long a pod that is being shut down has; it is not asked at every call.
    fn ends(&mut self, now: Instant, left: impl FnOnce() -> Option<Duration>) -> Instant {
        if self.look.is_some_and(|look| now >= look) {
            self.look = Some(now + LOOK);
            if let Some(left) = left() {
                self.look = None;
                self.ends = self.ends.min(now + LINGER_AT_THE_END.min(left / 2));
            }
        }
        self.ends
    }
}

/// How long a hold lasts, and who was told of it.
struct Vigil {
    /// Receivers and after how long each is to be told.
    waiting: Vec<(usize, Duration)>,
    since: Option<Instant>,
    told: BTreeSet<usize>,
    /// Holds of this attempt that were told, this one included.
    number: u32,
}

impl Vigil {
    fn new(waiting: Vec<(usize, Duration)>) -> Self {
        Self { waiting, since: None, told: BTreeSet::new(), number: 0 }
    }

    /// Takes in whether it is held at `now`; answers with those who are to be told of it now.
    fn look(&mut self, is_held: bool, now: Instant) -> Vec<usize> {
        if !is_held {
            self.since = None;
            self.told.clear();
            return Vec::new();
        }
        let lasts = now - *self.since.get_or_insert(now);
        let due =
            |(index, after): &(usize, Duration)| (lasts >= *after && !self.told.contains(index)).then_some(*index);
        let due: Vec<usize> = self.waiting.iter().filter_map(due).collect();
        if !due.is_empty() && self.told.is_empty() {
            self.number += 1;
        }
        self.told.extend(&due);
        due
    }

    fn lasts(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// When somebody is to be told next, if nothing changes.
    fn next(&self) -> Option<Instant> {
        let since = self.since?;
        let left = self.waiting.iter().filter(|(index, _)| !self.told.contains(index));
        left.map(|(_, after)| since + *after).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_of_a_hold_once_when_it_has_lasted_long_enough_for_them() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut vigil = Vigil::new(vec![(0, Duration::from_mins(1)), (2, Duration::from_mins(10))]);
        assert_eq!((vigil.look(false, at(0)), vigil.next()), (vec![], None));
        assert_eq!((vigil.look(true, at(10)), vigil.next()), (vec![], Some(at(70))));
        assert_eq!((vigil.look(true, at(69)), vigil.number), (vec![], 0));
        assert_eq!((vigil.look(true, at(70)), vigil.next(), vigil.number), (vec![0], Some(at(610)), 1));
        assert_eq!(vigil.look(true, at(80)), Vec::<usize>::new());
        assert_eq!((vigil.look(true, at(700)), vigil.next(), vigil.number), (vec![2], None, 1));
        // A break, and another hold.
        assert_eq!(vigil.look(false, at(701)), Vec::<usize>::new());
        assert_eq!((vigil.look(true, at(702)), vigil.next()), (vec![], Some(at(762))));
        assert_eq!((vigil.look(true, at(900)), vigil.number), (vec![0], 2));
    }

    #[test]
    fn a_worker_that_stays_looks_four_times_a_second_whether_its_pod_goes_and_not_once_it_does() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut patience = Patience::from(start);
        let mut looks = 0;
        for millis in (0..1_000).step_by(20) {
            let ends = patience.ends(at(millis), || {
                looks += 1;
                None
            });
            assert_eq!(ends, start + LINGER);
        }
        assert_eq!(looks, 4);
        let left = || Some(Duration::from_secs(2));
        assert_eq!(patience.ends(at(2_000), left), at(3_000), "half of what is left");
        assert_eq!(patience.ends(at(2_900), || unreachable!("it is known")), at(3_000));
    }

    #[test]
    fn nobody_who_wants_to_know_is_no_reason_to_wake() {
        let mut vigil = Vigil::new(Vec::new());
        assert_eq!((vigil.look(true, Instant::now()), vigil.next()), (vec![], None));
    }
}
