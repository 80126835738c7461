//! The thread that carries a program's output from its pipes into the log.
//!
//! It is all this thread does, so that a slow ledger or a stalled mirror never holds up the program. Lines of both streams
//! are logged in the order in which they are seen; two that arrive within microseconds of each other in different pipes cannot be told apart.
//!
//! The log is sealed before the end of the attempt is reported: from the report on the next attempt may write to the same file. What Stopover
//! says after that goes to the worker's own log, which is its standard error.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ChildStderr, ChildStdout};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::sync::{oneshot, watch};

use crate::events::{self, Level};
use crate::ledger::{Checkpoint, EngineProgress, Progress};
use crate::logs::file::LogFile;
use crate::logs::mirror::{Grave, Mirror};
use crate::logs::record::{Stream, push_prefix};
use crate::logs::sanitise;
use crate::time::Timestamp;

use super::framing::{Framer, Sink};
use super::mask::Masks;
use super::protocol;
use super::warnings::{Subject, Warnings};

/// Room in each pipe, so that the program need not wait while the worker is not scheduled.
const PIPE: usize = 1024 * 1024;
/// Records are written when there are so many bytes of them, or when no more output waits.
const WRITE_AT: usize = 256 * 1024;
/// How often the log file is looked after when nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// What the program has said of itself so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Items done.
    pub done: Option<i64>,
    /// Items there are.
    pub total: Option<i64>,
    /// Its status line, safe to show.
    pub message: Option<String>,
    /// The latest checkpoint of this attempt.
    pub checkpoint: Option<Checkpoint>,
    /// What only the native engine tells.
    pub engine: Option<Box<EngineProgress>>,
}

/// What the pump is made of.
pub struct PumpParts {
    /// Where everything goes.
    pub log: LogFile,
    /// Where everything is shown.
    pub mirror: Mirror,
    /// What is not shown.
    pub masks: Arc<Masks>,
    /// What the operator should know.
    pub warnings: Warnings,
    /// What it all is about.
    pub subject: events::Subject,
}

enum Command {
    /// The program was started: carry its output.
    Carry(ChildStdout, ChildStderr, oneshot::Sender<Ended>),
    /// Log what a helper of native work prints on standard error.
    Overhear(ChildStderr, Sender<Vec<String>>),
    /// Log a line of Stopover's own.
    Note(Level, String),
    /// The program has ended: carry what is left, but only until then.
    DrainUntil(Instant),
    /// Answer when everything so far is in the file.
    Settle(oneshot::Sender<()>),
    /// The same, and write nothing more to the log or its mirror.
    Seal(oneshot::Sender<()>),
    /// End.
    Close,
}

/// How a program's output ended.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// Its last lines on standard error, or on standard output if there were none.
    pub last_lines: Vec<String>,
    /// Some other process still had the pipes open when the time was over.
    pub cut_off: bool,
}

/// The worker's hand on its pump.
pub struct Pump {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    said: Arc<watch::Sender<Said>>,
    thread: thread::JoinHandle<()>,
}

