//! The rules of the state machine, as sentences and as properties.

use proptest::prelude::*;

use super::*;
use crate::ledger::samples::{
    actions, actor, at, claim, courses, failure, finish, heartbeat, queued, resume, running, stop, tune, worker,
};

#[test]
fn a_claim_starts_the_attempt_and_grants_the_lease() {
    let run = queued(at(0)).after(claim(1), at(5));
    assert_eq!(run.started_at, Some(at(5)));
    assert_eq!(run.lease(), Some(Lease::granted(at(5), crate::ledger::samples::LEASE)));
    assert_eq!(run.standing(at(34)), Standing::Running);
    assert_eq!(run.standing(at(35)), Standing::Lost);
}

#[test]
fn only_one_worker_can_claim_an_attempt() {
    let run = running(at(0));
    run.already(claim(1), at(1));
    let other = Action::Claim { attempt: 1, worker: worker(8), lease: crate::ledger::samples::LEASE };
    assert!(matches!(run.apply(other, at(1)), Err(Refusal::Fenced { .. })));
}

#[test]
fn a_pause_before_the_start_holds_at_once_and_the_worker_may_not_start() {
    let paused = queued(at(0)).after(stop(WishKind::Pause, "ana"), at(1));
    assert_eq!(paused.state, RunState::Paused { at: at(1), by: actor("ana") });
    assert!(matches!(paused.apply(claim(1), at(2)), Err(Refusal::Fenced { .. })));
}

#[test]
fn a_pause_may_become_a_cancel_but_not_the_other_way() {
    let pausing = running(at(0)).after(stop(WishKind::Pause, "ana"), at(1));
    assert_eq!(pausing.standing(at(1)), Standing::Pausing);
    let cancelling = pausing.after(stop(WishKind::Cancel, "ben"), at(2));
    assert_eq!(cancelling.standing(at(2)), Standing::Cancelling);
    let sentence = cancelling.already(stop(WishKind::Pause, "eva"), at(3));
    assert!(sentence.contains("cancelling already: ben asked for it 1 s ago"), "{sentence}");
    let ended = cancelling.after(finish(1, Outcome::Stopped), at(4));
    assert_eq!(ended.state, RunState::Cancelled { at: at(4), by: actor("ben") });
}

#[test]
fn a_program_that_ends_by_itself_while_it_is_asked_to_pause_has_succeeded() {
    let pausing = running(at(0)).after(stop(WishKind::Pause, "ana"), at(1));
    assert_eq!(pausing.after(finish(1, Outcome::Succeeded), at(2)).state, RunState::Succeeded { at: at(2) });
}

#[test]
fn a_run_whose_worker_was_ended_before_it_could_claim_it_is_interrupted_and_cannot_be_claimed_any_more() {
    let ended = || Outcome::Interrupted(Interruption::Shutdown);
    let run = queued(at(0)).after(finish(1, ended()), at(1));
    assert_eq!(run.standing(at(1)), Standing::Interrupted);
    assert!(matches!(run.apply(claim(1), at(2)), Err(Refusal::Fenced { .. })));
    assert!(matches!(queued(at(0)).apply(finish(2, ended()), at(1)), Err(Refusal::Fenced { .. })));
    assert!(matches!(queued(at(0)).apply(finish(1, Outcome::Succeeded), at(1)), Err(Refusal::Fenced { .. })));
}

#[test]
fn a_stop_that_nobody_asked_for_can_be_resumed() {
    let run = running(at(0)).after(finish(1, Outcome::Stopped), at(1));
    assert_eq!(run.standing(at(1)), Standing::Interrupted);
    run.after(resume("ana"), at(2));
}

#[test]
fn the_same_end_reported_twice_is_recorded_once() {
    let failed = running(at(0)).after(finish(1, failure(3)), at(1));
    failed.already(finish(1, failure(3)), at(2));
    assert!(matches!(failed.apply(finish(1, failure(4)), at(2)), Err(Refusal::Fenced { .. })));
}

