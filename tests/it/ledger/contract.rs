//! What every ledger promises, whatever it is stored in: each test runs against both stores.

use stopover::ledger::{
    Checkpoint, EnvironmentName, EventKind, Failure, FailureCause, Heard, Interruption, LedgerError, LogChunk,
    LogPosition, NewPassport, NewQuarantined, RecoveryOutcome, Refusal, RunQuery, RunState, SpeedChange, Standing,
    WishKind,
};
use stopover::time::Timestamp;

use super::*;
use crate::support::eventually_async;

macro_rules! contract {
    ($($promise:ident)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $promise() { super::$promise(super::Home::sqlite()).await; })*
        }
        mod mongo {
            $(#[tokio::test] async fn $promise() { super::$promise(super::Home::mongo()).await; })*
        }
    };
}

contract! {
    a_ledger_that_does_not_exist_is_empty
    a_reader_notices_that_the_ledger_came_into_being
    many_first_writers_at_once_create_one_ledger
    a_ledger_of_a_newer_version_is_refused
    a_launched_run_waits_for_its_worker
    recording_the_same_run_again_returns_it
    a_second_open_run_of_a_migration_is_refused_with_the_first
    a_run_goes_from_launch_to_success
    a_worker_that_asks_again_is_answered_alike
    a_heartbeat_renews_the_lease_and_keeps_what_it_does_not_mention
    a_heartbeat_that_arrives_after_a_later_one_changes_nothing
    a_wish_reaches_the_worker_with_its_next_heartbeat
    a_paused_run_is_resumed_as_the_next_attempt
    asking_twice_tells_who_asked_first
    a_cancelled_run_is_final
    a_lost_run_is_taken_over_and_its_old_worker_can_write_nothing
    a_worker_that_comes_too_late_may_not_start
    a_run_that_was_never_claimed_is_interrupted_with_its_pod
    a_lost_worker_that_nobody_replaced_may_go_on
    a_failed_run_is_resumed_unless_a_newer_one_exists
    what_happens_to_an_unknown_run_is_refused
    changes_are_those_since_a_time
    polling_from_the_time_before_misses_nothing
    a_history_is_the_latest_run_and_the_last_success
    runs_are_listed_newest_first
    a_run_is_found_by_the_end_of_its_id
    a_log_comes_back_in_order_and_in_pages
    a_log_is_trimmed_within_one_attempt
    a_ledger_is_stamped_once_and_restamped_on_request
    updates_of_a_run_have_rising_times
    a_speed_reaches_the_worker_with_its_next_heartbeat
    a_speed_outlives_the_attempt_and_every_heartbeat
    a_forced_run_keeps_the_end_of_its_lease
    what_a_worker_has_heard_is_recorded_once
    what_a_pod_does_by_itself_is_recorded_with_the_run
    what_a_pod_leaves_alone_is_recorded_once
    of_a_loss_one_pod_tells_until_it_is_told
    quarantined_documents_come_back_in_order_and_in_pages
    a_document_is_quarantined_once
}

async fn a_ledger_that_does_not_exist_is_empty(home: Home) {
    let reader = home.reader().await;
    assert!(reader.histories().await.unwrap().value.is_empty());
    assert!(reader.runs(RunQuery::default()).await.unwrap().value.is_empty());
    assert!(reader.changes(Timestamp::from_millis(0)).await.unwrap().value.is_empty());
    assert_eq!(reader.run(RunId::generate()).await.unwrap().value, None);
    assert_eq!(reader.passport().await.unwrap(), None);
    assert!(reader.events(RunId::generate()).await.unwrap().is_empty());
    assert!(reader.log(RunId::generate(), LogPosition::default(), 10).await.unwrap().is_empty());
    assert!(reader.quarantined(RunId::generate(), None, 10).await.unwrap().is_empty());
    let apart = reader.now().await.unwrap().since(Timestamp::of_this_machine());
    assert!(apart < Duration::from_mins(1));
}

async fn a_reader_notices_that_the_ledger_came_into_being(home: Home) {
    let reader = home.reader().await;
    assert!(reader.histories().await.unwrap().value.is_empty());
    let run = Hand(home.writer().await).launch("a").await;
    assert_eq!(reader.run(run.id).await.unwrap().value, Some(run));
}

async fn many_first_writers_at_once_create_one_ledger(home: Home) {
    let address = home.address();
    let openers = (0..8).map(|_| {
        let address = address.clone();
        tokio::spawn(async move { open_writer(&address).await.map(|_| ()) })
    });
    for opener in openers.collect::<Vec<_>>() {
        opener.await.unwrap().unwrap();
    }
    Hand(home.writer().await).launch("a").await;
}

async fn a_ledger_of_a_newer_version_is_refused(home: Home) {
    Hand(home.writer().await).launch("a").await;
    home.make_newer().await;
    let refusals = [open_reader(&home.address()).await.err(), open_writer(&home.address()).await.err()];
    for refusal in refusals {
        let refusal = refusal.expect("a newer ledger is not touched");
        assert!(matches!(refusal, LedgerError::TooNew { found: 99, .. }), "{refusal}");
    }
}

