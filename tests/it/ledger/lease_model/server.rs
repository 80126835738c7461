//! The server's side: the real state machine, on a run that is rebuilt from the little of it that matters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use stopover::ledger::{
    Action, Applied, Beat, EventKind, Failure, FailureCause, Force, Interruption, Lease, Outcome, Progress, Refusal,
    Run, RunState, Wish, WishKind, Worker,
};
use stopover::place::Actor;
use stopover::process::ProcessIdentity;
use stopover::time::Timestamp;

use super::super::{actor, launch_of, place};
use super::quick::BuildQuick;
use super::{CLAIM_WITHIN, LEASE};

const TICK: Duration = Duration::from_secs(1);

/// What the ledger holds, with times as ticks from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    pub attempt: u32,
    pub state: State,
}

/// Where the run stands. `left` is what is left of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Queued { left: u8 },
    Running { worker: u8, left: u8, wish: Option<(Wanted, Manner)> },
    Paused,
    Interrupted,
    Failed,
    Succeeded,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    Pause,
    Cancel,
}

/// Whether the program is left the time to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    Asked,
    Forced,
}

/// How an attempt ended, as its worker saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    Succeeded,
    Failed,
    Stopped,
    LeaseLost,
}

/// What may arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    Claim { worker: u8, attempt: u32 },
    Beat { attempt: u32 },
    Finish { attempt: u32, ended: Ended },
    Resume,
    Stop(Wanted),
    Force(Wanted),
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Fine(Option<Manner>),
    Fenced,
    Refused,
}

impl State {
    fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Succeeded | Self::Cancelled)
    }
}

impl Server {
    /// A run that was just launched.
    pub fn launched() -> Self {
        Self { attempt: 1, state: State::Queued { left: CLAIM_WITHIN } }
    }

    /// A tick later.
    pub fn later(mut self) -> Self {
        if let State::Queued { left } | State::Running { left, .. } = &mut self.state {
            *left = left.saturating_sub(1);
        }
        self
    }
}

/// The real rules, asked once for each question.
pub struct Ledger {
    run: Run,
    now: Timestamp,
    known: HashMap<(Server, Request), (Server, Answer), BuildQuick>,
}

impl Ledger {
    pub fn new() -> Self {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let (run, _) = Run::launched(launch_of("modelled", TICK), None, now.minus(Duration::from_hours(1)));
        Self { run, now, known: HashMap::default() }
    }

    /// What the run is after a request, and the answer to it.
    ///
    /// # Errors
    /// Says which of the server's promises the answer breaks.
    pub fn ask(&mut self, server: Server, request: Request) -> Result<(Server, Answer), String> {
        if let Some(known) = self.known.get(&(server, request)) {
            return Ok(*known);
        }
        let (after, answer) = self.decide(server, request);
        let stale = match request {
            Request::Claim { attempt, .. } | Request::Beat { attempt } | Request::Finish { attempt, .. } => {
                attempt != server.attempt
            }
            Request::Resume | Request::Stop(_) | Request::Force(_) => false,
        };
        if stale && (after != server || !matches!(answer, Answer::Fenced)) {
            return Err(format!("a fenced worker writes: {request:?} makes {after:?} of {server:?}"));
        }
        let resumed = server.state == State::Failed && request == Request::Resume;
        if server.state.is_final() && after != server && !resumed {
            return Err(format!("a final state changes: {request:?} makes {after:?} of {server:?}"));
        }
        if let (State::Running { worker, .. }, State::Running { worker: other, .. }) = (server.state, after.state)
            && worker != other
        {
            return Err(format!("an attempt changes hands: {request:?} makes {after:?} of {server:?}"));
        }
        self.known.insert((server, request), (after, answer));
        Ok((after, answer))
    }