#[test]
fn a_lost_run_cannot_be_paused_but_taken_over_or_cancelled() {
    let run = running(at(0));
    let refusal = run.apply(stop(WishKind::Pause, "ana"), at(90)).unwrap_err();
    assert!(refusal.to_string().contains("not been heard of for 1 min 30 s"), "{refusal}");
    assert_eq!(run.after(resume("ana"), at(90)).attempt, 2);
    assert_eq!(run.after(stop(WishKind::Cancel, "ana"), at(90)).standing(at(90)), Standing::Cancelled);
}

#[test]
fn a_lost_worker_that_nobody_replaced_may_still_report() {
    let run = running(at(0));
    assert_eq!(run.beat(1, heartbeat(1), at(90)).unwrap().standing(at(90)), Standing::Running);
    run.after(finish(1, Outcome::Succeeded), at(90));
}

#[test]
fn a_run_at_work_needs_no_resume() {
    let refusal = running(at(0)).apply(resume("ana"), at(5)).unwrap_err();
    assert!(refusal.to_string().ends_with("is running in pod worker-1 (last heard of 5 s ago); it needs no resume"));
}

#[test]
fn a_speed_adds_to_the_one_before_and_outlives_its_attempt() {
    let Applied::Changed(run, event) = running(at(0)).apply(tune(Some(2), Some(50), "ada"), at(1)).unwrap() else {
        panic!("it is changed")
    };
    assert_eq!((event.kind, event.text.as_str()), (EventKind::Tuned, "ada set it to 2 workers at 50 % pace"));
    let slower =
        run.after(tune(None, Some(20), "ben"), at(2)).after(finish(1, failure(1)), at(3)).after(resume("ana"), at(4));
    assert_eq!(slower.speed().unwrap().to_string(), "2 workers at 20 % pace");
}

#[test]
fn a_speed_that_holds_already_is_not_set_again() {
    let run = running(at(0)).after(tune(Some(2), Some(50), "ada"), at(1));
    let sentence = run.already(tune(None, Some(50), "ben"), at(4));
    assert!(
        sentence.ends_with("is set to 2 workers at 50 % pace already: ada did it 3 s ago, from pod console-1"),
        "{sentence}"
    );
}

#[test]
fn every_run_that_has_not_ended_takes_a_speed() {
    let change = || tune(Some(2), None, "ada");
    queued(at(0)).after(change(), at(1));
    running(at(0)).after(change(), at(90));
    queued(at(0)).after(stop(WishKind::Pause, "ana"), at(1)).after(change(), at(2));
    for outcome in [Outcome::Succeeded, failure(1)] {
        let ended = running(at(0)).after(finish(1, outcome), at(1));
        assert!(matches!(ended.apply(change(), at(2)), Err(Refusal::Ended { verb: "tune", .. })));
    }
}

#[test]
fn a_refusal_says_what_to_do_instead() {
    let succeeded = running(at(0)).after(finish(1, Outcome::Succeeded), at(1));
    let refusal = succeeded.apply(resume("ana"), at(2)).unwrap_err().to_string();
    assert!(
        refusal.contains("(succeeded); there is nothing left to resume; `stopover run 20261104_sample --rerun`"),
        "{refusal}"
    );
    let failed = running(at(0)).after(finish(1, failure(1)), at(1));
    let refusal = failed.apply(stop(WishKind::Cancel, "ana"), at(2)).unwrap_err().to_string();
    assert!(refusal.contains("`stopover resume"), "{refusal}");
}

#[test]
fn a_change_is_later_than_the_one_before_even_when_the_clock_is_set_back() {
    let run = running(at(100));
    let beaten = run.beat(1, heartbeat(1), at(50)).unwrap();
    assert!(beaten.updated_at > run.updated_at);
    assert!(beaten.after(finish(1, Outcome::Succeeded), at(50)).updated_at > beaten.updated_at);
}