async fn a_launched_run_waits_for_its_worker(home: Home) {
    let new = launch_of("a", LEASE);
    let run = home.writer().await.open(new.clone()).await.unwrap();
    let seen = home.reader().await.run(new.id).await.unwrap();
    assert_eq!(seen.value.as_ref(), Some(&run));
    assert_eq!((run.id, &run.migration, &run.launch, run.attempt), (new.id, &new.migration, &new.launch, 1));
    assert_eq!(run.standing(seen.now), Standing::Queued);
    assert_eq!(run.lease().unwrap().expires_at, run.created_at.plus(LEASE));
}

async fn recording_the_same_run_again_returns_it(home: Home) {
    let writer = home.writer().await;
    let new = launch_of("a", LEASE);
    let first = writer.open(new.clone()).await.unwrap();
    assert_eq!(writer.open(new.clone()).await.unwrap(), first);
    let claimed = Hand(writer.clone()).claim(&first, LEASE).await;
    assert_eq!(writer.open(new).await.unwrap(), claimed);
    assert_eq!(writer.events(first.id).await.unwrap().len(), 2);
}

async fn a_second_open_run_of_a_migration_is_refused_with_the_first(home: Home) {
    let hand = Hand(home.writer().await);
    let first = hand.launch("a").await;
    hand.launch("b").await;
    match hand.0.open(launch_of("a", LEASE)).await.unwrap_err() {
        LedgerError::Occupied { run, .. } => assert_eq!(run.id, first.id),
        other => panic!("{other}"),
    }
    // A paused run still occupies its migration; one that has ended does not.
    let claimed = hand.claim(&first, LEASE).await;
    hand.change(&claimed, Action::Stop { kind: WishKind::Pause, by: actor("ana") }).await;
    let paused = hand.finish(&claimed, Outcome::Stopped).await;
    assert!(matches!(hand.0.open(launch_of("a", LEASE)).await, Err(LedgerError::Occupied { .. })));
    hand.change(&paused, Action::Stop { kind: WishKind::Cancel, by: actor("ana") }).await;
    hand.launch("a").await;
}

async fn a_run_goes_from_launch_to_success(home: Home) {
    let hand = Hand(home.writer().await);
    let queued = hand.launch("a").await;
    let running = hand.claim(&queued, LEASE).await;
    assert_eq!(running.worker, Some(worker(7)));
    assert!(running.started_at >= Some(queued.created_at));
    let done = hand.finish(&running, Outcome::Succeeded).await;
    assert!(matches!(done.state, RunState::Succeeded { .. }));
    assert_eq!(home.reader().await.run(done.id).await.unwrap().value, Some(done.clone()));
    let events = home.reader().await.events(done.id).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Launched, EventKind::Claimed, EventKind::Succeeded]);
    assert_eq!(events[0].by, Some(actor("ana")));
    assert!(events.is_sorted_by_key(|event| event.at));
}

async fn a_worker_that_asks_again_is_answered_alike(home: Home) {
    let hand = Hand(home.writer().await);
    let queued = hand.launch("a").await;
    let running = hand.claim(&queued, LEASE).await;
    hand.already(&running, Action::Claim { attempt: 1, worker: worker(7), lease: LEASE }).await;
    let another = hand.refused(&running, Action::Claim { attempt: 1, worker: worker(8), lease: LEASE }).await;
    assert!(matches!(another, LedgerError::Refused(Refusal::Fenced { .. })), "{another}");

    let failure = Failure { cause: FailureCause::Exit { status: 3 }, last_lines: vec!["$out of memory".to_owned()] };
    let report = Action::Finish { attempt: 1, outcome: Outcome::Failed(failure.clone()) };
    let failed = hand.change(&running, report.clone()).await;
    hand.already(&failed, report).await;
    let other_end = hand.refused(&failed, Action::Finish { attempt: 1, outcome: Outcome::Succeeded }).await;
    assert!(matches!(other_end, LedgerError::Refused(Refusal::Fenced { .. })), "{other_end}");
    let RunState::Failed { failure: stored, .. } = failed.state else { panic!("{failed:?}") };
    assert_eq!(stored, failure);
    assert_eq!(hand.0.events(failed.id).await.unwrap().len(), 3);
}

