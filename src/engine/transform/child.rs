//! One life of the child: a thread writes to it, another reads from it, so that neither full pipe stops the other.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::sync::oneshot;

use crate::engine::fault::{Fault, cut};
use crate::process;

use super::answer::{Answer, unasked};
use super::{Command, Lines, Listen};

/// Room in each pipe, so that neither side waits for the other at every line.
const PIPE: usize = 1024 * 1024;
/// An answer may be larger than the largest document: binary data is longer in JSON.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;
/// Room for lines that is kept; a larger one is given back.
const USUAL_LINE: usize = 1024 * 1024;
/// How long its end and its last words are waited for, when it has closed its standard output.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a call asks for.
pub(super) struct Request {
    /// The documents.
    pub lines: Lines,
    /// Where the answers go, or why there are none.
    pub reply: Reply,
}

type Reply = oneshot::Sender<Result<Vec<Answer>, Fault>>;

/// A child, and the threads that talk with it.
pub(super) struct Child {
    shared: Arc<Shared>,
    over: Mutex<Option<oneshot::Receiver<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// `None` once it is reaped: from then on the number of its group may be another's.
    process: Mutex<Option<std::process::Child>>,
}

struct State {
    /// To the writing thread, each with the number of its first document; `None` when nothing more may be written.
    writer: Option<Sender<(u64, Lines)>>,
    /// The number of the document that is written next.
    next: u64,
    /// Those whose answers have not begun.
    waiting: VecDeque<Waiting>,
    /// When the first of those that wait had its turn.
    turn: Instant,
    /// Whether one is being answered.
    busy: bool,
    answered: bool,
    /// Why the engine ended it, or, once it has ended, why it has.
    why: Option<String>,
}

struct Waiting {
    /// The number of the document that is to be answered next.
    next: u64,
    left: usize,
    answers: Vec<Answer>,
    reply: Reply,
}

