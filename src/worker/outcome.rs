//! What the end of a program means for its run.

use std::time::Duration;

use crate::engine::End;
use crate::ledger::{Failure, FailureCause, Interruption, Outcome, WishKind};

use super::program::Exit;

/// `EX_TEMPFAIL` of sysexits.h: "stopped at my checkpoint, resume me".
const ASKS_TO_BE_RESUMED: i32 = 75;

const UNGUARDED: &str = "it was stopped because the worker's guard had died and could not be replaced; resume it";

/// Why the worker asked its program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// An operator wishes it.
    Wish(WishKind),
    /// The worker was asked to end (its pod is shut down).
    Shutdown,
    /// The lease could not be renewed in time.
    LeaseLost,
    /// The guard is gone and cannot be replaced: nothing would end the program if the worker died.
    Unguarded,
    /// It took longer than its manifest allows.
    Timeout(Duration),
}

/// The outcome of an attempt. `stop` is what the worker asked for; `wish` is what the ledger says an operator wants, which the
/// program's own end may happen to fulfil.
#[must_use]
pub fn of(exit: &Exit, stop: Option<Stop>, wish: Option<WishKind>, last_lines: &[String]) -> Outcome {
    let failed = |cause| Outcome::Failed(Failure { cause, last_lines: last_lines.to_vec() });
    // Whoever did everything has succeeded, whatever was asked meanwhile.
    if *exit == Exit::Status(0) {
        return Outcome::Succeeded;
    }
    if let Some(Stop::Timeout(limit)) = stop {
        return failed(FailureCause::Timeout { seconds: limit.as_secs() });
    }
    let asks = *exit == Exit::Status(ASKS_TO_BE_RESUMED);
    if asks || (stop.is_some() && is_death_by_request(exit)) {
        return match (wish, stop) {
            (Some(_), _) | (_, Some(Stop::Wish(_))) => Outcome::Stopped,
            (None, Some(Stop::Unguarded)) if !asks => failed(FailureCause::Worker { message: UNGUARDED.to_owned() }),
            (None, Some(Stop::LeaseLost)) => Outcome::Interrupted(Interruption::LeaseLost),
            (None, Some(Stop::Shutdown | Stop::Timeout(_))) => Outcome::Interrupted(Interruption::Shutdown),
            (None, None | Some(Stop::Unguarded)) => Outcome::Interrupted(Interruption::AskedToResume),
        };
    }
    failed(match exit {
        Exit::Status(status) => FailureCause::Exit { status: *status },
        Exit::Signal(signal) => FailureCause::Signal { signal: *signal },
        Exit::Unknown(reason) => {
            FailureCause::Worker { message: format!("how the program ended is not known: {reason}") }
        }
    })
}

/// The outcome of native steps; `None` when they were given up.
#[must_use]
pub fn of_steps(end: Option<&End>, stop: Option<Stop>, wish: Option<WishKind>) -> Outcome {
    let failed = |cause| Outcome::Failed(Failure { cause, last_lines: Vec::new() });
    match (end, stop, wish) {
        (Some(End::Done), ..) => Outcome::Succeeded,
        (Some(End::Failed { title, message }), ..) => {
            failed(FailureCause::Step { title: title.clone(), message: message.clone() })
        }
        (_, Some(Stop::Timeout(limit)), _) => failed(FailureCause::Timeout { seconds: limit.as_secs() }),
        (.., Some(_)) | (_, Some(Stop::Wish(_)), _) => Outcome::Stopped,
        (_, Some(Stop::Unguarded), None) => failed(FailureCause::Worker { message: UNGUARDED.to_owned() }),
        (_, Some(Stop::LeaseLost), None) => Outcome::Interrupted(Interruption::LeaseLost),
        (_, Some(Stop::Shutdown), None) => Outcome::Interrupted(Interruption::Shutdown),
        (_, None, None) => Outcome::Interrupted(Interruption::AskedToResume),
    }
}