async fn a_heartbeat_renews_the_lease_and_keeps_what_it_does_not_mention(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    let checkpoint = Checkpoint::new(r#"{"$last":{"$oid":"65f0"},"n":12345678901234567890}"#.to_owned()).unwrap();
    let first = Beat { checkpoint: Some(checkpoint.clone()), ..beat(10, LEASE) };
    let reply = hand.0.beat(run.id, 1, first).await.unwrap();
    assert_eq!(reply.wish, None);
    assert!(reply.expires_at >= run.lease().unwrap().expires_at);
    let reply = hand.0.beat(run.id, 1, beat(20, LEASE * 2)).await.unwrap();

    let stored = home.reader().await.run(run.id).await.unwrap().value.unwrap();
    assert_eq!(stored.progress, beat(20, LEASE).progress);
    assert_eq!(stored.checkpoint, Some(checkpoint));
    let lease = stored.lease().unwrap();
    assert_eq!(lease.expires_at, reply.expires_at);
    assert_eq!(lease.expires_at, lease.renewed_at.plus(LEASE * 2));
    assert!(stored.updated_at > run.updated_at);
    // All else is as it was.
    assert_eq!((stored.launch, stored.worker, stored.started_at), (run.launch, run.worker, run.started_at));
}

async fn a_heartbeat_that_arrives_after_a_later_one_changes_nothing(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    let at = |number: u64| Checkpoint::new(number.to_string()).unwrap();
    let numbered =
        |number| Beat { number, checkpoint: Some(at(number)), ..beat(i64::try_from(number).unwrap(), LEASE) };
    hand.0.beat(run.id, 1, numbered(2)).await.unwrap();
    let stored = async || home.reader().await.run(run.id).await.unwrap().value.unwrap();
    let known = stored().await;
    assert_eq!((known.beat, &known.checkpoint), (2, &Some(at(2))));
    for late in [1, 2] {
        let reply = hand.0.beat(run.id, 1, numbered(late)).await.unwrap();
        assert_eq!(reply.expires_at, known.lease().unwrap().expires_at, "what the ledger has is the answer");
        assert_eq!(stored().await, known);
    }
    hand.0.beat(run.id, 1, numbered(3)).await.unwrap();
    assert_eq!(stored().await.checkpoint, Some(at(3)));

    // The next attempt counts from 1 again.
    hand.change(&run, Action::Stop { kind: WishKind::Pause, by: actor("ana") }).await;
    let paused = hand.finish(&run, Outcome::Stopped).await;
    let resumed = hand.change(&paused, Action::resume(actor("ben"), LEASE)).await;
    hand.claim(&resumed, LEASE).await;
    hand.0.beat(run.id, 2, Beat { number: 1, ..beat(4, LEASE) }).await.unwrap();
    assert_eq!(stored().await.progress.done, Some(4));
}

async fn a_wish_reaches_the_worker_with_its_next_heartbeat(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    hand.change(&run, Action::Stop { kind: WishKind::Pause, by: actor("ana") }).await;
    assert_eq!(hand.0.beat(run.id, 1, beat(1, LEASE)).await.unwrap().wish, Some(WishKind::Pause));
    hand.change(&run, Action::Stop { kind: WishKind::Cancel, by: actor("ben") }).await;
    assert_eq!(hand.0.beat(run.id, 1, beat(2, LEASE)).await.unwrap().wish, Some(WishKind::Cancel));
    let ended = hand.finish(&run, Outcome::Stopped).await;
    let RunState::Cancelled { by, .. } = ended.state else { panic!("{ended:?}") };
    assert_eq!(by, actor("ben"));
    assert_eq!(ended.progress.done, Some(2));
}

async fn a_paused_run_is_resumed_as_the_next_attempt(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    let checkpoint = Some(Checkpoint::new("17".to_owned()).unwrap());
    hand.0.beat(run.id, 1, Beat { checkpoint: checkpoint.clone(), ..beat(17, LEASE) }).await.unwrap();
    hand.change(&run, Action::Stop { kind: WishKind::Pause, by: actor("ana") }).await;
    let paused = hand.finish(&run, Outcome::Stopped).await;
    assert!(matches!(paused.state, RunState::Paused { .. }));

    let resumed = hand.change(&paused, Action::resume(actor("ben"), LEASE)).await;
    assert_eq!((resumed.id, resumed.attempt), (run.id, 2));
    let again = hand.refused(&resumed, Action::resume(actor("eva"), LEASE)).await;
    assert!(matches!(again, LedgerError::Refused(Refusal::Live { .. })), "{again}");
    let running = hand.claim(&resumed, LEASE).await;
    assert_eq!((running.checkpoint.clone(), running.started_at), (checkpoint, run.started_at));
    let fenced = hand.0.beat(run.id, 1, beat(18, LEASE)).await.unwrap_err();
    assert!(matches!(fenced, LedgerError::Refused(Refusal::Fenced { attempt: 1, current: 2, .. })), "{fenced}");
    hand.finish(&running, Outcome::Succeeded).await;
}

async fn asking_twice_tells_who_asked_first(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    let pause = |who| Action::Stop { kind: WishKind::Pause, by: actor(who) };
    hand.change(&run, pause("ana")).await;
    let sentence = hand.already(&run, pause("ben")).await;
    assert!(sentence.contains("ana") && !sentence.contains("ben"), "{sentence}");
    hand.finish(&run, Outcome::Stopped).await;
    let sentence = hand.already(&run, pause("ben")).await;
    assert!(sentence.contains("paused already: ana"), "{sentence}");
}

async fn a_cancelled_run_is_final(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch("a").await;
    let cancelled = hand.change(&run, Action::Stop { kind: WishKind::Cancel, by: actor("ana") }).await;
    assert!(matches!(cancelled.state, RunState::Cancelled { .. }));
    for action in [
        Action::Claim { attempt: 1, worker: worker(7), lease: LEASE },
        Action::resume(actor("ana"), LEASE),
        Action::Stop { kind: WishKind::Pause, by: actor("ana") },
        Action::Finish { attempt: 1, outcome: Outcome::Succeeded },
    ] {
        let refusal = hand.refused(&run, action).await;
        assert!(matches!(refusal, LedgerError::Refused(_)), "{refusal}");
    }
    assert_eq!(hand.0.run(run.id).await.unwrap().value, Some(cancelled));
}

async fn a_lost_run_is_taken_over_and_its_old_worker_can_write_nothing(home: Home) {
    let hand = Hand(home.writer().await);
    let queued = hand.launch("a").await;
    let run = hand.claim(&queued, BRIEF).await;
    wait_until_lost(&hand, &run).await;
    let pause = hand.refused(&run, Action::Stop { kind: WishKind::Pause, by: actor("ana") }).await;
    assert!(matches!(pause, LedgerError::Refused(Refusal::Lost { .. })), "{pause}");

    let taken = hand.change(&run, Action::resume(actor("ben"), LEASE)).await;
    let next = hand.claim(&taken, LEASE).await;
    for outcome in [Outcome::Succeeded, Outcome::Interrupted(Interruption::LeaseLost)] {
        let refusal = hand.refused(&run, Action::Finish { attempt: 1, outcome }).await;
        assert!(matches!(refusal, LedgerError::Refused(Refusal::Fenced { .. })), "{refusal}");
    }
    let refusal = hand.0.beat(run.id, 1, beat(1, LEASE)).await.unwrap_err();
    assert!(matches!(refusal, LedgerError::Refused(Refusal::Fenced { .. })), "{refusal}");
    let kinds: Vec<_> = hand.0.events(run.id).await.unwrap().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Launched, EventKind::Claimed, EventKind::TakenOver, EventKind::Claimed]);
    assert_eq!(hand.0.run(run.id).await.unwrap().value, Some(next));
}

