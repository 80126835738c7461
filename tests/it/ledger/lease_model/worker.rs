//! A worker with its program and its guard, as far as the lease concerns them.

use super::server::{Answer, Ended, Manner};
use super::{GUARD, LEASE, OVER};

/// Where the model differs from what a worker does, and what may happen to it beyond being killed, frozen and thawed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A renewal counts from its answer, not from when it was asked for.
    RenewedWhenAnswered,
    /// A renewal counts although a stop was forced.
    RenewedByForce,
    /// No guard ends program and worker when the worker is dead or late.
    NoGuard,
    /// The guard comes when the lease is over.
    LateGuard,
    /// A program is started without a look at the lease.
    StartedUnseen,
    /// The program is not ended when the lease is nearly over.
    LeaseUnwatched,
    /// No worker is ever frozen.
    NeverFrozen,
    /// Whole machines are frozen: worker, guard and program.
    MachineSleeps,
}

/// The changes under which the model is explored; none for the protocol as it is.
pub type Changes = &'static [Change];

/// One worker process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub phase: Phase,
    /// Of the latest renewal, by the worker's monotonic clock, up to the length of a lease and one more.
    pub age: u8,
    /// The age of the latest renewal that the guard knows of; `None` while it only waits for the worker's death.
    pub guard: Option<u8>,
    /// Whether its program lives.
    pub program: bool,
    pub hold: Hold,
    /// The request that it waits for.
    pub pending: Option<Pending>,
    /// What it has ever sent: the network may deliver any of it at any time.
    pub sent: Sent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    NotStarted,
    Claiming,
    /// It has its claim, and has told nobody.
    Claimed,
    /// The guard knows.
    Told,
    /// The lease was looked at.
    Cleared,
    Working,
    /// The program is over; the end is to be reported.
    Ending(Ended),
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    Free,
    /// The worker stands still; program and guard go on.
    Worker,
    /// All three stand still.
    Machine,
}

/// A claim or a heartbeat under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pending {
    /// Since it was sent.
    pub age: u8,
    /// What the server answered to it, if it has.
    pub answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    pub claim: bool,
    pub beat: bool,
    pub finish: Option<Ended>,
}

impl Process {
    pub fn unborn() -> Self {
        Self {
            phase: Phase::NotStarted,
            age: 0,
            guard: None,
            program: false,
            hold: Hold::Free,
            pending: None,
            sent: Sent { claim: false, beat: false, finish: None },
        }
    }