    fn decide(&self, server: Server, request: Request) -> (Server, Answer) {
        let run = self.rebuild(server);
        let ticks = |count: u8| TICK * u32::from(count);
        let action = match request {
            Request::Beat { attempt } => {
                // Each is the first: as a late one, it changes as much as one can.
                let beat = Beat { number: 1, progress: Progress::default(), checkpoint: None, lease: ticks(LEASE) };
                return match run.beat(attempt, beat, self.now) {
                    Ok(next) => {
                        let after = self.reduce(&next);
                        let wish = match after.state {
                            State::Running { wish, .. } => wish.map(|(_, manner)| manner),
                            _ => None,
                        };
                        (after, Answer::Fine(wish))
                    }
                    Err(refusal) => (server, refused(&refusal)),
                };
            }
            Request::Claim { worker, attempt } => {
                Action::Claim { attempt, worker: process(worker), lease: ticks(LEASE) }
            }
            Request::Finish { attempt, ended } => Action::Finish { attempt, outcome: outcome(ended) },
            Request::Resume => Action::resume(actor("ben"), ticks(CLAIM_WITHIN)),
            Request::Stop(wanted) => Action::Stop { kind: kind(wanted), by: actor("ana") },
            Request::Force(wanted) => Action::Force { kind: kind(wanted), by: actor("ana"), grace: Duration::ZERO },
        };
        match run.apply(action, self.now) {
            Ok(Applied::Changed(next, event)) => {
                // What was taken over was lost.
                assert_eq!(event.kind == EventKind::TakenOver, request == Request::Resume && run.ended_at().is_none());
                (self.reduce(&next), Answer::Fine(None))
            }
            Ok(Applied::Noted(next)) => (self.reduce(&next), Answer::Fine(None)),
            Ok(Applied::Already(_)) => (server, Answer::Fine(None)),
            Err(refusal) => (server, refused(&refusal)),
        }
    }

    fn rebuild(&self, server: Server) -> Run {
        let (since, at) = (self.run.created_at, self.run.created_at);
        let lease = |left: u8| Lease { renewed_at: since, expires_at: self.now.plus(TICK * u32::from(left)) };
        let by = || -> Actor { actor("ana") };
        let mut run = self.run.clone();
        run.attempt = server.attempt;
        run.state = match server.state {
            State::Queued { left } => RunState::Queued { since, lease: lease(left) },
            State::Running { worker, left, wish } => {
                run.worker = Some(process(worker));
                let wish = wish.map(|(wanted, manner)| Wish {
                    kind: kind(wanted),
                    by: by(),
                    at,
                    heard_at: None,
                    force: (manner == Manner::Forced).then(|| Force { by: by(), at, heard_at: None }),
                });
                RunState::Running { since, lease: lease(left), wish }
            }
            State::Paused => RunState::Paused { at, by: by() },
            State::Interrupted => RunState::Interrupted { at, cause: Interruption::LeaseLost },
            State::Failed => RunState::Failed { at, failure: failure() },
            State::Succeeded => RunState::Succeeded { at },
            State::Cancelled => RunState::Cancelled { at, by: by() },
        };
        run
    }

    fn reduce(&self, run: &Run) -> Server {
        let left = |lease: &Lease| u8::try_from(lease.expires_at.since(self.now).as_secs()).unwrap();
        let state = match &run.state {
            RunState::Queued { lease, .. } => State::Queued { left: left(lease) },
            RunState::Running { lease, wish, .. } => State::Running {
                worker: u8::try_from(run.worker.as_ref().unwrap().process.pid).unwrap(),
                left: left(lease),
                wish: wish.as_ref().map(|wish| {
                    let manner = if wish.force.is_some() { Manner::Forced } else { Manner::Asked };
                    match wish.kind {
                        WishKind::Pause => (Wanted::Pause, manner),
                        WishKind::Cancel => (Wanted::Cancel, manner),
                    }
                }),
            },
            RunState::Paused { .. } => State::Paused,
            RunState::Interrupted { .. } => State::Interrupted,
            RunState::Failed { .. } => State::Failed,
            RunState::Succeeded { .. } => State::Succeeded,
            RunState::Cancelled { .. } => State::Cancelled,
        };
        Server { attempt: run.attempt, state }
    }
}

fn refused(refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::Fenced { .. } => Answer::Fenced,
        _ => Answer::Refused,
    }
}

fn process(worker: u8) -> Worker {
    Worker {
        place: Arc::new(place("worker-1")),
        process: ProcessIdentity { pid: i32::from(worker), start_ticks: 1_000 },
    }
}

fn kind(wanted: Wanted) -> WishKind {
    match wanted {
        Wanted::Pause => WishKind::Pause,
        Wanted::Cancel => WishKind::Cancel,
    }
}

fn outcome(ended: Ended) -> Outcome {
    match ended {
        Ended::Succeeded => Outcome::Succeeded,
        Ended::Failed => Outcome::Failed(failure()),
        Ended::Stopped => Outcome::Stopped,
        Ended::LeaseLost => Outcome::Interrupted(Interruption::LeaseLost),
    }
}

fn failure() -> Failure {
    Failure { cause: FailureCause::Exit { status: 1 }, last_lines: Vec::new() }
}