impl Child {
    pub(super) fn start(command: &Command, listen: &Listen) -> Result<Self, Fault> {
        let fatal = |error: String| Fault::Fatal(format!("the transform {error}"));
        let mut process = process::start_group(&command.argv, &command.directory, &command.environment, |command| {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
        })
        .map_err(fatal)?;
        let pipes = process.stdin.take().zip(process.stdout.take()).zip(process.stderr.take());
        let ((stdin, stdout), stderr) = pipes.expect("all three are piped");
        // A smaller pipe (the limit of the user is reached) is slower, nothing else.
        let _ = rustix::pipe::fcntl_setpipe_size(&stdin, PIPE);
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE);
        let last_lines = listen(stderr);
        let (writer, lines) = channel();
        let state = State {
            writer: Some(writer),
            next: 1,
            waiting: VecDeque::new(),
            turn: Instant::now(),
            busy: false,
            answered: false,
            why: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), process: Mutex::new(Some(process)) });
        let (done, over) = oneshot::channel();
        // It is killed when this is dropped, as it is when one of the threads cannot be had.
        let child = Self { shared: Arc::clone(&shared), over: Mutex::new(Some(over)) };
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        thread("transform in")
            .spawn(move || write(stdin, &lines))
            .and_then(|_| {
                thread("transform out").spawn(move || {
                    let end = read(stdout, &shared);
                    shared.conclude(end, &last_lines);
                    let _ = done.send(());
                })
            })
            .map_err(|error| fatal(format!("gets no thread: {error}")))?;
        Ok(child)
    }

    /// Hands it documents; the request comes back when the child has ended.
    pub(super) fn send(&self, request: Request) -> Result<(), Request> {
        let mut state = self.shared.state();
        // One that is being ended takes no more, though those that wait have not been told yet.
        let Some(writer) = state.writer.clone().filter(|_| state.why.is_none()) else { return Err(request) };
        let Request { lines, reply } = request;
        let count = lines.count();
        if count == 0 {
            let _ = reply.send(Ok(Vec::new()));
            return Ok(());
        }
        if state.waiting.is_empty() && !state.busy {
            state.turn = Instant::now();
        }
        let first = state.next;
        state.next += count as u64;
        state.waiting.push_back(Waiting { next: first, left: count, answers: Vec::with_capacity(count), reply });
        // When the thread is gone, the child is, and the reader tells all who wait.
        let _ = writer.send((first, lines));
        Ok(())
    }

    /// When the request that is being answered had its turn.
    pub(super) fn turn(&self) -> Instant {
        self.shared.state().turn
    }

    pub(super) fn has_answered(&self) -> bool {
        self.shared.state().answered
    }

    /// Why it ended.
    pub(super) fn ending(&self) -> String {
        self.shared.state().why.clone().unwrap_or_default()
    }

    /// Ends it because of `why`, unless it has ended already.
    pub(super) fn end(&self, why: String) {
        self.shared.end(why);
    }

    /// Ends its input and waits for it; kills it after `grace`.
    pub(super) async fn finish(&self, grace: Duration) {
        self.shared.state().writer = None;
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut over) = over
            && tokio::time::timeout(grace, &mut over).await.is_err()
        {
            self.shared.kill();
            let _ = over.await;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Nobody waits for its answers any more, and it has nothing to lose.
        self.shared.state().writer = None;
        self.shared.kill();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, why: String) {
        self.state().why.get_or_insert(why);
        self.kill();
    }

    fn kill(&self) {
        if let Some(process) = &*self.process.lock().unwrap_or_else(PoisonError::into_inner) {
            // It fails only for a group without processes, which is what is wanted.
            let _ = kill_process_group(Pid::from_child(process), Signal::KILL);
        }
    }

    /// What becomes of a line: an answer to the document that is next. `more` says whether something has come already that was printed after it.
    fn take(&self, line: &[u8], more: bool, current: &mut Option<Waiting>) -> Result<(), String> {
        if current.is_none() {
            let mut state = self.state();
            *current = state.waiting.pop_front();
            state.busy = current.is_some();
        }
        let Some(waiting) = current.as_mut().filter(|waiting| waiting.left > 0) else { return Err(unasked(line)) };
        let answer = Answer::read(line, waiting.next)?;
        waiting.answers.push(answer);
        waiting.next += 1;
        waiting.left -= 1;
        if waiting.left > 0 {
            return Ok(());
        }
        let mut state = self.state();
        state.answered = true;
        if more && state.waiting.is_empty() {
            // Nobody has asked for what is there: they will hear of it who most likely are its cause.
            return Ok(());
        }
        if let Some(waiting) = current.take() {
            state.busy = false;
            state.turn = Instant::now();
            // Who gave up waiting does not mind.
            let _ = waiting.reply.send(Ok(waiting.answers));
        }
        Ok(())
    }

    /// The child is done: reaps it, and tells all who wait why there is nothing to wait for.
    fn conclude(&self, (why, current): (Option<String>, Option<Waiting>), last_lines: &Receiver<Vec<String>>) {
        let status = self.reap(why.is_some());
        let ended = || format!("the transform ended with {status} while it had these documents");
        let mut why = self.state().why.clone().or(why).unwrap_or_else(ended);
        let said = last_lines.recv_timeout(LAST_WORDS).unwrap_or_default();
        if !said.is_empty() {
            why = format!("{why}; its last lines: {}", cut(&said.join(" / ")));
        }
        let mut state = self.state();
        state.writer = None;
        // It was at work on the documents of the first. Those behind them had not had their turn.
        let mut fault = Fault::Poison(why.clone());
        for waiting in current.into_iter().chain(state.waiting.drain(..)) {
            let behind = Fault::Passing(format!("the transform ended before it came to these documents ({why})"));
            let _ = waiting.reply.send(Err(std::mem::replace(&mut fault, behind)));
        }
        state.why = Some(why);
    }

    /// How its first process ended, in words. It is given a moment to end by itself, unless it is `known` why it must.
    fn reap(&self, known: bool) -> String {
        let ended = || {
            let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
            let pid = process.as_ref().map(Pid::from_child)?;
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            waitid(WaitId::Pid(pid), options).ok().flatten()
        };
        let patience = Instant::now() + LAST_WORDS;
        while !known && ended().is_none() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        match process.map(|mut process| process.wait()) {
            Some(Ok(status)) => status.code().map_or(status.to_string(), |code| format!("status {code}")),
            _ => "an unknown status".to_owned(),
        }
    }
}

fn write(stdin: ChildStdin, lines: &Receiver<(u64, Lines)>) {
    // What is larger than its room goes through without being copied.
    let mut stdin = BufWriter::with_capacity(64 * 1024, stdin);
    while let Ok((first, lines)) = lines.recv() {
        // Its input is broken: it has ended, or closed it and will not answer; both show on the other side.
        if write_numbered(&mut stdin, first, &lines).is_err() {
            return;
        }
    }
}

fn write_numbered(stdin: &mut impl Write, first: u64, lines: &Lines) -> io::Result<()> {
    for (n, document) in (first..).zip(lines.documents()) {
        write!(stdin, r#"{{"n":{n},"document":"#)?;
        stdin.write_all(document)?;
        stdin.write_all(b"}\n")?;
    }
    stdin.flush()
}

/// Reads answers until there are no more: why the child must be ended, if it must, and who waits for the rest of their answers.
fn read(stdout: ChildStdout, shared: &Shared) -> (Option<String>, Option<Waiting>) {
    let mut stdout = BufReader::with_capacity(256 * 1024, stdout);
    let mut line = Vec::new();
    let mut current = None;
    loop {
        line.clear();
        line.shrink_to(USUAL_LINE);
        match stdout.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return (None, current),
            Ok(_) if line.last() == Some(&b'\n') => line.pop(),
            Ok(count) if count as u64 == LONGEST_LINE => {
                let why = "the transform printed a line that is longer than any answer may be".to_owned();
                return (Some(why), current);
            }
            // It ended in the midst of a line.
            Ok(_) => return (None, current),
        };
        if let Err(why) = shared.take(&line, !stdout.buffer().is_empty(), &mut current) {
            return (Some(why), current);
        }
    }
}
