//! Delivering notices without anybody waiting for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::catalog::notify::Occasion;

use super::notice::Notice;
use super::post::{Again, Post, Trouble};
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
const NO_TIME: &str = "there was no time left to tell it";
/// How often those who wait for the end look.
const LOOK: Duration = Duration::from_millis(20);

/// What became of a notice at one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which receiver, from 0.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What it is called and what is shown of its address: `payments-oncall (https://hooks.slack.com/***)`.
    pub receiver: String,
    /// The notice.
    pub id: String,
    /// Why it was given up, if it was.
    pub result: Result<(), Trouble>,
}

impl Told {
    /// Of none of its notices yet.
    fn about(index: usize, ready: &Ready) -> Self {
        let receiver = format!("{} ({})", ready.name, ready.shown);
        Self { index, name: ready.name.clone(), receiver, id: String::new(), result: Ok(()) }
    }
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
            let carrier = Carrier { ready: ready.clone(), clock: clock.clone() };
            let (about, say) = (Told::about(index, &ready), report.clone());
            let told = move |id, result| say(Told { id, result, ..about.clone() });
            let thread = thread::Builder::new().name(THREAD.to_owned()).spawn(move || carrier.run(&letters, told));
            match thread {
                Ok(thread) => Some(Line { index, ready, queue, thread }),
                Err(error) => {
                    let result = Err(Trouble::passing(format!("there is no thread for it: {error}")));
                    report(Told { result, ..Told::about(index, &ready) });
                    None
                }
            }
        });
        Self { lines: lines.collect(), clock, report }
    }

    /// Those who want to be told of holds, and after how long.
    #[must_use]
    pub fn holds(&self) -> Vec<(usize, Duration)> {
        let wanting = self.lines.iter().filter(|line| line.ready.on.contains(&Occasion::Held));
        wanting.map(|line| (line.index, line.ready.held_after)).collect()
    }

    /// Hands a notice to all who want what it tells of, and for whom `is_due` holds; says who these are. It returns at once.
    pub fn tell(&self, notice: &Notice, is_due: impl Fn(usize) -> bool) -> Vec<usize> {
        let wants = |line: &&Line| notice.occasion.is_some_and(|occasion| line.ready.on.contains(&occasion));
        let due = self.lines.iter().filter(wants).filter(|line| is_due(line.index));
        due.inspect(|line| self.hand(line, notice)).map(|line| line.index).collect()
    }

    fn hand(&self, line: &Line, notice: &Notice) {
        let body = if line.ready.is_slack { notice.slack() } else { notice.json() };
        let reason = match line.queue.try_send(Letter { id: notice.id().to_owned(), body }) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => format!("{WAITING} notices wait for it already"),
            Err(TrySendError::Disconnected(_)) => "its thread has ended".to_owned(),
        };
        let (id, result) = (notice.id().to_owned(), Err(Trouble::passing(reason)));
        (self.report)(Told { id, result, ..Told::about(line.index, &line.ready) });
    }

    /// Waits for what is still to be delivered, at most until the time that `until` says whenever it is asked. What is left then is given up,
    /// and reported.
    pub async fn settle(self, until: impl Fn() -> Instant) {
        let mut threads = Vec::new();
        for Line { index, ready, queue, thread } in self.lines {
            // Without a queue it ends when everything is said.
            drop(queue);
            threads.push((Told::about(index, &ready), thread));
        }
        let mut end = None;
        while threads.iter().any(|(_, thread)| !thread.is_finished()) {
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
        for (about, thread) in threads {
            if !thread.is_finished() {
                (self.report)(Told { result: Err(Trouble::passing(NO_TIME.to_owned())), ..about });
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
    fn run(self, letters: &Receiver<Letter>, told: impl Fn(String, Result<(), Trouble>)) {
        // Reading certificates is for this thread, too.
        let mut post = None;
        while let Ok(letter) = letters.recv() {
            let post = &*post.get_or_insert_with(|| Post::new(self.ready.clone()));
            let result = catch_unwind(AssertUnwindSafe(|| self.deliver(post, &letter)));
            told(
                letter.id,
                result.unwrap_or_else(|_| Err(Trouble::passing("sending it came upon an error of its own".to_owned()))),
            );
        }
    }

    fn deliver(&self, post: &Post, letter: &Letter) -> Result<(), Trouble> {
        let until = Instant::now() + TRIED_FOR;
        let mut pause = FIRST_PAUSE;
        let mut last = Trouble::passing(NO_TIME.to_owned());
        loop {
            let left = self.clock.left(until);
            if left.is_zero() {
                return Err(last);
            }
            let Err(trouble) = post.send(&letter.id, &letter.body, left) else { return Ok(()) };
            let wait = match trouble.again {
                Again::Never => return Err(trouble),
                Again::Soon => pause,
                Again::After(after) => after.max(pause),
            };
            last = trouble;
            if wait >= self.clock.left(until) {
                return Err(last);
            }
            self.clock.sleep(wait);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