/// A program that was asked to stop and does not handle SIGTERM dies of it, or returns what a shell makes of that.
fn is_death_by_request(exit: &Exit) -> bool {
    const INT: i32 = 2;
    const KILL: i32 = 9;
    const TERM: i32 = 15;
    match exit {
        Exit::Signal(signal) => matches!(*signal, INT | KILL | TERM),
        Exit::Status(status) => matches!(*status - 128, INT | KILL | TERM),
        Exit::Unknown(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Option<WishKind> = Some(WishKind::Pause);
    const STOPS: [Option<Stop>; 6] = [
        None,
        Some(Stop::Wish(WishKind::Cancel)),
        Some(Stop::Shutdown),
        Some(Stop::LeaseLost),
        Some(Stop::Unguarded),
        Some(Stop::Timeout(Duration::from_secs(9))),
    ];

    fn outcome(exit: &Exit, stop: Option<Stop>, wish: Option<WishKind>) -> Outcome {
        of(exit, stop, wish, &[])
    }

    fn cause(exit: &Exit, stop: Option<Stop>) -> FailureCause {
        match outcome(exit, stop, None) {
            Outcome::Failed(failure) => failure.cause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn zero_is_success_whatever_was_asked() {
        for stop in STOPS {
            assert_eq!(outcome(&Exit::Status(0), stop, PAUSE), Outcome::Succeeded);
        }
    }

    #[test]
    fn seventy_five_means_what_was_asked_or_else_that_it_asks_itself() {
        let exit = Exit::Status(75);
        assert_eq!(outcome(&exit, None, None), Outcome::Interrupted(Interruption::AskedToResume));
        assert_eq!(outcome(&exit, None, PAUSE), Outcome::Stopped);
        assert_eq!(outcome(&exit, Some(Stop::Wish(WishKind::Pause)), PAUSE), Outcome::Stopped);
        assert_eq!(outcome(&exit, Some(Stop::Shutdown), None), Outcome::Interrupted(Interruption::Shutdown));
        assert_eq!(outcome(&exit, Some(Stop::LeaseLost), None), Outcome::Interrupted(Interruption::LeaseLost));
    }

    #[test]
    fn death_by_a_signal_counts_as_a_stop_only_if_one_was_asked_for() {
        for exit in [
            Exit::Signal(15),
            Exit::Signal(9),
            Exit::Signal(2),
            Exit::Status(143),
            Exit::Status(137),
            Exit::Status(130),
        ] {
            assert_eq!(outcome(&exit, Some(Stop::Wish(WishKind::Cancel)), None), Outcome::Stopped);
            assert_eq!(outcome(&exit, Some(Stop::Shutdown), None), Outcome::Interrupted(Interruption::Shutdown));
            assert!(matches!(outcome(&exit, None, PAUSE), Outcome::Failed(_)));
        }
        assert_eq!(cause(&Exit::Signal(9), None), FailureCause::Signal { signal: 9 });
    }

    #[test]
    fn a_program_stopped_for_want_of_a_guard_has_failed_unless_it_stopped_at_its_checkpoint() {
        let unguarded = Some(Stop::Unguarded);
        assert!(matches!(cause(&Exit::Signal(15), unguarded), FailureCause::Worker { .. }));
        let asks = outcome(&Exit::Status(75), unguarded, None);
        assert_eq!(asks, Outcome::Interrupted(Interruption::AskedToResume));
    }

    #[test]
    fn an_error_while_stopping_is_an_error() {
        assert_eq!(cause(&Exit::Status(3), Some(Stop::Shutdown)), FailureCause::Exit { status: 3 });
        assert_eq!(cause(&Exit::Signal(11), Some(Stop::LeaseLost)), FailureCause::Signal { signal: 11 });
    }

    #[test]
    fn a_timeout_is_told_as_such() {
        let timeout = Some(Stop::Timeout(Duration::from_secs(9)));
        for exit in [Exit::Signal(15), Exit::Status(75), Exit::Status(1)] {
            assert_eq!(cause(&exit, timeout), FailureCause::Timeout { seconds: 9 });
        }
    }
}