    pub fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::NotStarted | Phase::Dead)
    }

    /// Whether it takes the attempt for its own.
    pub fn believes(&self) -> bool {
        matches!(self.phase, Phase::Claimed | Phase::Told | Phase::Cleared | Phase::Working)
    }

    /// What it may do by itself, each with a word for it.
    pub fn moves(&self, changes: Changes) -> Vec<(&'static str, Self)> {
        let mut moves = Vec::new();
        if self.hold == Hold::Free {
            self.own_moves(changes, &mut moves);
        } else {
            moves.push(("is thawed", Self { hold: Hold::Free, ..*self }));
        }
        if self.is_alive() {
            if self.hold == Hold::Free && !changes.contains(&Change::NeverFrozen) {
                moves.push(("is frozen", Self { hold: Hold::Worker, ..*self }));
            }
            if self.hold == Hold::Free && changes.contains(&Change::MachineSleeps) {
                moves.push(("sleeps with its machine", Self { hold: Hold::Machine, ..*self }));
            }
            let hold = if self.hold == Hold::Machine { Hold::Machine } else { Hold::Free };
            moves.push(("is killed", Self { program: self.program, hold, ..self.dead() }));
        }
        if self.guard_is_due(changes) {
            moves.push(("is ended by its guard", self.dead()));
        }
        moves
    }

    fn own_moves(&self, changes: Changes, moves: &mut Vec<(&'static str, Self)>) {
        match self.phase {
            Phase::Claimed => {
                moves.push(("tells its guard", Self { phase: Phase::Told, guard: Some(self.age), ..*self }));
            }
            Phase::Told if !changes.contains(&Change::StartedUnseen) && self.age >= OVER => {
                moves.push(("comes too late", self.ending(Ended::LeaseLost)));
            }
            Phase::Told => moves.push(("looks at its lease", Self { phase: Phase::Cleared, ..*self })),
            Phase::Cleared => {
                moves.push(("starts its program", Self { phase: Phase::Working, program: true, ..*self }));
            }
            Phase::Working => {
                moves.push(("has a program that succeeds", self.ending(Ended::Succeeded)));
                moves.push(("has a program that fails", self.ending(Ended::Failed)));
                if !changes.contains(&Change::LeaseUnwatched) && self.age >= OVER {
                    moves.push(("ends its program", self.ending(Ended::LeaseLost)));
                }
                if self.pending.is_none() {
                    let sent = Sent { beat: true, ..self.sent };
                    moves.push((
                        "sends a beat",
                        Self { pending: Some(Pending { age: 0, answer: None }), sent, ..*self },
                    ));
                }
                if self.guard.is_some() && self.guard != Some(self.age) {
                    moves.push(("tells its guard", Self { guard: Some(self.age), ..*self }));
                }
            }
            Phase::Ending(ended) => {
                let sent = Sent { finish: Some(ended), ..self.sent };
                moves.push(("reports and leaves", Self { sent, ..self.dead() }));
            }
            Phase::NotStarted | Phase::Claiming | Phase::Dead => {}
        }
        if let Some(Pending { age, answer: Some(answer) }) = self.pending {
            let age = if changes.contains(&Change::RenewedWhenAnswered) { 0 } else { age };
            // No renewal counts once a stop is forced.
            let forced = answer == Answer::Fine(Some(Manner::Forced)) && !changes.contains(&Change::RenewedByForce);
            let heard = self.heard(answer, if forced { self.age } else { age });
            moves.push(("hears an answer", heard));
            if self.phase == Phase::Working && matches!(answer, Answer::Fine(Some(_))) {
                moves.push(("hears that it shall stop, and does", heard.ending(Ended::Stopped)));
            }
        }
        // A beat is given up after a while; a claim is not.
        if self.phase == Phase::Working && self.pending.is_some() {
            moves.push(("gives up a beat", Self { pending: None, ..*self }));
        }
    }

    fn heard(&self, answer: Answer, age: u8) -> Self {
        let next = Self { pending: None, ..*self };
        match (self.phase, answer) {
            (Phase::Claiming, Answer::Fine(_)) => Self { phase: Phase::Claimed, age, ..next },
            (Phase::Working, Answer::Fine(_)) => Self { age, ..next },
            (Phase::Claiming | Phase::Working, Answer::Fenced | Answer::Refused) => self.dead(),
            _ => next,
        }
    }

    fn ending(&self, ended: Ended) -> Self {
        Self { phase: Phase::Ending(ended), program: false, guard: None, pending: None, ..*self }
    }

    /// The guard ends everything when the worker is dead, or its lease nearly so.
    fn guard_is_due(&self, changes: Changes) -> bool {
        let at = if changes.contains(&Change::LateGuard) { LEASE + 1 } else { GUARD };
        let late = self.guard.is_some_and(|age| age >= at);
        let dead = self.phase == Phase::Dead && self.program;
        !changes.contains(&Change::NoGuard) && self.hold != Hold::Machine && (late && self.is_alive() || dead)
    }

    /// Nothing of it is left but what it has sent.
    fn dead(&self) -> Self {
        Self { phase: Phase::Dead, sent: self.sent, ..Self::unborn() }
    }

    /// Whether something must happen here before any time passes.
    pub fn is_urgent(&self, changes: Changes) -> bool {
        let overdue = !changes.contains(&Change::LeaseUnwatched)
            && self.phase == Phase::Working
            && self.age >= OVER
            && self.hold == Hold::Free;
        overdue || self.guard_is_due(changes)
    }

    /// A tick later.
    pub fn later(mut self) -> Self {
        let up = |age: u8| (age + 1).min(LEASE + 1);
        if self.is_alive() {
            self.age = up(self.age);
        }
        self.guard = self.guard.map(up);
        if let Some(pending) = &mut self.pending {
            pending.age = up(pending.age);
        }
        self
    }

    /// It is started, and sends its claim. Its clock begins with that.
    pub fn born(&self) -> Self {
        let pending = Some(Pending { age: 0, answer: None });
        Self { phase: Phase::Claiming, pending, sent: Sent { claim: true, ..self.sent }, ..*self }
    }

    /// The server has answered what it waits for.
    pub fn answered(&self, answer: Answer) -> Self {
        let pending = self.pending.map(|pending| Pending { answer: Some(answer), ..pending });
        Self { pending, ..*self }
    }

    /// Whether an answer to this kind of request would be to the one it waits for.
    pub fn waits(&self, phase: Phase) -> bool {
        self.phase == phase && self.pending.is_some_and(|pending| pending.answer.is_none())
    }
}