async fn a_worker_that_comes_too_late_may_not_start(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.0.open(launch_of("a", BRIEF)).await.unwrap();
    wait_until_lost(&hand, &run).await;
    let refusal = hand.refused(&run, Action::Claim { attempt: 1, worker: worker(7), lease: LEASE }).await;
    assert!(matches!(refusal, LedgerError::Refused(Refusal::Fenced { .. })), "{refusal}");
}

async fn a_run_that_was_never_claimed_is_interrupted_with_its_pod(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch("a").await;
    let run = hand.finish(&run, Outcome::Interrupted(Interruption::Shutdown)).await;
    assert!(matches!(run.state, RunState::Interrupted { cause: Interruption::Shutdown, .. }), "{:?}", run.state);
    let refusal = hand.refused(&run, Action::Claim { attempt: 1, worker: worker(7), lease: LEASE }).await;
    assert!(matches!(refusal, LedgerError::Refused(Refusal::Fenced { .. })), "{refusal}");
}

async fn a_lost_worker_that_nobody_replaced_may_go_on(home: Home) {
    let hand = Hand(home.writer().await);
    let queued = hand.launch("a").await;
    let run = hand.claim(&queued, BRIEF).await;
    wait_until_lost(&hand, &run).await;
    hand.0.beat(run.id, 1, beat(1, LEASE)).await.unwrap();
    let seen = hand.0.run(run.id).await.unwrap();
    assert_eq!(seen.value.unwrap().standing(seen.now), Standing::Running);
    hand.finish(&run, Outcome::Succeeded).await;
}

async fn a_failed_run_is_resumed_unless_a_newer_one_exists(home: Home) {
    let hand = Hand(home.writer().await);
    let failure = Failure { cause: FailureCause::Signal { signal: 9 }, last_lines: vec![] };
    let run = hand.launch_and_claim("a").await;
    let failed = hand.finish(&run, Outcome::Failed(failure.clone())).await;
    let resume = Action::resume(actor("ana"), LEASE);
    let resumed = hand.change(&failed, resume.clone()).await;
    let running = hand.claim(&resumed, LEASE).await;
    let failed = hand.finish(&running, Outcome::Failed(failure)).await;

    let newer = hand.launch_and_claim("a").await;
    match hand.refused(&failed, resume.clone()).await {
        LedgerError::Occupied { run, .. } => assert_eq!(run.id, newer.id),
        other => panic!("{other}"),
    }
    hand.finish(&newer, Outcome::Succeeded).await;
    let refusal = hand.refused(&failed, resume).await;
    assert!(matches!(refusal, LedgerError::Superseded { .. }), "{refusal}");
    assert_eq!(hand.0.run(failed.id).await.unwrap().value, Some(failed));
}

