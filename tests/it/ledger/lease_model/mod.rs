//! The lease protocol, checked in every state that it can reach.
//!
//! The server's side is the real one ([`Run::apply`], [`Run::beat`]); the workers' side is a small model of their timing (`worker.rs`). Between them is the worst network there
//! is: whatever was sent may arrive never, late, and any number of times. Workers are killed, frozen and thawed at any point, operators resume, pause and cancel at
//! any point. Time is counted in ticks; all clocks run at one speed, for the margins are there for those that do not.
//!
//! The model is worth as much as what it finds: each rule of the protocol is broken once, and the violation must be found.

mod explore;
mod quick;
mod server;
mod worker;

use explore::{Found, Seen, explore};
use worker::{Change, Changes};

/// The lease, in ticks.
const LEASE: u8 = 5;
/// At this age of its latest renewal, counted from its sending, a worker has ended its program (nine tenths of the lease).
const OVER: u8 = 3;
/// At this age the guard ends worker and program (nineteen twentieths).
const GUARD: u8 = 4;
/// How long a worker has to claim an attempt that was recorded.
const CLAIM_WITHIN: u8 = 2;

/// Goes through every state that two workers of these attempts can come into.
#[track_caller]
fn finds_nothing(attempts: [u32; 2]) -> Seen {
    match explore(attempts, &[]) {
        Found::Nothing(seen) => {
            eprintln!("workers of the attempts {attempts:?}: {seen}");
            // That all this happens shows that the model is not idle.
            assert!(seen.states > 10_000 && seen.guarded > 0 && seen.fenced > 0 && seen.finished > 0, "{seen}");
            seen
        }
        Found::Violation { what, path } => panic!("{what}, by\n  {}", path.join("\n  ")),
    }
}

#[test]
fn no_state_of_two_attempts_has_two_programs_or_two_writers() {
    assert!(finds_nothing([1, 2]).taken_over > 0);
}

/// By some mistake, both are started for the same attempt.
#[test]
fn no_state_of_two_workers_of_one_attempt_has_two_programs_or_two_writers() {
    assert_eq!(finds_nothing([1, 1]).taken_over, 0);
}

#[track_caller]
fn finds_two_programs(changes: Changes) {
    match explore([1, 2], changes) {
        Found::Nothing(seen) => panic!("nothing is found with {changes:?}: {seen}"),
        Found::Violation { what, path } => {
            eprintln!("{changes:?}: {what}, by\n  {}", path.join("\n  "));
            assert!(what.contains("two programs"), "{what}");
        }
    }
}

#[test]
fn a_renewal_counted_from_its_answer_is_found_to_be_wrong() {
    finds_two_programs(&[Change::RenewedWhenAnswered]);
}

#[test]
fn a_renewal_that_counts_although_a_stop_was_forced_is_found_to_be_wrong() {
    finds_two_programs(&[Change::RenewedByForce]);
}

#[test]
fn a_worker_without_a_guard_is_found_to_be_wrong() {
    finds_two_programs(&[Change::NoGuard]);
}

#[test]
fn a_start_without_a_look_at_the_lease_is_found_to_be_wrong() {
    finds_two_programs(&[Change::StartedUnseen]);
}

#[test]
fn a_worker_that_does_not_watch_its_lease_is_found_to_be_wrong_where_no_guard_helps() {
    finds_two_programs(&[Change::LeaseUnwatched, Change::NoGuard, Change::NeverFrozen]);
}

#[test]
fn a_guard_after_the_end_of_the_lease_is_found_to_be_wrong() {
    finds_two_programs(&[Change::LateGuard]);
}

/// What no timing can help: a machine that sleeps takes the guard with it, and what wakes first is chance. The steps' own fence, which is the
/// number of the attempt in the database, holds there; a program has none.
#[test]
fn a_machine_that_sleeps_past_the_lease_is_known_to_wake_with_its_program() {
    finds_two_programs(&[Change::MachineSleeps]);
}
