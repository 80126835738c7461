//! The copy of a run's output on the standard output of PID 1, for `kubectl logs`.
//!
//! It can never hold a run up. The worker offers what it has read and goes on; a thread of its own writes it. When whoever
//! reads PID 1's output stalls, lines are left out *of the mirror only*, and the mirror says how many once it is read again.
//!
//! Many workers share one pipe. A write of at most `ATOMIC` bytes is not torn by the others, so every write is whole lines of
//! at most that size together; a longer line is cut into marked pieces.

mod format;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use crate::config::{MirrorTarget, StateDir};
use crate::events::Level;
use crate::pod;
use crate::time::Timestamp;

use super::record::{self, Record, Stream};

pub use format::Format;

/// `PIPE_BUF` of Linux, see pipe(7).
pub(super) const ATOMIC: usize = super::ecs::LONGEST;
/// Bytes that may wait for the reader.
const WAITING: usize = 2 * 1024 * 1024;
/// Batches that may wait for the reader.
const WAITING_BATCHES: usize = 4096;
/// How long a stalled reader is waited for once the run has ended.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// How long a reader that is gone is left alone.
const REOPEN_AFTER: Duration = Duration::from_secs(5);
/// How often a wait for the reader looks whether the run has ended.
const LOOK_UP: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The worker's end of the mirror.
pub struct Mirror {
    target: Option<Target>,
}

struct Target {
    queue: SyncSender<Batch>,
    shared: Arc<Shared>,
    /// Lines left out since the last batch that was taken.
    left_out: u64,
    thread: thread::JoinHandle<()>,
}

/// How many lines are missing in a mirror, to be looked at from anywhere, also once it is closed. Cheap to clone.
#[derive(Clone, Default)]
pub struct LeftOut(Option<Arc<Shared>>);

impl LeftOut {
    /// Lines so far; none of a mirror that is off.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.left_out_in_all.load(Ordering::Relaxed))
    }
}

/// What both threads see.
#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    left_out_in_all: AtomicU64,
    give_up_at: OnceLock<Instant>,
}

struct Batch {
    /// Lines that were left out before these.
    left_out: u64,
    records: Vec<u8>,
    grave: Vec<Grave>,
}

/// A record of Stopover's own that is more than [`Level::Info`]: the format of records has no place for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grave {
    /// Where in its batch the record begins.
    pub at: usize,
    /// How grave it is.
    pub level: Level,
}

impl Mirror {
    /// Opens the mirror for a run, whose lines look like `format`.
    ///
    /// # Errors
    /// A sentence for the operator on why nothing is mirrored.
    pub fn start(target: &MirrorTarget, state: &StateDir, format: Format) -> Result<Self, String> {
        let Some(path) = resolve(target, state) else {
            return Ok(Self::off());
        };
        let file = reach(&path)?;
        let (queue, batches) = sync_channel(WAITING_BATCHES);
        let shared = Arc::new(Shared::default());
        let opened = Instant::now();
        let out = Out { path, file, opened, lines: Vec::with_capacity(ATOMIC), lost: 0, shared: shared.clone() };
        let writer = Writer { format, out };
        let thread = thread::Builder::new()
            .name("mirror".to_owned())
            .spawn(move || writer.run(&batches))
            .map_err(|error| format!("the output is not mirrored: no thread: {error}"))?;
        Ok(Self { target: Some(Target { queue, shared, left_out: 0, thread }) })
    }

    /// Where a run would be mirrored to now; `None` when it is off. Nothing is written.
    ///
    /// # Errors
    /// A sentence for the operator on why nothing would be mirrored.
    pub fn probe(target: &MirrorTarget, state: &StateDir) -> Result<Option<PathBuf>, String> {
        let Some(path) = resolve(target, state) else {
            return Ok(None);
        };
        reach(&path).map(|_| Some(path))
    }

    /// A mirror that shows nothing.
    #[must_use]
    pub fn off() -> Self {
        Self { target: None }
    }

    /// Hands over a batch of records, or counts its lines as left out; never waits. An empty batch passes the count on. `grave` names records
    /// of it in order.
    pub fn offer(&mut self, records: &[u8], grave: &[Grave]) {
        let Some(target) = &mut self.target else {
            return;
        };
        if records.is_empty() && target.left_out == 0 {
            return;
        }
        let lines = || memchr::memchr_iter(b'\n', records).count() as u64;
        let taken = target.shared.waiting.load(Ordering::Relaxed) + records.len() <= WAITING
            && match target.queue.try_send(Batch {
                left_out: target.left_out,
                records: records.to_vec(),
                grave: grave.to_vec(),
            }) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            };
        if taken {
            target.left_out = 0;
            target.shared.waiting.fetch_add(records.len(), Ordering::Relaxed);
        } else {
            let lines = lines();
            target.left_out += lines;
            target.shared.left_out_in_all.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// How many lines are left out.
    #[must_use]
    pub fn left_out(&self) -> LeftOut {
        LeftOut(self.target.as_ref().map(|target| target.shared.clone()))
    }

    /// What the operator should know, if lines were left out.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let count = self.left_out().lines();
        (count > 0).then(|| {
            format!("{count} lines are missing in the mirror, for nobody read it in time; the run's log has them")
        })
    }