impl Pump {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn start(parts: PumpParts) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (commands, orders) = channel();
        let said = Arc::new(watch::Sender::new(Said::default()));
        let PumpParts { log, mirror, masks, warnings, subject } = parts;
        let carrier = Carrier {
            orders,
            wake: wake.clone(),
            pipes: Vec::new(),
            ended: None,
            drain_until: None,
            records: Vec::with_capacity(2 * WRITE_AT),
            grave: Vec::new(),
            misunderstood: false,
            said: said.clone(),
            log: Some(log),
            mirror,
            masks,
            warnings,
            subject,
        };
        let thread = thread::Builder::new().name("pump".to_owned()).spawn(move || carrier.run())?;
        Ok(Self { commands, wake, said, thread })
    }

    /// Carries the output of a program that was just started; the answer comes when it has ended.
    pub fn carry(&self, stdout: ChildStdout, stderr: ChildStderr) -> oneshot::Receiver<Ended> {
        for pipe in [stdout.as_fd(), stderr.as_fd()] {
            // A smaller pipe (the limit of the user is reached) is slower, nothing else.
            let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE);
        }
        let (ended, end) = oneshot::channel();
        self.order(Command::Carry(stdout, stderr, ended));
        end
    }

    /// Logs a line of Stopover's own.
    pub fn note(&self, text: impl Into<String>) {
        self.tell(Level::Info, text);
    }

    /// Logs one that is worth a look.
    pub fn warn(&self, text: impl Into<String>) {
        self.tell(Level::Warn, text);
    }

    /// Logs one.
    pub fn tell(&self, level: Level, text: impl Into<String>) {
        self.order(Command::Note(level, text.into()));
    }

    /// Ends carrying at `deadline` even if something holds the pipes open.
    pub fn drain_until(&self, deadline: Instant) {
        self.order(Command::DrainUntil(deadline));
    }

    /// Waits until everything so far is in the file.
    pub async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        self.order(Command::Settle(done));
        let _ = settled.await;
    }

    /// Waits until everything so far is in the file, and closes the log: what is said from now on goes to the worker's own.
    pub async fn seal(&self) {
        let (done, sealed) = oneshot::channel();
        self.order(Command::Seal(done));
        let _ = sealed.await;
    }

    /// What the program says of itself.
    #[must_use]
    pub fn said(&self) -> watch::Receiver<Said> {
        self.said.subscribe()
    }

    /// Where native work says of itself what a program says by the protocol.
    #[must_use]
    pub fn speaker(&self) -> Arc<watch::Sender<Said>> {
        self.said.clone()
    }

    /// The hand of a part of the worker that may only say something.
    #[must_use]
    pub fn scribe(&self) -> Scribe {
        Scribe { commands: self.commands.clone(), wake: self.wake.clone() }
    }

    /// Ends the thread; takes at most the second that the mirror is given.
    pub fn close(self) {
        self.order(Command::Close);
        let _ = self.thread.join();
    }

    fn order(&self, command: Command) {
        // Neither can fail while the thread lives, and it lives until it is told to close.
        let _ = self.commands.send(command);
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}

/// Logs for a part of the worker that is given no more than that.
#[derive(Clone)]
pub struct Scribe {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
}

impl Scribe {
    /// Logs a line of Stopover's own.
    pub fn note(&self, text: String) {
        self.order(Command::Note(Level::Info, text));
    }

    /// Logs one that is worth a look.
    pub fn warn(&self, text: String) {
        self.order(Command::Note(Level::Warn, text));
    }

    /// Logs what a helper prints on standard error, until it ends; its last lines come back then.
    #[must_use]
    pub fn overhear(&self, stderr: ChildStderr) -> Receiver<Vec<String>> {
        let (tail, lines) = channel();
        self.order(Command::Overhear(stderr, tail));
        lines
    }

    fn order(&self, command: Command) {
        let _ = self.commands.send(command);
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}

/// A pipe and what becomes of its bytes.
struct Pipe {
    source: OwnedFd,
    framer: Framer,
    open: bool,
    /// Who waits for its last lines.
    tail: Option<Sender<Vec<String>>>,
}

/// The thread's own state.
struct Carrier {
    orders: Receiver<Command>,
    wake: Arc<OwnedFd>,
    /// Standard output, then standard error; none before the program is started and after it has ended.
    pipes: Vec<Pipe>,
    ended: Option<oneshot::Sender<Ended>>,
    drain_until: Option<Instant>,
    records: Vec<u8>,
    /// Those of them that are.
    grave: Vec<Grave>,
    /// The one warning about a protocol line was given.
    misunderstood: bool,
    said: Arc<watch::Sender<Said>>,
    /// None once it is sealed.
    log: Option<LogFile>,
    mirror: Mirror,
    masks: Arc<Masks>,
    warnings: Warnings,
    subject: events::Subject,
}

impl Carrier {
    fn run(mut self) {
        loop {
            let (woken, ready) = self.wait(TICK);
            if woken && self.obey() {
                break;
            }
            self.read_while_there_is_more(ready);
            self.write();
            self.end_if_due();
            if let Some(log) = &mut self.log {
                log.look_after();
                self.warnings.set(Subject::Log, log.trouble());
            }
            self.mirror.offer(&[], &[]);
            if let Some(trouble) = self.mirror.trouble() {
                self.warnings.set(Subject::Mirror, Some(trouble));
            }
        }
        self.settle();
        self.mirror.close();
    }