async fn what_happens_to_an_unknown_run_is_refused(home: Home) {
    let writer = home.writer().await;
    let nobody = RunId::generate();
    let action = Action::Stop { kind: WishKind::Cancel, by: actor("ana") };
    assert!(matches!(writer.act(nobody, action).await, Err(LedgerError::NoSuchRun(id)) if id == nobody));
    let refusal = writer.beat(nobody, 1, beat(1, LEASE)).await;
    assert!(matches!(refusal, Err(LedgerError::NoSuchRun(id)) if id == nobody));
}

async fn changes_are_those_since_a_time(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch("a").await;
    let future = run.updated_at.plus(Duration::from_hours(1));
    assert!(hand.0.changes(future).await.unwrap().value.is_empty());
    assert_eq!(hand.0.changes(run.updated_at).await.unwrap().value, [run]);
}

async fn polling_from_the_time_before_misses_nothing(home: Home) {
    let hand = Hand(home.writer().await);
    let reader = home.reader().await;
    let mut since = reader.now().await.unwrap();
    for n in 0..20 {
        let run = hand.launch(&format!("m{n}")).await;
        let seen = reader.changes(since).await.unwrap();
        assert!(seen.value.contains(&run), "{run:?} is not among {seen:?}");
        since = seen.now;
    }
}

async fn a_history_is_the_latest_run_and_the_last_success(home: Home) {
    let hand = Hand(home.writer().await);
    for name in ["a", "b"] {
        let first = hand.launch_and_claim(name).await;
        hand.finish(&first, Outcome::Succeeded).await;
    }
    let success = hand.launch_and_claim("a").await;
    let success = hand.finish(&success, Outcome::Succeeded).await;
    let third = hand.launch("a").await;
    let third = hand.change(&third, Action::Stop { kind: WishKind::Cancel, by: actor("ana") }).await;
    hand.launch("never_succeeded").await;

    let seen = home.reader().await.histories().await.unwrap();
    assert_eq!(seen.value.len(), 3);
    let history = &seen.value[&migration("a")];
    assert_eq!(history.latest.as_deref(), Some(&third));
    let applied = history.applied.as_ref().unwrap();
    assert_eq!((applied.run, Some(applied.at)), (success.id, success.ended_at()));
    assert_eq!(applied.checksum, success.launch.checksum);
    assert!(seen.value[&migration("b")].applied.is_some());
    assert_eq!(seen.value[&migration("never_succeeded")].applied, None);
}

async fn runs_are_listed_newest_first(home: Home) {
    let hand = Hand(home.writer().await);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let run = hand.launch("a").await;
        hand.change(&run, Action::Stop { kind: WishKind::Cancel, by: actor("ana") }).await;
        ids.insert(0, run.id);
    }
    let other = hand.launch("b").await;
    let list =
        async |query| -> Vec<RunId> { hand.0.runs(query).await.unwrap().value.into_iter().map(|run| run.id).collect() };
    assert_eq!(list(RunQuery { migration: Some(migration("a")), limit: None }).await, ids);
    assert_eq!(list(RunQuery { migration: Some(migration("a")), limit: Some(2) }).await, ids[..2]);
    assert_eq!(list(RunQuery { migration: None, limit: Some(2) }).await, [other.id, ids[0]]);
    assert_eq!(list(RunQuery::default()).await.len(), 4);
}

async fn a_run_is_found_by_the_end_of_its_id(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch("a").await;
    hand.launch("b").await;
    let text = run.id.to_string();
    for suffix in [run.id.short(), run.id.short().to_uppercase(), text[20..].to_owned(), text.clone()] {
        assert_eq!(hand.0.runs_ending_in(&suffix).await.unwrap(), std::slice::from_ref(&run), "{suffix}");
    }
    for none in ["", "not-hex", ".*", "%"] {
        assert!(hand.0.runs_ending_in(none).await.unwrap().is_empty(), "{none}");
    }
}

async fn a_log_comes_back_in_order_and_in_pages(home: Home) {
    let writer = home.writer().await;
    let run = RunId::generate();
    let chunk = |attempt, offset, bytes: &[u8]| LogChunk { run, attempt, offset, bytes: bytes.to_vec() };
    let chunks =
        [chunk(1, 0, b"one\n"), chunk(1, 4, b"\xff\x00\n"), chunk(1, 1 << 40, b"far\n"), chunk(2, 0, b"two\n")];
    for index in [3, 1, 0, 2] {
        writer.archive(chunks[index].clone()).await.unwrap();
    }
    writer.archive(chunks[1].clone()).await.unwrap();
    writer.archive(LogChunk { run: RunId::generate(), ..chunk(1, 0, b"another run\n") }).await.unwrap();

    let reader = home.reader().await;
    assert_eq!(reader.log(run, LogPosition::default(), 100).await.unwrap(), chunks);
    assert_eq!(reader.log(run, LogPosition { attempt: 1, offset: 1 }, 2).await.unwrap(), chunks[1..3]);
    assert_eq!(reader.log(run, LogPosition { attempt: 2, offset: 0 }, 2).await.unwrap(), chunks[3..]);
    assert_eq!(reader.log_end(run, 2).await.unwrap(), chunks[2..], "the last ones, in order");
    assert_eq!(reader.log_end(run, 100).await.unwrap(), chunks);
    assert_eq!(writer.log_end(run, 0).await.unwrap(), []);
    assert_eq!(reader.log_end(RunId::generate(), 5).await.unwrap(), []);
}