    /// Waits for what is left to be written, but not longer than a second.
    pub fn close(self) {
        let Some(target) = self.target else {
            return;
        };
        target.shared.give_up_at.get_or_init(|| Instant::now() + FLUSH_WITHIN);
        // The last count needs a place; if there is none, the reader stalls and would not read it either.
        let _ = target.queue.try_send(Batch { left_out: target.left_out, records: Vec::new(), grave: Vec::new() });
        drop(target.queue);
        let _ = target.thread.join();
    }
}

/// Where the mirror is, or nothing when it is off.
#[must_use]
pub fn resolve(target: &MirrorTarget, state: &StateDir) -> Option<PathBuf> {
    match target {
        MirrorTarget::Off => None,
        MirrorTarget::Path(path) => Some(path.clone()),
        MirrorTarget::Auto => {
            // In a shared process namespace PID 1 is not ours; its output may be nothing, or closed to us.
            let pid = pod::keeper(state).map_or(1, |keeper| keeper.pid);
            Some(PathBuf::from(format!("/proc/{pid}/fd/1")))
        }
    }
}

fn is_null(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| {
        file.file_type().is_char_device() && rustix::fs::major(file.rdev()) == 1 && rustix::fs::minor(file.rdev()) == 3
    })
}

fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo())
}

enum OpenError {
    /// A FIFO that nobody has open for reading; somebody may come.
    NoReader,
    /// It will not get better.
    Useless(String),
}

/// What is there to write to; `None` when nobody has it open for reading yet.
fn reach(path: &Path) -> Result<Option<File>, String> {
    match open(path) {
        Ok(file) => Ok(Some(file)),
        Err(OpenError::NoReader) => Ok(None),
        Err(OpenError::Useless(reason)) => Err(format!("the output is not mirrored to {}: {reason}", path.display())),
    }
}

/// A new description, so that `O_NONBLOCK` is ours alone and PID 1 does not notice; `O_APPEND`, for a regular file would be overwritten
/// from its start.
fn open(path: &Path) -> Result<File, OpenError> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::NXIO if is_fifo(path) => OpenError::NoReader,
        error => OpenError::Useless(io::Error::from(error).to_string()),
    })?;
    if is_null(path) {
        return Err(OpenError::Useless("it is /dev/null".to_owned()));
    }
    if rustix::termios::isatty(&fd) {
        return Err(OpenError::Useless("it is a terminal, which somebody may be working at".to_owned()));
    }
    Ok(File::from(fd))
}

/// The mirror's own thread.
struct Writer {
    format: Format,
    out: Out,
}

/// What it writes to.
struct Out {
    path: PathBuf,
    file: Option<File>,
    /// When opening was last tried.
    opened: Instant,
    /// What the next write takes: never more than one atomic write.
    lines: Vec<u8>,
    /// Lines given up for lack of a reader and not yet told of.
    lost: u64,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(mut self, batches: &Receiver<Batch>) {
        for batch in batches {
            self.out.lost += batch.left_out;
            if self.out.lost > 0 && self.out.is_open() {
                self.tell_of_lost();
            }
            let mut grave = batch.grave.iter().peekable();
            let mut at = 0;
            for record in batch.records.split(|&byte| byte == b'\n') {
                let level = grave.next_if(|grave| grave.at == at).map_or(Level::Info, |grave| grave.level);
                at += record.len() + 1;
                if let Some(record) = record::parse(record) {
                    self.push(&record, level);
                }
            }
            self.out.write();
            self.out.shared.waiting.fetch_sub(batch.records.len(), Ordering::Relaxed);
        }
    }

    fn tell_of_lost(&mut self) {
        let lost = self.out.lost;
        let text =
            format!("{lost} lines are left out here, for this output was not read in time; the run's log has them");
        let time = Timestamp::of_this_machine();
        let record = Record { time, stream: Stream::System, partial: false, text: text.as_bytes() };
        self.push(&record, Level::Warn);
        self.out.write();
        self.out.lost = self.out.lost.saturating_sub(lost);
    }

    fn push(&mut self, record: &Record<'_>, level: Level) {
        self.format.lines(record, level, &mut |line| self.out.push(line));
    }
}

impl Out {
    /// Adds a line, in this write or in the next.
    fn push(&mut self, line: &[u8]) {
        if self.lines.len() + line.len() > ATOMIC {
            self.write();
        }
        self.lines.extend_from_slice(line);
    }

    /// Writes what is there and empties it: all of it, or none when the reader is gone or the time is over.
    fn write(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let mut rest = lines.as_slice();
        while !rest.is_empty() && self.is_open() {
            let Some(file) = &mut self.file else { break };
            match file.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.shared.give_up_at.get().is_some_and(|end| Instant::now() >= *end) {
                        break;
                    }
                    // An error here shows at the next write, too.
                    let _ = poll(&mut [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::OUT)], Some(&LOOK_UP));
                }
                // The reader is gone, or the disk under it is full.
                Err(_) => {
                    self.file = None;
                    self.opened = Instant::now();
                }
            }
        }
        let missed = memchr::memchr_iter(b'\n', rest).count() as u64;
        self.lost += missed;
        self.shared.left_out_in_all.fetch_add(missed, Ordering::Relaxed);
        self.lines = lines;
        self.lines.clear();
    }

    /// Whether there is something to write to; tries again now and then.
    fn is_open(&mut self) -> bool {
        if self.file.is_none() && self.opened.elapsed() >= REOPEN_AFTER {
            self.file = open(&self.path).ok();
            self.opened = Instant::now();
        }
        self.file.is_some()
    }
}
