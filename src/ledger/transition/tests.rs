//! The rules of the state machine, as sentences and as properties.

use proptest::prelude::*;

use super::*;
use crate::ledger::samples::{
    GRACE, acknowledge, actions, actor, at, claim, courses, decline, failure, finish, force, heartbeat, place, queued,
    recover, resume, running, stop, tell_loss, tune, worker,
};
use crate::ledger::{Recovery, RecoveryOutcome};

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
fn what_was_asked_of_a_worker_that_is_lost_is_not_forgotten_by_a_pod() {
    for kind in [WishKind::Pause, WishKind::Cancel] {
        let lost = running(at(0)).after(stop(kind, "ana"), at(1));
        assert_eq!(lost.standing(at(60)), Standing::Lost);
        for action in [recover("b"), decline("b")] {
            assert!(matches!(lost.apply(action, at(60)), Err(Refusal::OperatorsOnly { .. })));
        }
    }
}

#[test]
fn an_attempt_that_a_pod_began_and_no_worker_claimed_can_be_begun_there_again_but_not_for_ever() {
    let interrupted = running(at(0)).after(finish(1, Outcome::Interrupted(Interruption::Shutdown)), at(1));
    let mut run = interrupted;
    for time in 1..=3 {
        run = run.after(recover("b"), at(100 * time));
        assert_eq!(run.standing(at(100 * time + 60)), Standing::Lost);
    }
    assert!(matches!(run.apply(recover("b"), at(400)), Err(Refusal::ResumedTooOften { times: 3, .. })));
    let claimed = running(at(0)).after(finish(1, Outcome::Interrupted(Interruption::Shutdown)), at(1));
    let claimed = claimed.after(recover("b"), at(2)).after(claim(2), at(3));
    assert!(matches!(claimed.apply(recover("b"), at(60)), Err(Refusal::LookedAfter { .. })));
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

#[test]
fn who_resumes_second_is_told_what_the_first_did() {
    let resumed = running(at(0)).after(finish(1, failure(1)), at(1)).after(resume("ben"), at(2));
    let refusal = resumed.apply(resume("ana"), at(5)).unwrap_err().to_string();
    assert!(refusal.ends_with("it needs no resume: ben did it 3 s ago, from pod console-1"), "{refusal}");
}

#[test]
fn who_stops_second_is_told_what_the_first_did() {
    let paused = queued(at(0)).after(stop(WishKind::Pause, "ana"), at(1));
    let told = paused.already(stop(WishKind::Pause, "ben"), at(4));
    assert!(told.ends_with("is paused already: ana did it 3 s ago, from pod console-1"), "{told}");
    let cancelled = paused.after(stop(WishKind::Cancel, "eva"), at(5));
    let told = cancelled.already(stop(WishKind::Cancel, "ben"), at(6));
    assert!(told.ends_with("is cancelled already: eva did it 1 s ago, from pod console-1"), "{told}");
}

#[test]
fn force_comes_after_asking_and_after_the_grace() {
    let run = running(at(0));
    let refusal = run.apply(force(WishKind::Cancel, "ana"), at(1)).unwrap_err().to_string();
    assert!(refusal.contains("was not asked to stop yet") && refusal.contains("`stopover cancel "), "{refusal}");
    let asked = run.after(stop(WishKind::Cancel, "ana"), at(1));
    let refusal = asked.apply(force(WishKind::Cancel, "ben"), at(4)).unwrap_err().to_string();
    assert!(
        refusal.contains("is cancelling: ana asked for it 3 s ago, from pod console-1, and its program has 7 s left"),
        "{refusal}"
    );
    let forced = asked.after(force(WishKind::Cancel, "ben"), at(11));
    assert_eq!(forced.standing(at(11)), Standing::Cancelling);
    let told = forced.already(force(WishKind::Cancel, "eva"), at(13));
    assert!(told.ends_with("and by force: ben did it 2 s ago, from pod console-1"), "{told}");
}

#[test]
fn a_forced_run_ends_with_its_lease_whatever_its_worker_does() {
    let asked = running(at(0)).after(stop(WishKind::Cancel, "ana"), at(1));
    let forced = asked.beat(1, heartbeat(1), at(10)).unwrap().after(force(WishKind::Cancel, "ana"), at(12));
    let beaten = forced.beat(1, heartbeat(2), at(39)).unwrap();
    assert_eq!(beaten.lease().unwrap().renewed_at, at(39), "it was heard of");
    assert_eq!((beaten.standing(at(39)), beaten.standing(at(40))), (Standing::Cancelling, Standing::Lost));
    let cancelled = beaten.after(force(WishKind::Cancel, "ana"), at(40));
    assert_eq!(cancelled.standing(at(40)), Standing::Cancelled);
}

#[test]
fn a_forced_pause_that_becomes_a_cancel_stays_forced() {
    let forced = running(at(0)).after(stop(WishKind::Pause, "ana"), at(1)).after(force(WishKind::Pause, "ana"), at(12));
    for more in [stop(WishKind::Cancel, "ben"), force(WishKind::Cancel, "ben")] {
        let cancelling = forced.after(more, at(13));
        assert!(cancelling.is_forced() && cancelling.standing(at(13)) == Standing::Cancelling);
        let ended = cancelling.after(finish(1, Outcome::Stopped), at(14));
        assert_eq!(ended.state, RunState::Cancelled { at: at(14), by: actor("ben") });
    }
    let told = forced.after(stop(WishKind::Cancel, "ben"), at(13)).already(force(WishKind::Pause, "eva"), at(14));
    assert!(told.contains("is cancelling already"), "{told}");
}

#[test]
fn a_worker_says_once_that_it_has_heard() {
    let heard = || acknowledge(1, Heard::Stop { kind: WishKind::Pause, time: GRACE });
    let asked = running(at(0)).after(stop(WishKind::Pause, "ana"), at(1));
    let Applied::Changed(told, event) = asked.apply(heard(), at(2)).unwrap() else { panic!("it is recorded") };
    assert_eq!(event.kind, EventKind::Acknowledged);
    assert_eq!(event.text, "attempt 1 heard it: its program has 10 s to stop at a checkpoint");
    told.already(heard(), at(3));
    let cancelling = told.after(stop(WishKind::Cancel, "ben"), at(4));
    cancelling.already(heard(), at(5));
    cancelling.after(acknowledge(1, Heard::Stop { kind: WishKind::Cancel, time: GRACE }), at(5));
    assert!(matches!(asked.apply(acknowledge(2, Heard::Force), at(2)), Err(Refusal::Fenced { .. })));
    let ended = asked.after(finish(1, Outcome::Stopped), at(2));
    assert!(
        matches!(ended.apply(heard(), at(3)), Err(Refusal::Fenced { .. })),
        "a run that stands still hears nothing"
    );
}

#[test]
fn a_worker_says_at_which_speed_it_goes_on() {
    let set = SpeedChange::new(None, Some(50)).unwrap();
    let now = SpeedChange::new(Some(2), Some(50)).unwrap();
    let tuned = running(at(0)).after(tune(None, Some(50), "ana"), at(1));
    let heard = acknowledge(1, Heard::Speed { set, now });
    let Applied::Changed(told, event) = tuned.apply(heard.clone(), at(2)).unwrap() else { panic!("it is recorded") };
    assert_eq!(event.text, "attempt 1 heard it: it goes on at 2 workers at 50 % pace");
    told.already(heard.clone(), at(3));
    told.after(tune(None, Some(60), "ana"), at(4)).already(heard, at(5));
}

#[test]
fn a_pod_continues_what_was_interrupted_or_lost_and_nothing_else() {
    let run = running(at(0));
    let interrupted = run.after(finish(1, Outcome::Interrupted(Interruption::Shutdown)), at(1));
    let Applied::Changed(next, event) = interrupted.apply(recover("pod-b"), at(2)).unwrap() else {
        panic!("it is resumed")
    };
    assert_eq!((next.attempt, event.kind), (2, EventKind::Resumed));
    assert_eq!(event.text, "pod pod-b, by itself, resumed it; it was interrupted");
    let outcome = RecoveryOutcome::Resumed { attempt: 2 };
    assert_eq!(next.recoveries, [Recovery { at: at(2), pod: "pod-b".to_owned(), outcome }]);
    assert_eq!(run.after(recover("pod-b"), at(90)).attempt, 2, "it was lost");

    assert!(matches!(run.apply(recover("pod-b"), at(1)), Err(Refusal::Live { .. })), "it is at work");
    assert!(matches!(next.apply(recover("pod-c"), at(3)), Err(Refusal::Live { .. })), "another pod was first");
    let paused = run.after(stop(WishKind::Pause, "ana"), at(1)).after(finish(1, Outcome::Stopped), at(2));
    assert!(matches!(paused.apply(recover("pod-b"), at(3)), Err(Refusal::OperatorsOnly { .. })));
    let failed = run.after(finish(1, failure(1)), at(1));
    assert!(matches!(failed.apply(recover("pod-b"), at(3)), Err(Refusal::OperatorsOnly { .. })));
    let cancelled = run.after(stop(WishKind::Cancel, "ana"), at(90));
    assert!(matches!(cancelled.apply(recover("pod-b"), at(91)), Err(Refusal::Ended { .. })));
}

/// The run as the shutdown of its pod leaves it.
fn interrupted_again(run: &Run, now: Timestamp) -> Run {
    let attempt = run.attempt;
    run.after(claim(attempt), now).after(finish(attempt, Outcome::Interrupted(Interruption::Shutdown)), now)
}

#[test]
fn a_pod_continues_a_run_once_and_all_pods_together_three_times() {
    let mut run = interrupted_again(&queued(at(0)), at(0));
    for (seconds, pod) in [(1, "pod-a"), (2, "pod-b"), (3, "pod-c")] {
        run = interrupted_again(&run.after(recover(pod), at(seconds)), at(seconds));
        let refusal = run.apply(recover(pod), at(seconds + 1)).unwrap_err().to_string();
        assert!(refusal.contains(&format!("pod {pod} has looked after run")), "{refusal}");
    }
    let refusal = run.apply(recover("pod-d"), at(9)).unwrap_err().to_string();
    assert!(refusal.contains("was resumed 3 times without an operator"), "{refusal}");
    let seen_to = interrupted_again(&run.after(resume("ana"), at(10)), at(11));
    assert!(seen_to.recoveries.is_empty(), "an operator has looked at it");
    seen_to.after(recover("pod-a"), at(12));
}

#[test]
fn a_pod_that_declines_says_so_once_and_does_not_continue_the_run_later() {
    let run = interrupted_again(&queued(at(0)), at(0));
    let Applied::Changed(declined, event) = run.apply(decline("pod-b"), at(1)).unwrap() else {
        panic!("it is recorded")
    };
    assert_eq!(event.kind, EventKind::Declined);
    assert_eq!(event.text, "pod pod-b did not resume it: its image does not have it");
    assert_eq!(declined.state, run.state);
    declined.already(decline("pod-b"), at(2));
    assert!(matches!(declined.apply(recover("pod-b"), at(2)), Err(Refusal::LookedAfter { .. })));
    let resumed = declined.after(recover("pod-c"), at(3));
    assert!(matches!(resumed.apply(decline("pod-d"), at(4)), Err(Refusal::Live { .. })));
}

#[test]
fn however_many_pods_decline_the_record_stays_small_and_what_was_resumed_stays_in_it() {
    let mut run = interrupted_again(&interrupted_again(&queued(at(0)), at(0)).after(recover("first"), at(1)), at(1));
    for pod in 0..100 {
        run = run.after(decline(&format!("pod-{pod}")), at(2));
    }
    assert_eq!(run.recoveries.len(), Recovery::KEPT);
    assert!(run.recoveries[0].has_resumed());
}

#[test]
fn a_takeover_says_what_of_the_old_worker_is_killed() {
    let action = Action::Resume {
        by: crate::ledger::Resumer::Operator(actor("ana")),
        lease: crate::ledger::samples::LEASE,
        content: None,
        leftover: Some(7),
    };
    let Applied::Changed(_, event) = running(at(0)).apply(action, at(90)).unwrap() else { panic!("it is taken over") };
    assert_eq!(
        event.text,
        "ana took it over from pod worker-1, not heard of for 1 min 30 s; what is left of its worker here (pid 7) is killed first"
    );
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

#[test]
fn a_loss_is_told_by_one_pod_unless_that_one_cannot() {
    let tell = |pod: &str, is_delivered| tell_loss(1, pod, is_delivered);
    let run = running(at(0));
    assert!(run.already(tell("pod-a", false), at(1)).contains("it is not lost"));
    let Ok(Applied::Noted(run)) = run.apply(tell("pod-a", false), at(31)) else { panic!("it is lost") };
    assert!(run.already(tell("pod-b", false), at(32)).contains("another pod tells of its loss"));
    // The pod that had taken it on may be dead.
    let Ok(Applied::Noted(run)) = run.apply(tell("pod-b", false), at(31 + 120)) else { panic!("it is time") };
    assert_eq!(run.loss.as_ref().unwrap().pod, "pod-b");
    // Its worker has come back: it was told all the same.
    let back = run.beat(1, heartbeat(1), at(152)).unwrap();
    let Ok(Applied::Noted(told)) = back.apply(tell("pod-b", true), at(153)) else { panic!("it says so") };
    assert!(told.already(tell("pod-c", false), at(999)).contains("its loss was told"));
    assert!(told.already(tell_loss(2, "pod-c", false), at(999)).contains("there is a later one"));
}

#[test]
fn a_pod_that_tells_of_a_loss_knows_whom_the_one_before_has_told() {
    let told = |pod: &str, names: &[&str], is_delivered| Action::TellLoss {
        attempt: 1,
        by: place(pod).into(),
        told: names.iter().map(ToString::to_string).collect(),
        is_delivered,
    };
    let noted = |run: &Run, action: Action, seconds| match run.apply(action, at(seconds)) {
        Ok(Applied::Noted(run)) => *run,
        other => panic!("{other:?}"),
    };
    let run = noted(&running(at(0)), tell_loss(1, "pod-a", false), 31);
    let run = noted(&run, told("pod-a", &["oncall"], false), 32);
    assert!(run.already(told("pod-a", &["oncall"], false), at(33)).contains("is recorded"));
    let run = noted(&run, tell_loss(1, "pod-b", false), 32 + 120);
    let all = noted(&run, told("pod-b", &["ops"], true), 160).loss.unwrap();
    assert_eq!((all.delivered, all.told.into_iter().collect::<Vec<_>>()), (true, vec!["oncall".into(), "ops".into()]));
}

proptest! {
    #[test]
    fn whatever_is_tried_a_run_only_goes_where_it_can(course in courses()) {
        let mut run = queued(at(0));
        let mut now = at(0);
        for (seconds, action) in course {
            now = now.plus(Duration::from_secs(seconds.unsigned_abs()));
            let (next, event) = match run.apply(action.clone(), now) {
                Ok(Applied::Changed(next, event)) => (next, event),
                // Who tells of a loss changes nothing of the run.
                Ok(Applied::Noted(next)) => {
                    prop_assert!(next.updated_at > run.updated_at);
                    let unchanged = Run { loss: run.loss.clone(), updated_at: run.updated_at, ..(*next).clone() };
                    prop_assert_eq!(unchanged, run);
                    run = *next;
                    continue;
                }
                Ok(Applied::Already(_)) | Err(_) => continue,
            };

            let tuned = matches!(action, Action::Tune { .. });
            // A speed changes nothing but itself, and neither does a pod's word that it leaves a run alone.
            let declined = matches!(action, Action::Decline { .. });
            let goes = if tuned || declined { run.state == next.state } else { may_follow(&run.state, &next.state) };
            prop_assert!(goes, "{:?} -> {:?}", run.state, next.state);
            // The attempt rises by a resume and by nothing else.
            let resumed = matches!(action, Action::Resume { .. });
            prop_assert_eq!(next.attempt, run.attempt + u32::from(resumed));
            // Only the current attempt may start or end, and one that was never claimed has only been interrupted.
            let interrupted = matches!(next.state, RunState::Interrupted { .. });
            match action {
                Action::Claim { attempt, .. } => prop_assert!(attempt == run.attempt && next.is_held_by(attempt)),
                Action::Finish { attempt, .. } => prop_assert!(attempt == run.attempt && (run.is_held_by(attempt) || interrupted)),
                Action::Acknowledge { attempt, .. } => prop_assert!(run.is_held_by(attempt) && next.is_held_by(attempt)),
                // Force is for what was asked to stop; anything else is an ordinary stop.
                Action::Force { .. } => prop_assert!(run.wish().is_some() || next.wish().is_none()),
                Action::Stop { .. } | Action::Resume { .. } | Action::Tune { .. } | Action::Decline { .. } => {}
                Action::TellLoss { .. } => prop_assert!(false, "it is no part of the history"),
            }
            // A speed is kept until somebody sets another.
            prop_assert!(tuned || next.speed() == run.speed());
            // Without an operator a run goes on so often, once for each pod, and only after a stop that nobody asked for.
            let by_itself = next.recoveries.iter().filter(|recovery| recovery.has_resumed()).count();
            prop_assert!(by_itself <= Recovery::MOST_RESUMED);
            if next.recoveries.len() > run.recoveries.len() {
                let pod = &next.recoveries.last().unwrap().pod;
                prop_assert!(run.recovery_of(pod).is_none() && run.wish().is_none());
                prop_assert!(matches!(run.standing(now), Standing::Interrupted | Standing::Lost));
            }
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
    fn what_is_forced_to_stop_keeps_the_end_of_its_lease(course in courses()) {
        let mut run = queued(at(0));
        let mut now = at(0);
        for (seconds, action) in course {
            now = now.plus(Duration::from_secs(seconds.unsigned_abs()));
            if let Ok(Applied::Changed(next, _)) = run.apply(action, now) {
                prop_assert!(!run.is_forced() || !next.is_forced() || next.lease() == run.lease());
                run = *next;
            }
            if let Ok(beaten) = run.beat(run.attempt, heartbeat(1), now) {
                let end = |run: &Run| run.lease().map(|lease| lease.expires_at);
                let granted = now.plus(crate::ledger::samples::LEASE);
                prop_assert_eq!(end(&beaten), if run.is_forced() { end(&run) } else { Some(granted) });
                run = beaten;
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
