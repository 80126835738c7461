//! Breadth first through all states.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use super::quick::BuildQuick;
use super::server::{Answer, Ledger, Request, Server, State, Wanted};
use super::worker::{Changes, Phase, Process};

/// Everything at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    server: Server,
    workers: [Process; 2],
}

/// What an exploration came to.
pub enum Found {
    Nothing(Seen),
    Violation { what: String, path: Vec<String> },
}

/// How much was seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub states: usize,
    pub steps: usize,
    /// States in which a second attempt runs.
    pub taken_over: usize,
    /// Times that a guard ended a worker.
    pub guarded: usize,
    /// Times that the server refused an attempt that was over.
    pub fenced: usize,
    /// States that are final.
    pub finished: usize,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, taken_over, guarded, fenced, finished } = self;
        write!(
            f,
            "{states} states, {steps} steps between them; a second attempt runs in {taken_over}, {finished} are final; {guarded} times a guard steps in, {fenced} times a fence"
        )
    }
}

/// The way back from a state: the state before it, and what happened there.
type Trail = HashMap<World, Option<(World, Step)>, BuildQuick>;

/// What happened: to the worker, or to the ledger.
#[derive(Clone, Copy)]
enum Step {
    Tick,
    Worker(usize, &'static str),
    Arrives(Request, bool),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick => f.write_str("a tick passes"),
            Self::Worker(index, word) => write!(f, "worker {index} {word}"),
            Self::Arrives(request, true) => write!(f, "{request:?} arrives and is answered"),
            Self::Arrives(request, false) => write!(f, "{request:?} arrives"),
        }
    }
}

/// Goes through all states that two workers of these attempts can come into.
pub fn explore(attempts: [u32; 2], changes: Changes) -> Found {
    let mut ledger = Ledger::new();
    let mut seen = Seen::default();
    let first = World { server: Server::launched(), workers: [Process::unborn(); 2] };
    let mut trail = Trail::from_iter([(first, None)]);
    let mut queue = VecDeque::from([first]);
    while let Some(world) = queue.pop_front() {
        seen.states += 1;
        seen.taken_over += usize::from(world.server.attempt > 1 && matches!(world.server.state, State::Running { .. }));
        seen.finished += usize::from(matches!(world.server.state, State::Succeeded | State::Cancelled));
        if let Some(what) = violation(&world, attempts) {
            return Found::Violation { what, path: path(&trail, world) };
        }
        let steps = match steps(&world, attempts, changes, &mut ledger, &mut seen) {
            Ok(steps) => steps,
            Err(what) => return Found::Violation { what, path: path(&trail, world) },
        };
        for (step, next) in steps {
            seen.steps += 1;
            // Much of what arrives changes nothing.
            if next == world {
                continue;
            }
            trail.entry(next).or_insert_with(|| {
                queue.push_back(next);
                Some((world, step))
            });
        }
    }
    Found::Nothing(seen)
}

fn violation(world: &World, attempts: [u32; 2]) -> Option<String> {
    if world.workers.iter().all(|worker| worker.program) {
        return Some(format!("two programs live: {world:?}"));
    }
    let current = |(index, worker): (usize, &Process)| worker.believes() && attempts[index] == world.server.attempt;
    let writers = world.workers.iter().enumerate().filter(|&worker| current(worker)).count();
    (writers > 1).then(|| format!("two writers with the current epoch: {world:?}"))
}

fn steps(
    world: &World,
    attempts: [u32; 2],
    changes: Changes,
    ledger: &mut Ledger,
    seen: &mut Seen,
) -> Result<Vec<(Step, World)>, String> {
    let mut steps = Vec::new();
    if !world.workers.iter().any(|worker| worker.is_urgent(changes)) {
        let workers = world.workers.map(Process::later);
        steps.push((Step::Tick, World { server: world.server.later(), workers }));
    }
    for (index, worker) in world.workers.iter().enumerate() {
        let with = |next: Process| {
            let mut workers = world.workers;
            workers[index] = next;
            World { workers, ..*world }
        };
        if worker.phase == Phase::NotStarted && world.server.attempt >= attempts[index] {
            steps.push((Step::Worker(index, "is started and sends its claim"), with(worker.born())));
        }
        for (word, next) in worker.moves(changes) {
            seen.guarded += usize::from(word == "is ended by its guard");
            steps.push((Step::Worker(index, word), with(next)));
        }
        for (request, waits) in requests(index, worker, attempts[index]) {
            let (server, answer) = ledger.ask(world.server, request)?;
            seen.fenced += usize::from(answer == Answer::Fenced);
            steps.push((Step::Arrives(request, false), World { server, ..*world }));
            if waits {
                steps.push((Step::Arrives(request, true), World { server, ..with(worker.answered(answer)) }));
            }
        }
    }
    // There is no worker for a third attempt.
    let last = world.server.attempt >= *attempts.iter().max().unwrap_or(&1);
    let wishes = [Wanted::Pause, Wanted::Cancel].map(|wanted| [Request::Stop(wanted), Request::Force(wanted)]);
    for request in wishes.into_iter().flatten().chain([Request::Resume]) {
        if !(last && request == Request::Resume) {
            let (server, _) = ledger.ask(world.server, request)?;
            steps.push((Step::Arrives(request, false), World { server, ..*world }));
        }
    }
    Ok(steps)
}

/// Everything that a worker has ever sent, and whether it waits for an answer to it.
fn requests(index: usize, worker: &Process, attempt: u32) -> impl Iterator<Item = (Request, bool)> {
    let name = u8::try_from(index).unwrap_or_default();
    let claim = worker.sent.claim.then(|| (Request::Claim { worker: name, attempt }, worker.waits(Phase::Claiming)));
    let beat = worker.sent.beat.then(|| (Request::Beat { attempt }, worker.waits(Phase::Working)));
    let finish = worker.sent.finish.map(|ended| (Request::Finish { attempt, ended }, false));
    [claim, beat, finish].into_iter().flatten()
}

fn path(trail: &Trail, last: World) -> Vec<String> {
    let mut path = Vec::new();
    let mut world = last;
    while let Some(Some((before, step))) = trail.get(&world) {
        path.push(step.to_string());
        world = *before;
    }
    path.reverse();
    path
}
