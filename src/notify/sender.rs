//! Delivering notices without anybody waiting for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::catalog::notify::Occasion;

use super::notice::Notice;
use super::post::{Again, Post};
use super::receivers::Ready;

/// The name of these threads: whatever goes wrong in one ends neither a run nor its worker.
pub const THREAD: &str = "notify";

/// Notices that wait for one receiver, at most.
const WAITING: usize = 32;
/// How long a notice is tried.
const TRIED_FOR: Duration = Duration::from_mins(2);
/// The pause after the first try; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How often those who wait for the end look.
const LOOK: Duration = Duration::from_millis(20);

/// What became of a notice at one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which receiver, from 0.
    pub index: usize,
    /// What it is called and what is shown of its address: `payments-oncall (https://hooks.slack.com/***)`.
    pub receiver: String,
    /// The notice.
    pub id: String,
    /// Why it was given up, if it was.
    pub result: Result<(), String>,
}

type Report = Arc<dyn Fn(Told) + Send + Sync>;

/// The threads that deliver.
pub struct Sender {
    lines: Vec<Line>,
    clock: Arc<Clock>,
    report: Report,
}

/// To one receiver.
struct Line {
    index: usize,
    ready: Ready,
    label: String,
    queue: SyncSender<Letter>,
    thread: JoinHandle<()>,
}

struct Letter {
    id: String,
    body: Vec<u8>,
}

/// Until when it is tried at all, once that is known.
#[derive(Default)]
struct Clock {
    end: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Clock {
    fn end_at(&self, at: Instant) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        self.changed.notify_all();
    }

    fn left(&self, until: Instant) -> Duration {
        let end = *self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.map_or(until, |end| end.min(until)).saturating_duration_since(Instant::now())
    }

    /// Sleeps; the news that it is to end soon is a reason to try once more at once.
    fn sleep(&self, pause: Duration) {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let was = end.is_some();
        let _ = self.changed.wait_timeout_while(end, pause, |end| end.is_some() == was);
    }
}

impl Sender {
    /// One thread for each receiver. `report` is told what became of each notice, on these threads; it must not wait.
    #[must_use]
    pub fn start(receivers: Vec<Ready>, report: impl Fn(Told) + Send + Sync + 'static) -> Self {
        let clock = Arc::<Clock>::default();
        let report: Report = Arc::new(report);
        let lines = receivers.into_iter().enumerate().filter_map(|(index, ready)| {
            let (queue, letters) = sync_channel(WAITING);
            let label = format!("{} ({})", ready.name, ready.shown);
            let carrier = Carrier { ready: ready.clone(), clock: clock.clone() };
            let (receiver, say) = (label.clone(), report.clone());
            let told = move |id, result| say(Told { index, receiver: receiver.clone(), id, result });
            let thread = thread::Builder::new().name(THREAD.to_owned()).spawn(move || carrier.run(&letters, told));
            match thread {
                Ok(thread) => Some(Line { index, ready, label, queue, thread }),
                Err(error) => {
                    let result = Err(format!("there is no thread for it: {error}"));
                    report(Told { index, receiver: label, id: String::new(), result });
                    None
                }
            }
        });
        Self { lines: lines.collect(), clock, report }
    }

    /// Whether anybody wants to be told this.
    #[must_use]
    pub fn wants(&self, occasion: Occasion) -> bool {
        self.lines.iter().any(|line| line.ready.on.contains(&occasion))
    }

    /// Those who want to be told of holds, and after how long.
    #[must_use]
    pub fn holds(&self) -> Vec<(usize, Duration)> {
        let wanting = self.lines.iter().filter(|line| line.ready.on.contains(&Occasion::Held));
        wanting.map(|line| (line.index, line.ready.held_after)).collect()
    }

    /// Hands a notice to all who want it and for whom `is_due` holds; says how many these are. It returns at once.
    pub fn tell(&self, occasion: Occasion, notice: &Notice, is_due: impl Fn(usize) -> bool) -> usize {
        let due = self.lines.iter().filter(|line| line.ready.on.contains(&occasion) && is_due(line.index));
        due.map(|line| self.hand(line, notice)).count()
    }

    fn hand(&self, line: &Line, notice: &Notice) {
        let body = if line.ready.is_slack { notice.slack() } else { notice.json() };
        let reason = match line.queue.try_send(Letter { id: notice.id().to_owned(), body }) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => format!("{WAITING} notices wait for it already"),
            Err(TrySendError::Disconnected(_)) => "its thread has ended".to_owned(),
        };
        let (index, receiver) = (line.index, line.label.clone());
        (self.report)(Told { index, receiver, id: notice.id().to_owned(), result: Err(reason) });
    }

    /// Waits for what is still to be delivered, at most until the time that `until` says whenever it is asked. What is left then is given up,
    /// and reported.
    pub async fn settle(self, until: impl Fn() -> Instant) {
        let mut threads = Vec::new();
        for Line { index, label, queue, thread, .. } in self.lines {
            // Without a queue it ends when everything is said.
            drop(queue);
            threads.push((index, label, thread));
        }
        let mut end = None;
        while threads.iter().any(|(.., thread)| !thread.is_finished()) {
            let at = until();
            if end != Some(at) {
                self.clock.end_at(at);
                end = Some(at);
            }
            if Instant::now() >= at {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        for (index, receiver, thread) in threads {
            if !thread.is_finished() {
                let result = Err("there was no time left to tell it".to_owned());
                (self.report)(Told { index, receiver, id: String::new(), result });
            }
        }
    }
}

/// A thread's own state.
struct Carrier {
    ready: Ready,
    clock: Arc<Clock>,
}

impl Carrier {
    fn run(self, letters: &Receiver<Letter>, told: impl Fn(String, Result<(), String>)) {
        // Reading certificates is for this thread, too.
        let mut post = None;
        while let Ok(letter) = letters.recv() {
            let post = &*post.get_or_insert_with(|| Post::new(self.ready.clone()));
            let result = catch_unwind(AssertUnwindSafe(|| self.deliver(post, &letter)));
            told(letter.id, result.unwrap_or_else(|_| Err("sending it came upon an error of its own".to_owned())));
        }
    }

    fn deliver(&self, post: &Post, letter: &Letter) -> Result<(), String> {
        let until = Instant::now() + TRIED_FOR;
        let mut pause = FIRST_PAUSE;
        let mut reason = "there was no time left to tell it".to_owned();
        loop {
            let left = self.clock.left(until);
            if left.is_zero() {
                return Err(reason);
            }
            let Err(trouble) = post.send(&letter.id, &letter.body, left) else { return Ok(()) };
            reason = trouble.reason;
            let wait = match trouble.again {
                Again::Never => return Err(reason),
                Again::Soon => pause,
                Again::After(after) => after.max(pause),
            };
            if wait >= self.clock.left(until) {
                return Err(reason);
            }
            self.clock.sleep(wait);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
