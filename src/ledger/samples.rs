//! Runs, actors and actions for the tests of the rules.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use crate::catalog::{Checksum, MigrationId, ResumePolicy};
use crate::place::{Actor, Place};
use crate::process::ProcessIdentity;
use crate::time::Timestamp;

use super::{
    Action, Applied, Beat, Failure, FailureCause, Heard, Interruption, Launch, NewRun, Outcome, Progress, Resumer, Run,
    RunId, SpeedChange, WishKind, Worker,
};

pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_764_000_000_000 + seconds * 1_000)
}

pub(crate) fn place(pod: &str) -> Place {
    Place { pod: pod.to_owned(), namespace: None, node: None, image: None, version: "0.1.0".to_owned(), revision: None }
}

pub(crate) fn actor(operator: &str) -> Actor {
    Actor { operator: operator.to_owned(), place: place("console-1").into() }
}

pub(crate) fn worker(pid: i32) -> Worker {
    Worker { place: place("worker-1").into(), process: ProcessIdentity { pid, start_ticks: 1 } }
}

pub(crate) fn checksum(digit: char) -> Checksum {
    serde_json::from_value(digit.to_string().repeat(64).into()).unwrap()
}

pub(crate) fn queued(now: Timestamp) -> Run {
    let launch = Launch {
        by: actor("ana"),
        rerun: false,
        forced: false,
        command: vec!["true".to_owned()],
        params: vec![],
        checksum: checksum('a'),
        resume: ResumePolicy::Manual,
        quarantine_of: None,
    };
    let migration = MigrationId::new("20261104_sample").unwrap();
    Run::launched(NewRun { id: RunId::generate(), migration, launch, lease: LEASE }, None, now).0
}

pub(crate) fn running(now: Timestamp) -> Run {
    queued(now).after(claim(1), now)
}

pub(crate) fn claim(attempt: u32) -> Action {
    Action::Claim { attempt, worker: worker(7), lease: LEASE }
}

pub(crate) fn finish(attempt: u32, outcome: Outcome) -> Action {
    Action::Finish { attempt, outcome }
}

pub(crate) fn stop(kind: WishKind, who: &str) -> Action {
    Action::Stop { kind, by: actor(who) }
}

pub(crate) fn resume(who: &str) -> Action {
    Action::resume(actor(who), LEASE)
}

pub(crate) const GRACE: Duration = Duration::from_secs(10);

pub(crate) fn force(kind: WishKind, who: &str) -> Action {
    Action::Force { kind, by: actor(who), grace: GRACE }
}

pub(crate) fn acknowledge(attempt: u32, heard: Heard) -> Action {
    Action::Acknowledge { attempt, heard }
}

pub(crate) fn recover(pod: &str) -> Action {
    Action::Resume { by: Resumer::Recovery(place(pod).into()), lease: LEASE, content: None, leftover: None }
}

pub(crate) fn decline(pod: &str) -> Action {
    Action::Decline { by: place(pod).into(), reason: "its image does not have it".to_owned() }
}

pub(crate) fn tell_loss(attempt: u32, pod: &str, is_delivered: bool) -> Action {
    Action::TellLoss { attempt, by: place(pod).into(), told: BTreeSet::new(), is_delivered }
}

pub(crate) fn tune(workers: Option<u8>, pace: Option<u8>, who: &str) -> Action {
    Action::Tune { by: actor(who), speed: SpeedChange::new(workers, pace).unwrap() }
}

pub(crate) fn failure(status: i32) -> Outcome {
    Outcome::Failed(Failure { cause: FailureCause::Exit { status }, last_lines: vec![] })
}

/// Later than every heartbeat that this has made before.
pub(crate) fn heartbeat(done: i64) -> Beat {
    static SENT: AtomicU64 = AtomicU64::new(0);
    let number = SENT.fetch_add(1, Ordering::Relaxed) + 1;
    Beat { number, progress: Progress { done: Some(done), ..Progress::default() }, checkpoint: None, lease: LEASE }
}

impl Run {
    /// The run after an action that must change it.
    #[track_caller]
    pub(crate) fn after(&self, action: Action, now: Timestamp) -> Self {
        let asked = format!("{action:?}");
        match self.apply(action, now) {
            Ok(Applied::Changed(run, _)) => *run,
            other => panic!("{asked} should change {self:?}, not {other:?}"),
        }
    }

    /// The sentence of an action that must find itself done already.
    #[track_caller]
    pub(crate) fn already(&self, action: Action, now: Timestamp) -> String {
        let asked = format!("{action:?}");
        match self.apply(action, now) {
            Ok(Applied::Already(sentence)) => sentence,
            other => panic!("{asked} should change nothing in {self:?}, not {other:?}"),
        }
    }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Succeeded),
        Just(failure(1)),
        Just(Outcome::Stopped),
        Just(Outcome::Interrupted(Interruption::Shutdown)),
    ]
}

fn kinds() -> impl Strategy<Value = WishKind> {
    prop_oneof![Just(WishKind::Pause), Just(WishKind::Cancel)]
}

fn heard() -> impl Strategy<Value = Heard> {
    prop_oneof![
        kinds().prop_map(|kind| Heard::Stop { kind, time: GRACE }),
        Just(Heard::Force),
        (1..4_u8).prop_map(|workers| {
            let set = SpeedChange::new(Some(workers), None).unwrap();
            Heard::Speed { set, now: set }
        }),
    ]
}

/// Any action that anybody could try: also of attempts that are over or have not begun.
pub(crate) fn actions() -> impl Strategy<Value = Action> {
    let attempts = 1..4_u32;
    prop_oneof![
        4 => attempts.clone().prop_map(claim),
        3 => (attempts.clone(), outcomes()).prop_map(|(attempt, outcome)| finish(attempt, outcome)),
        2 => kinds().prop_map(|kind| stop(kind, "ana")),
        2 => kinds().prop_map(|kind| force(kind, "ivy")),
        2 => (attempts, heard()).prop_map(|(attempt, heard)| acknowledge(attempt, heard)),
        3 => Just(resume("ben")),
        3 => prop_oneof![Just("pod-a"), Just("pod-b"), Just("pod-c"), Just("pod-d")].prop_map(recover),
        1 => prop_oneof![Just("pod-a"), Just("pod-b")].prop_map(decline),
        1 => (1..4_u32, any::<bool>()).prop_map(|(attempt, is_delivered)| tell_loss(attempt, "pod-a", is_delivered)),
        1 => (1..4_u8).prop_map(|workers| tune(Some(workers), None, "eva")),
    ]
}

/// Actions with the seconds that pass before each: often few, sometimes more than a lease.
pub(crate) fn courses() -> impl Strategy<Value = Vec<(i64, Action)>> {
    prop::collection::vec((prop_oneof![4 => 0..5_i64, 1 => 31..60_i64], actions()), 0..24)
}