async fn a_log_is_trimmed_within_one_attempt(home: Home) {
    let writer = home.writer().await;
    let run = RunId::generate();
    for (attempt, offset) in [(1, 0), (1, 10), (1, 20), (1, 30), (2, 10)] {
        writer.archive(LogChunk { run, attempt, offset, bytes: b"x\n".to_vec() }).await.unwrap();
    }
    writer.trim(run, 1, 10..30).await.unwrap();
    let left = writer.log(run, LogPosition::default(), 100).await.unwrap();
    let left: Vec<_> = left.iter().map(|chunk| (chunk.attempt, chunk.offset)).collect();
    assert_eq!(left, [(1, 0), (1, 30), (2, 10)]);
}

async fn a_ledger_is_stamped_once_and_restamped_on_request(home: Home) {
    let writer = home.writer().await;
    let stamp = |environment: &str, restamp| NewPassport {
        environment: EnvironmentName::new(environment).unwrap(),
        protected: environment == "production",
        by: actor("ana"),
        restamp,
    };
    let first = writer.stamp(stamp("staging", false)).await.unwrap();
    assert_eq!(first.cluster, writer.cluster().await.unwrap());
    assert_eq!(writer.stamp(stamp("production", false)).await.unwrap(), first);
    let second = writer.stamp(stamp("production", true)).await.unwrap();
    assert_eq!((second.environment.as_str(), second.protected), ("production", true));
    assert!(second.stamped_at >= first.stamped_at);
    assert_eq!(home.reader().await.passport().await.unwrap(), Some(second));
}

async fn updates_of_a_run_have_rising_times(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    let mut last = run.updated_at;
    for done in 0..20 {
        hand.0.beat(run.id, 1, beat(done, LEASE)).await.unwrap();
        let updated_at = hand.0.run(run.id).await.unwrap().value.unwrap().updated_at;
        assert!(updated_at > last);
        last = updated_at;
    }
    assert!(hand.finish(&run, Outcome::Succeeded).await.updated_at > last);
}

fn tune(workers: Option<u8>, pace: Option<u8>, who: &str) -> Action {
    Action::Tune { by: actor(who), speed: SpeedChange::new(workers, pace).unwrap() }
}

async fn a_speed_reaches_the_worker_with_its_next_heartbeat(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    assert_eq!(hand.0.beat(run.id, 1, beat(1, LEASE)).await.unwrap().speed, None);
    hand.change(&run, tune(Some(2), None, "ana")).await;
    let tuned = hand.change(&run, tune(None, Some(50), "ben")).await;
    let reply = hand.0.beat(run.id, 1, beat(2, LEASE)).await.unwrap();
    assert_eq!(reply.speed, Some(SpeedChange::new(Some(2), Some(50)).unwrap()));
    assert_eq!(reply.wish, None);
    let tuning = tuned.tuning.unwrap();
    assert_eq!((Some(tuning.speed), tuning.by), (reply.speed, actor("ben")));
    let sentence = hand.already(&run, tune(Some(2), Some(50), "eva")).await;
    assert!(sentence.contains("already: ben did it"), "{sentence}");
    let events = hand.0.events(run.id).await.unwrap();
    let told: Vec<_> = events.iter().filter(|event| event.kind == EventKind::Tuned).map(|event| &event.text).collect();
    assert_eq!(told, ["ana set it to 2 workers", "ben set it to 50 % pace"]);
}

async fn a_speed_outlives_the_attempt_and_every_heartbeat(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    let tuned = hand.change(&run, tune(Some(3), None, "ana")).await;
    hand.0.beat(run.id, 1, beat(1, LEASE)).await.unwrap();
    let stopped = hand.finish(&run, Outcome::Interrupted(Interruption::Shutdown)).await;
    let resumed = hand.change(&stopped, Action::resume(actor("ana"), LEASE)).await;
    let next = hand.claim(&resumed, LEASE).await;
    assert_eq!((next.attempt, next.tuning), (2, tuned.tuning));
    hand.finish(&resumed, Outcome::Succeeded).await;
    let refusal = hand.refused(&run, tune(Some(1), None, "ana")).await;
    assert!(matches!(refusal, LedgerError::Refused(Refusal::Ended { .. })), "{refusal}");
}