/// Where a run can go from where it is, whoever acts.
fn may_follow(before: &RunState, after: &RunState) -> bool {
    use RunState::{Cancelled, Failed, Interrupted, Paused, Queued, Running};
    matches!(
        (before, after),
        (Queued { .. }, Running { .. } | Paused { .. } | Cancelled { .. } | Interrupted { .. } | Queued { .. })
            | (Running { .. }, _)
            | (Paused { .. } | Interrupted { .. }, Queued { .. } | Cancelled { .. })
            | (Failed { .. }, Queued { .. })
    )
}

proptest! {
    #[test]
    fn whatever_is_tried_a_run_only_goes_where_it_can(course in courses()) {
        let mut run = queued(at(0));
        let mut now = at(0);
        for (seconds, action) in course {
            now = now.plus(Duration::from_secs(seconds.unsigned_abs()));
            let Ok(Applied::Changed(next, event)) = run.apply(action.clone(), now) else { continue };

            let tuned = matches!(action, Action::Tune { .. });
            // A speed changes nothing but itself.
            let goes = if tuned { run.state == next.state } else { may_follow(&run.state, &next.state) };
            prop_assert!(goes, "{:?} -> {:?}", run.state, next.state);
            // The attempt rises by a resume and by nothing else.
            let resumed = matches!(action, Action::Resume { .. });
            prop_assert_eq!(next.attempt, run.attempt + u32::from(resumed));
            // Only the current attempt may start or end, and one that was never claimed has only been interrupted.
            let interrupted = matches!(next.state, RunState::Interrupted { .. });
            match action {
                Action::Claim { attempt, .. } => prop_assert!(attempt == run.attempt && next.is_held_by(attempt)),
                Action::Finish { attempt, .. } => prop_assert!(attempt == run.attempt && (run.is_held_by(attempt) || interrupted)),
                Action::Stop { .. } | Action::Resume { .. } | Action::Tune { .. } => {}
            }
            // A speed is kept until somebody sets another.
            prop_assert!(tuned || next.tuning == run.tuning);
            // What a launch decided holds for ever.
            prop_assert_eq!((run.id, &run.migration, run.created_at, &run.launch), (next.id, &next.migration, next.created_at, &next.launch));
            prop_assert!(next.updated_at > run.updated_at);
            prop_assert_eq!((event.at, event.attempt), (now, next.attempt));
            // It stands still if and only if it has no lease, and what stands still has an end.
            prop_assert_eq!(next.lease().is_none(), next.ended_at().is_some());
            // Both stores keep it exactly.
            let json = serde_json::to_string(&next).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Run>(&json).unwrap(), &*next);
            let bson = bson::serialize_to_vec(&next).unwrap();
            prop_assert_eq!(&bson::deserialize_from_slice::<Run>(&bson).unwrap(), &*next);
            run = *next;
        }
    }

    #[test]
    fn asking_twice_changes_once(course in courses(), last in actions()) {
        let mut run = queued(at(0));
        let mut now = at(0);
        for (seconds, action) in course.into_iter().chain([(0, last)]) {
            now = now.plus(Duration::from_secs(seconds.unsigned_abs()));
            if let Ok(Applied::Changed(next, _)) = run.apply(action.clone(), now) {
                run = *next;
                prop_assert!(!matches!(run.apply(action, now), Ok(Applied::Changed(..))));
            }
        }
    }

    #[test]
    fn a_worker_that_was_replaced_can_write_nothing(course in courses()) {
        let mut run = queued(at(0));
        let mut now = at(0);
        for (seconds, action) in course {
            now = now.plus(Duration::from_secs(seconds.unsigned_abs()));
            if let Ok(Applied::Changed(next, _)) = run.apply(action, now) {
                run = *next;
            }
            for old in 1..run.attempt {
                for write in [claim(old), finish(old, Outcome::Succeeded)] {
                    prop_assert!(matches!(run.apply(write, now), Err(Refusal::Fenced { .. })), "attempt {old} of {run:?}");
                }
                prop_assert!(run.beat(old, heartbeat(1), now).is_err(), "attempt {old} of {run:?}");
            }
        }
    }
}
