//! Application code that says what becomes of documents: a long-lived child process, pure code without access to the database.
//!
//! The protocol is lines of Extended JSON. The engine writes one line for each document to the child's standard input, with a number that counts
//! on over the child's life; the child answers each with one line on its standard output that has the same number, in the same order, see [`Answer`].
//! So a line that only looks like an answer is never taken for that to another document. The end of its input asks it to end. Nothing else
//! may be on its standard output; its standard error is the run's log.
//!
//! A line that is not the answer that is due ends the child. Whatever ends it, those whose documents it was at get [`Fault::Poison`], for one
//! of them may be the cause; those behind them get [`Fault::Passing`]. The next call starts it again.

mod answer;
mod batch;
mod child;
mod guard;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ChildStderr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bson::{RawDocument, RawDocumentBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

pub use answer::Answer;
pub use batch::TransformBatch;

use super::fault::Fault;
use super::json;
use child::Child;

/// How long the child may take for one batch: a transaction lives for a minute.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A child that ended so often in a row, and never answered anything in between, cannot do its work at all. It must be more often than a batch
/// can be halved: a single document that ends it, first in its batch, is found before that.
const ENDINGS: u32 = 20;
/// Variables that begin like this lead to the database, which is none of the child's business.
const DATABASE: &str = "MONGODB_URI";

/// What is started.
#[derive(Clone, Debug)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The manifest's directory.
    pub directory: PathBuf,
    /// The environment of the run's program. What leads to the database is left out.
    pub environment: BTreeMap<OsString, OsString>,
}

/// Takes the standard error of each child that is started. The last lines of it come back when it has ended, for the error's text.
pub type Listen = Box<dyn Fn(ChildStderr) -> Receiver<Vec<String>> + Send + Sync>;

/// A child that is started again when it ends too early.
pub struct Transform {
    command: Command,
    listen: Listen,
    answer_within: Duration,
    state: Mutex<State>,
}

struct State {
    child: Arc<Child>,
    /// How many ended in a row without any answer.
    fruitless: u32,
}

impl Transform {
    /// Starts the child. [`ANSWER_WITHIN`] is the usual limit for a batch.
    ///
    /// # Errors
    /// [`Fault::Fatal`] when it cannot be started.
    pub fn start(mut command: Command, answer_within: Duration, listen: Listen) -> Result<Self, Fault> {
        command.environment.retain(|name, _| !name.as_encoded_bytes().starts_with(DATABASE.as_bytes()));
        let child = Child::start(&command, &listen)?;
        let state = Mutex::new(State { child: Arc::new(child), fruitless: 0 });
        Ok(Self { command, listen, answer_within, state })
    }

    /// What is to become of `documents`, in their order. Several calls are served in their order, each while the answers of the one before are
    /// still being read.
    ///
    /// # Errors
    /// [`Fault::Poison`] when the child ended, took too long or answered with something else than an answer; [`Fault::Passing`] when it did so with
    /// the documents of an earlier call; [`Fault::Fatal`] when it cannot be started again.
    pub async fn transform(&self, documents: &[RawDocumentBuf]) -> Result<Vec<Answer>, Fault> {
        let mut lines = Lines::default();
        for document in documents {
            lines.push(document)?;
        }
        self.send(lines)?.answers().await
    }

    /// As [`Transform::transform`], in two halves: the child works while the caller does something else.
    ///
    /// # Errors
    /// [`Fault::Fatal`] when the child has ended and cannot be started again.
    pub fn send(&self, lines: Lines) -> Result<Answering, Fault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, answers) = oneshot::channel();
        let mut request = child::Request { lines, reply };
        loop {
            match state.child.send(request) {
                Ok(()) => break,
                Err(refused) => request = refused,
            }
            state.fruitless = if state.child.has_answered() { 0 } else { state.fruitless + 1 };
            if state.fruitless >= ENDINGS {
                let why = state.child.ending();
                return Err(Fault::Fatal(format!("{why}; it ended {ENDINGS} times without having answered anything")));
            }
            state.child = Arc::new(Child::start(&self.command, &self.listen)?);
        }
        Ok(Answering { child: Arc::clone(&state.child), answers, within: self.answer_within })
    }

    /// Tells the child that there are no more documents, and waits until it has ended; one that has not within `grace` is killed.
    pub async fn finish(self, grace: Duration) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.child.finish(grace).await;
    }
}

/// Documents on their way to the child; they are given their numbers when they are sent.
#[derive(Debug, Default)]
pub struct Lines {
    text: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Lines {
    /// Adds a document.
    ///
    /// # Errors
    /// [`Fault::Poison`] for one that is not sound.
    pub fn push(&mut self, document: &RawDocument) -> Result<(), Fault> {
        json::write(document, &mut self.text)
            .map_err(|error| Fault::Poison(format!("the document cannot be read: {error}")))?;
        self.ends.push(self.text.len());
        Ok(())
    }

    /// How many bytes they are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.len()
    }

    fn count(&self) -> usize {
        self.ends.len()
    }

    fn documents(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }
}

/// Answers that are on their way.
pub struct Answering {
    child: Arc<Child>,
    answers: oneshot::Receiver<Result<Vec<Answer>, Fault>>,
    within: Duration,
}

impl Answering {
    /// The answers; see [`Transform::transform`].
    ///
    /// # Errors
    /// [`Fault::Poison`], see there.
    pub async fn answers(mut self) -> Result<Vec<Answer>, Fault> {
        loop {
            // The time of a batch begins when the one before it is done.
            let turn = self.child.turn();
            if let Ok(answers) = timeout_at(Instant::from_std(turn + self.within), &mut self.answers).await {
                return answers.unwrap_or_else(|_| Err(gone()));
            }
            if self.child.turn() == turn {
                let limit = self.within.as_secs_f32();
                self.child.end(format!("the transform took longer than {limit} s for its documents"));
                // The reader fails all who wait, once what the child printed is read; no second limit is needed.
                return (&mut self.answers).await.unwrap_or_else(|_| Err(gone()));
            }
        }
    }
}

/// Nobody is left who could answer, nor say why: the engine itself ends.
fn gone() -> Fault {
    Fault::Passing("the transform was ended".to_owned())
}