/// A document that `run` leaves out at a step; its `_id` is what a query language could mistake for its own.
fn refused_document(run: RunId, step: u32, id: &str) -> NewQuarantined {
    NewQuarantined {
        run,
        step,
        database: "payments".to_owned(),
        collection: "transactions".to_owned(),
        document: id.to_owned(),
        error: "$$ROOT failed validation".to_owned(),
        attempt: 1,
    }
}

async fn quarantined_documents_come_back_in_order_and_in_pages(home: Home) {
    let writer = home.writer().await;
    let run = RunId::generate();
    let places = [(0, "\"$set\""), (0, r#"{"$oid":"65f0"}"#), (1, "\"$$NOW\""), (300, "1")];
    for index in [2, 0, 3, 1] {
        let (step, id) = places[index];
        writer.quarantine(refused_document(run, step, id)).await.unwrap();
    }
    writer.quarantine(refused_document(RunId::generate(), 0, "1")).await.unwrap();

    let reader = home.reader().await;
    let all = reader.quarantined(run, None, 100).await.unwrap();
    let found: Vec<_> = all.iter().map(|left| (left.step, left.document.as_str())).collect();
    assert_eq!(found, places);
    assert!(all.is_sorted_by_key(stopover::ledger::Quarantined::position));
    assert_eq!((all[0].run, all[0].attempt), (run, 1));
    assert_eq!((all[0].database.as_str(), all[0].collection.as_str()), ("payments", "transactions"));
    assert_eq!(all[0].error, "$$ROOT failed validation");
    assert_eq!(reader.quarantined(run, None, 2).await.unwrap(), all[..2]);
    assert_eq!(reader.quarantined(run, Some(all[1].position()), 2).await.unwrap(), all[2..]);
    assert!(reader.quarantined(run, Some(all[3].position()), 2).await.unwrap().is_empty());
    assert!(reader.quarantined(run, None, 0).await.unwrap().is_empty());
}

async fn a_document_is_quarantined_once(home: Home) {
    let writer = home.writer().await;
    let run = RunId::generate();
    let before = writer.now().await.unwrap();
    writer.quarantine(refused_document(run, 0, "1")).await.unwrap();
    let first = writer.quarantined(run, None, 10).await.unwrap();
    // By the ledger's own clock, which two of its servers' threads may read a moment apart.
    assert!(first[0].at.plus(Duration::from_secs(1)) > before);
    let again = NewQuarantined { attempt: 2, error: "another".to_owned(), ..refused_document(run, 0, "1") };
    writer.quarantine(again).await.unwrap();
    assert_eq!(writer.quarantined(run, None, 10).await.unwrap(), first);
    writer.quarantine(refused_document(run, 1, "1")).await.unwrap();
    assert_eq!(writer.quarantined(run, None, 10).await.unwrap().len(), 2);
}

async fn wait_until_lost(hand: &Hand, run: &Run) {
    eventually_async("the lease expires", Duration::from_secs(10), async || {
        let seen = hand.0.run(run.id).await.unwrap();
        (seen.value.unwrap().standing(seen.now) == Standing::Lost).then_some(())
    })
    .await;
}

async fn a_forced_run_keeps_the_end_of_its_lease(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    let before = hand.0.beat(run.id, 1, beat(1, LEASE)).await.unwrap();
    assert!(!before.is_forced);
    let force = Action::Force { kind: WishKind::Cancel, by: actor("ben"), grace: Duration::ZERO };
    let early = hand.refused(&run, force.clone()).await;
    assert!(matches!(early, LedgerError::Refused(Refusal::NotAsked { .. })), "{early}");
    hand.change(&run, Action::Stop { kind: WishKind::Pause, by: actor("ana") }).await;
    let patient = Action::Force { kind: WishKind::Cancel, by: actor("ben"), grace: LEASE };
    assert!(matches!(hand.refused(&run, patient).await, LedgerError::Refused(Refusal::TooEarly { .. })));
    let forced = hand.change(&run, force.clone()).await;
    assert!(hand.already(&run, force).await.contains("ben did it"));
    let after = hand.0.beat(run.id, 1, beat(2, LEASE)).await.unwrap();
    assert_eq!((after.is_forced, after.wish), (true, Some(WishKind::Cancel)));
    assert_eq!(after.expires_at, before.expires_at, "no renewal extends it");
    let stored = hand.0.run(run.id).await.unwrap().value.unwrap();
    assert_eq!(stored.lease().unwrap().expires_at, forced.lease().unwrap().expires_at);
    assert!(stored.lease().unwrap().renewed_at >= forced.lease().unwrap().renewed_at, "yet it was heard of");
    assert_eq!(stored.wish(), forced.wish());
    let ended = hand.finish(&run, Outcome::Stopped).await;
    assert!(matches!(ended.state, RunState::Cancelled { .. }));
}

async fn what_a_worker_has_heard_is_recorded_once(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    hand.change(&run, Action::Stop { kind: WishKind::Pause, by: actor("ana") }).await;
    let heard = Heard::Stop { kind: WishKind::Pause, time: Duration::from_secs(10) };
    let answer = Action::Acknowledge { attempt: 1, heard };
    hand.change(&run, answer.clone()).await;
    hand.already(&run, answer.clone()).await;
    // A heartbeat keeps what was heard.
    hand.0.beat(run.id, 1, beat(1, LEASE)).await.unwrap();
    hand.already(&run, answer).await;
    let events = hand.0.events(run.id).await.unwrap();
    let told: Vec<_> = events.iter().filter(|event| event.kind == EventKind::Acknowledged).map(|e| &e.text).collect();
    assert_eq!(told, ["attempt 1 heard it: its program has 10 s to stop at a checkpoint"]);
}

async fn what_a_pod_does_by_itself_is_recorded_with_the_run(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    assert!(matches!(hand.refused(&run, recovery("pod-b")).await, LedgerError::Refused(Refusal::Live { .. })));
    hand.finish(&run, Outcome::Interrupted(Interruption::Shutdown)).await;
    let resumed = hand.change(&run, recovery("pod-b")).await;
    assert_eq!((resumed.attempt, resumed.recoveries[0].pod.as_str()), (2, "pod-b"));
    let claimed = hand.claim(&resumed, LEASE).await;
    hand.0.beat(run.id, 2, beat(1, LEASE)).await.unwrap();
    let stopped = hand.finish(&claimed, Outcome::Interrupted(Interruption::Shutdown)).await;
    assert_eq!(stopped.recoveries, resumed.recoveries, "it stays through all that the worker writes");
    let again = hand.refused(&run, recovery("pod-b")).await;
    assert!(matches!(again, LedgerError::Refused(Refusal::LookedAfter { .. })), "{again}");
    let by_hand = hand.change(&run, Action::resume(actor("ana"), LEASE)).await;
    assert!(by_hand.recoveries.is_empty());
    let event =
        hand.0.events(run.id).await.unwrap().into_iter().find(|event| event.kind == EventKind::Resumed).unwrap();
    let by = event.by.unwrap();
    assert_eq!((by.operator.as_str(), by.place.pod.as_str()), ("recovery", "pod-b"));
}

async fn what_a_pod_leaves_alone_is_recorded_once(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch_and_claim("a").await;
    hand.finish(&run, Outcome::Interrupted(Interruption::Shutdown)).await;
    let decline = |pod: &str| Action::Decline { by: place(pod).into(), reason: "$not here".to_owned() };
    let declined = hand.change(&run, decline("pod-b")).await;
    assert_eq!(declined.recoveries[0].outcome, RecoveryOutcome::Declined { reason: "$not here".to_owned() });
    hand.already(&run, decline("pod-b")).await;
    hand.change(&run, decline("pod-c")).await;
    assert_eq!(hand.0.run(run.id).await.unwrap().value.unwrap().recoveries.len(), 2);
    assert_eq!(hand.change(&run, recovery("pod-d")).await.attempt, 2);
}

async fn of_a_loss_one_pod_tells_until_it_is_told(home: Home) {
    let hand = Hand(home.writer().await);
    let run = hand.launch("a").await;
    let tell = |attempt, pod: &str, is_delivered: bool| Action::TellLoss {
        attempt,
        by: place(pod).into(),
        told: is_delivered.then(|| "ops".to_owned()).into_iter().collect(),
        is_delivered,
    };
    let run = hand.claim(&run, BRIEF).await;
    eventually_async("it is lost", Duration::from_secs(30), async || {
        let seen = hand.0.run(run.id).await.unwrap();
        (seen.value.unwrap().standing(seen.now) == Standing::Lost).then_some(())
    })
    .await;
    let taken = hand.change(&run, tell(1, "pod-a", false)).await;
    assert_eq!(taken.loss.as_ref().map(|notice| (&*notice.pod, notice.delivered)), Some(("pod-a", false)));
    assert!(hand.already(&run, tell(1, "pod-b", false)).await.contains("another pod tells of its loss"));
    // Its next container may at once.
    hand.change(&run, tell(1, "pod-a", false)).await;
    let told = hand.change(&run, tell(1, "pod-a", true)).await.loss.unwrap();
    assert!(told.delivered && told.told.contains("ops"), "{told:?}");
    for pod in ["pod-a", "pod-b"] {
        assert!(hand.already(&run, tell(1, pod, false)).await.contains("its loss was told"));
    }
    assert_eq!(hand.0.events(run.id).await.unwrap().len(), 2, "it is no part of the history");
    assert!(hand.0.run(run.id).await.unwrap().value.unwrap().updated_at > run.updated_at);
    let resumed = hand.change(&run, Action::resume(actor("ben"), LEASE)).await;
    assert!(hand.already(&resumed, tell(1, "pod-b", true)).await.contains("there is a later one"));
    assert!(hand.already(&resumed, tell(2, "pod-b", false)).await.contains("it is not lost"));
}
