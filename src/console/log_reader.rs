//! The task that reads one run's log: it announces growth and answers wishes for lines, and never sends what was not asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::effect::LogWish;
use super::message::{LogNews, Message};
use crate::config::StateDir;
use crate::ledger::{LedgerReader, Run, RunId};
use crate::logs::reader::{Direction, Extent, LogError, LogReader, Query};

/// Between two looks for growth while it grows, and while it does not.
const GROWING: Duration = Duration::from_millis(250);
const STILL: Duration = Duration::from_secs(1);
/// The cursor may run over many rows: only where it stays is a log opened.
const SETTLE: Duration = Duration::from_millis(80);
/// Matches that are counted; more are called more.
const MOST_MATCHES: usize = 999;

/// How much of a log is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it, to scroll and to search in.
    Whole,
    /// What is at its end, however long it is: it is opened again and again.
    End,
}

/// An open log; it is closed when this is dropped.
pub struct OpenLog {
    wishes: mpsc::UnboundedSender<LogWish>,
    task: tokio::task::JoinHandle<()>,
}

impl OpenLog {
    /// Opens a run's log.
    #[must_use]
    pub fn open(
        state: StateDir,
        run: Box<Run>,
        part: Part,
        readers: watch::Receiver<Option<Arc<dyn LedgerReader>>>,
        messages: mpsc::Sender<Message>,
    ) -> Self {
        let (wishes, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(follow(state, run, part, readers, inbox, messages));
        Self { wishes, task }
    }

    /// Asks for something. There are few wishes: one for each scroll that leaves the page.
    pub fn wish(&self, wish: LogWish) {
        let _ = self.wishes.send(wish);
    }
}

impl Drop for OpenLog {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    state: StateDir,
    run: Box<Run>,
    part: Part,
    mut readers: watch::Receiver<Option<Arc<dyn LedgerReader>>>,
    mut wishes: mpsc::UnboundedReceiver<LogWish>,
    messages: mpsc::Sender<Message>,
) {
    tokio::time::sleep(SETTLE).await;
    let listener = Listener { run: run.id, messages };
    loop {
        let reader = match readers.wait_for(Option::is_some).await {
            Ok(reader) => reader.clone(),
            Err(_) => return,
        };
        let Some(reader) = reader else { return };
        let opened = match part {
            Part::Whole => LogReader::open(&state, reader, &run).await,
            Part::End => LogReader::open_end(&state, reader, &run).await,
        };
        let error = match opened {
            Ok(mut log) => match serve(&mut log, &mut wishes, &listener).await {
                Some(error) => error,
                None => return,
            },
            Err(error) => error,
        };
        if !listener.tell(LogNews::Failed(error.to_string())).await {
            return;
        }
        tokio::time::sleep(STILL * 2).await;
    }
}

/// Who is told.
struct Listener {
    run: RunId,
    messages: mpsc::Sender<Message>,
}

impl Listener {
    /// Answers whether anybody listens still.
    async fn tell(&self, news: LogNews) -> bool {
        self.messages.send(Message::Log(self.run, news)).await.is_ok()
    }
}

/// Serves wishes until reading fails, and says why; `None` when nobody listens any more.
async fn serve(
    log: &mut LogReader,
    wishes: &mut mpsc::UnboundedReceiver<LogWish>,
    listener: &Listener,
) -> Option<LogError> {
    let mut known: Option<Extent> = None;
    loop {
        let extent = match log.refresh().await {
            Ok(extent) => extent,
            Err(error) => return Some(error),
        };
        let grew = known != Some(extent);
        if grew {
            known = Some(extent);
            if !listener.tell(LogNews::Extent { extent, origin: log.origin() }).await {
                return None;
            }
        }
        let pause = if grew { GROWING } else { STILL };
        let next_look = tokio::time::sleep(pause);
        tokio::pin!(next_look);
        loop {
            let wish = tokio::select! {
                () = &mut next_look => break,
                wish = wishes.recv() => wish?,
            };
            match answer(log, wish, listener).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(error),
            }
        }
    }
}

async fn answer(log: &mut LogReader, wish: LogWish, listener: &Listener) -> Result<bool, LogError> {
    match wish {
        LogWish::Lines(range) => {
            let first = range.start;
            let lines = log.lines(range).await?;
            Ok(listener.tell(LogNews::Lines { first, lines }).await)
        }
        LogWish::Find { text, from, direction, count } => {
            let query = Query { text: text.clone() };
            let mut line = log.find(&query, from, direction).await?;
            if line.is_none() && count {
                // A new search looks at the other side, too, before it says that there is none.
                let other = if direction == Direction::Up { Direction::Down } else { Direction::Up };
                line = log.find(&query, from, other).await?;
            }
            if !listener.tell(LogNews::Found { text: text.clone(), line }).await {
                return Ok(false);
            }
            if !count || line.is_none() {
                return Ok(true);
            }
            let mut lines = Vec::new();
            let mut next = 0;
            while lines.len() < MOST_MATCHES
                && let Some(line) = log.find(&query, next, Direction::Down).await?
            {
                lines.push(line);
                next = line + 1;
            }
            let more = lines.len() == MOST_MATCHES && log.find(&query, next, Direction::Down).await?.is_some();
            Ok(listener.tell(LogNews::Matches { text, lines, more }).await)
        }
    }
}