    /// Waits for something to do; says whether there are orders, and which pipes have output.
    fn wait(&self, limit: Duration) -> (bool, Vec<usize>) {
        let limit = self
            .drain_until
            .filter(|_| self.ended.is_some())
            .map_or(limit, |end| end.saturating_duration_since(Instant::now()).min(limit));
        let open: Vec<usize> = (0..self.pipes.len()).filter(|&index| self.pipes[index].open).collect();
        let mut fds: Vec<PollFd<'_>> =
            open.iter().map(|&index| PollFd::new(&self.pipes[index].source, PollFlags::IN)).collect();
        fds.push(PollFd::new(&*self.wake, PollFlags::IN));
        let timeout = Timespec::try_from(limit).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        // An interrupted wait is a short one.
        if poll(&mut fds, Some(&timeout)).is_err() {
            return (false, Vec::new());
        }
        let ready = open.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(&index, _)| index).collect();
        (fds.last().is_some_and(|fd| !fd.revents().is_empty()), ready)
    }

    /// Follows the orders there are; whether it is over.
    fn obey(&mut self) -> bool {
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Command::Carry(stdout, stderr, ended) => {
                    let pipe = |source, stream| Pipe {
                        source,
                        framer: Framer::new(stream, &self.masks),
                        open: true,
                        tail: None,
                    };
                    self.pipes = vec![pipe(stdout.into(), Stream::Stdout), pipe(stderr.into(), Stream::Stderr)];
                    self.ended = Some(ended);
                }
                Command::Overhear(stderr, tail) => {
                    self.pipes.retain(|pipe| pipe.open);
                    let framer = Framer::new(Stream::Stderr, &self.masks);
                    self.pipes.push(Pipe { source: stderr.into(), framer, open: true, tail: Some(tail) });
                }
                Command::Note(level, text) => self.note(level, &text),
                Command::DrainUntil(deadline) => self.drain_until = Some(deadline),
                Command::Settle(done) => {
                    self.settle();
                    let _ = done.send(());
                }
                Command::Seal(done) => {
                    self.settle();
                    self.log = None;
                    let _ = done.send(());
                }
                Command::Close => return true,
            }
        }
        false
    }

    /// Reads until there is enough for a good write, or no more output waits: a program that writes line by line does not cost
    /// a write for each.
    fn read_while_there_is_more(&mut self, mut ready: Vec<usize>) {
        while !ready.is_empty() {
            for index in ready {
                self.read(index);
            }
            if self.records.len() >= WRITE_AT {
                return;
            }
            (_, ready) = self.wait(Duration::ZERO);
        }
    }

    fn read(&mut self, index: usize) {
        let pipe = &mut self.pipes[index];
        let count = match rustix::io::read(&pipe.source, pipe.framer.room()) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return,
            // A pipe has no other errors that a second try could mend.
            Err(_) => 0,
        };
        let mut misunderstood = None;
        let mut protocol = |text: &[u8]| match hear(text, &self.said, &self.masks) {
            Ok(()) => true,
            Err(reason) => {
                misunderstood.get_or_insert(reason);
                false
            }
        };
        let masks = &self.masks;
        let mut sink = Sink { records: &mut self.records, masks, protocol: &mut protocol };
        let now = Timestamp::of_this_machine();
        if count == 0 {
            pipe.framer.finish(now, &mut sink);
            pipe.open = false;
            if let Some(tail) = pipe.tail.take() {
                // Nobody may wait any more.
                let _ = tail.send(pipe.framer.tail().lines());
            }
        } else {
            pipe.framer.take(count, now, &mut sink);
        }
        if let Some(reason) = misunderstood.filter(|_| !std::mem::replace(&mut self.misunderstood, true)) {
            let warning = format!(
                "a line that starts with `::stopover` is not understood and stays in the log as it is: {reason}"
            );
            self.note(Level::Warn, &warning);
            self.warnings.set(Subject::Protocol, Some(self.masks.text(&warning)));
        }
    }

    fn note(&mut self, level: Level, text: &str) {
        let text = self.masks.text(&text.replace('\n', " "));
        events::of_run(level, &self.subject, &text);
        if self.log.is_none() {
            self.note_late(level, &text);
            return;
        }
        if level > Level::Info {
            self.grave.push(Grave { at: self.records.len(), level });
        }
        push_prefix(&mut self.records, Timestamp::of_this_machine(), Stream::System, false);
        self.records.extend_from_slice(text.as_bytes());
        self.records.push(b'\n');
    }

    /// Says it in the worker's own log, as one write: the workers of all attempts of a run share the file.
    fn note_late(&self, level: Level, text: &str) {
        let (now, attempt) = (Timestamp::of_this_machine(), self.subject.attempt.unwrap_or_default());
        let line = format!("{now} attempt {attempt}: {}{text}\n", mark(level));
        // There is no further place to complain.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn write(&mut self) {
        if !self.records.is_empty() {
            if let Some(log) = &mut self.log {
                log.append(&self.records);
                self.mirror.offer(&self.records, &self.grave);
            }
            self.records.clear();
            self.grave.clear();
        }
    }

    /// Brings everything so far into the file.
    fn settle(&mut self) {
        self.write();
        if let Some(log) = &mut self.log {
            log.conclude();
        }
    }

    /// Lets go of the pipes when both have ended or the time is over.
    fn end_if_due(&mut self) {
        let still_open = self.pipes.iter().any(|pipe| pipe.open);
        let over = self.drain_until.is_some_and(|end| Instant::now() >= end);
        if self.ended.is_none() || (still_open && !over) {
            return;
        }
        let mut protocol = |_: &[u8]| false;
        let now = Timestamp::of_this_machine();
        for pipe in self.pipes.iter_mut().filter(|pipe| pipe.open) {
            let mut sink = Sink { records: &mut self.records, masks: &self.masks, protocol: &mut protocol };
            pipe.framer.finish(now, &mut sink);
        }
        self.write();
        let mut tails = self.pipes.drain(..).map(|pipe| pipe.framer.tail().lines());
        let (stdout, stderr) = (tails.next().unwrap_or_default(), tails.next().unwrap_or_default());
        drop(tails);
        let last_lines = if stderr.is_empty() { stdout } else { stderr };
        self.drain_until = None;
        if let Some(ended) = self.ended.take() {
            let _ = ended.send(Ended { last_lines, cut_off: still_open });
        }
    }
}

/// How a line of a log without levels begins.
fn mark(level: Level) -> &'static str {
    match level {
        Level::Info => "",
        Level::Warn => "warning: ",
        Level::Error => "error: ",
    }
}

/// Hears what a protocol line says.
fn hear(text: &[u8], said: &watch::Sender<Said>, masks: &Masks) -> Result<(), String> {
    let report = protocol::parse(text)?;
    if report.checkpoint.as_ref().is_some_and(|checkpoint| masks.found_in(checkpoint.as_json().as_bytes())) {
        // Masked, it would be another checkpoint.
        return Err(
            "its checkpoint holds a secret of this run and is not stored; let it name the place only".to_owned()
        );
    }
    let message = report.message.map(|message| {
        sanitise::plain(masks.text(&message).as_bytes()).chars().take(Progress::MAX_MESSAGE).collect::<String>()
    });
    said.send_modify(|said| {
        said.done = report.done.or(said.done);
        said.total = report.total.or(said.total);
        said.message = message.or(said.message.take());
        said.checkpoint = report.checkpoint.or(said.checkpoint.take());
    });
    Ok(())
}
