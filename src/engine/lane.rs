//! One worker of a step: takes a range and works it off, batch by batch, whatever happens meanwhile.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bson::Bson;
use mongodb::ClientSession;
use mongodb::options::{Acknowledgment, ReadConcern, WriteConcern};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::{Apply, Counts};
use super::checkpoint::{Checkpoints, RangeRecord, Totals, commit};
use super::fault::Fault;
use super::governor::OwnLoad;
use super::observer::{Batch, BatchResult, Observer};
use super::pacer::Pacer;
use super::patience::Patience;
use super::quarantine::Quarantine;
use super::site::{CONFIRM_WITHIN, Site};
use super::slice::Edge;
use super::source::Source;
use super::tally::Tally;
use super::throttle::Throttle;
use super::walk::Cut;

/// Half of the time that a server lets a transaction live, unless it is told otherwise.
const LONG: Duration = Duration::from_secs(30);

/// What the lanes of a step share.
pub struct Shared<'a> {
    /// The database.
    pub site: &'a Site,
    /// What a batch does.
    pub apply: &'a dyn Apply,
    /// Where it stands.
    pub checkpoints: &'a Checkpoints,
    /// Where it is told.
    pub tally: &'a Tally,
    /// How fast it may go.
    pub throttle: &'a Throttle,
    /// What is left out.
    pub quarantine: &'a Quarantine,
    /// Stops every lane at its next checkpoint.
    pub stop: &'a CancellationToken,
    /// What is put on the server.
    pub own: &'a OwnLoad,
    /// Who measures.
    pub observer: &'a dyn Observer,
    /// How large batches are: what one lane learns of the server holds for all, and for the ranges after this one.
    pub pacer: &'a Mutex<Pacer>,
    /// Most documents of a batch.
    pub most: u32,
    /// See [`Plan::verifying`](super::checkpoint::Plan::verifying).
    pub verifying: bool,
    /// Where the marks are of what another run left out, if this one works on nothing else: what is no longer marked is done.
    pub marks: Option<String>,
}

/// How a lane left its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Everything in it is done.
    Complete,
    /// There are to be fewer workers; another takes it up later.
    Unfinished,
}

/// A lane at a range.
pub struct Lane<'a> {
    shared: &'a Shared<'a>,
    session: Option<ClientSession>,
    range: RangeRecord,
    patience: Patience,
    /// The size of batches while a document that is refused is searched for, or one that was too much is taken in pieces.
    careful: Option<u32>,
    /// Batches that were tried in vain since the last success.
    failures: u32,
}

impl<'a> Lane<'a> {
    /// Takes a range and works on it until it is complete, or until `superfluous` says that there are more lanes than there should be.
    ///
    /// # Errors
    /// Whatever is not mended by trying again; the work that is done is kept.
    pub async fn work(
        shared: &'a Shared<'a>,
        range: RangeRecord,
        mut source: Source,
        superfluous: impl Fn() -> bool,
    ) -> Result<Left, Fault> {
        let mut lane = Self { shared, session: None, range, patience: Patience::default(), careful: None, failures: 0 };
        lane.take().await?;
        let mut ahead = None;
        while !lane.range.complete {
            if superfluous() {
                return Ok(Left::Unfinished);
            }
            if !shared.throttle.wait_turn(shared.stop).await {
                return Err(Fault::Stopped);
            }
            ahead = lane.step(&mut source, ahead.take()).await?;
        }
        Ok(Left::Complete)
    }

    /// One batch; what was cut for the next one meanwhile.
    async fn step(&mut self, source: &mut Source, ahead: Option<Cut>) -> Result<Option<Cut>, Fault> {
        let size = self.size();
        let cut = match ahead {
            Some(cut) => cut,
            None => match source.cut(&self.range.edge(), &self.range.through, size).await {
                Ok(Some(cut)) => cut,
                // What there was is done; what has come meanwhile is for the next pass.
                Ok(None) => return self.close().await.map(|()| None),
                Err(fault) => return self.recover(source, fault, None).await.map(|()| None),
            },
        };
        let begun = Instant::now();
        let next = Edge::After(cut.last.clone());
        let look = source.look_ahead(&next, &self.range.through, &cut, if self.careful.is_some() { 0 } else { size });
        let batch = async {
            let done = batch(self.shared, self.session.as_mut(), &self.range, &cut).await;
            (done, begun.elapsed())
        };
        let ((done, took), ahead) = tokio::join!(batch, look);
        self.told(&done, &cut, took);
        match done {
            Ok(Some((range, effort))) => {
                self.shared.tally.range(&range.id, range.totals, Some(cut.count));
                self.shared.tally.at(position(&range));
                source.done(&cut);
                self.range = range;
                self.patience.restore();
                if let Some(size) = self.careful {
                    self.careful = Some(size.saturating_mul(4)).filter(|&next| next < self.pacer().size(1.0));
                } else if cut.last != self.range.through {
                    // What ends with its range may be much smaller than was asked for.
                    self.pacer().took(cut.count, effort.documents, effort.fixed);
                }
                self.shared.throttle.rest(begun.elapsed(), self.shared.stop).await;
                Ok(ahead)
            }
            // A commit of which only the answer was lost.
            Ok(None) => self.retake().await.map(|()| None),
            // What goes on for longer than the server lets a transaction live is forgotten there, which looks like an accident.
            Err(Fault::Passing(reason)) if took >= LONG && cut.count > 1 => {
                self.recover(source, Fault::TooMuch(reason), Some(&cut)).await.map(|()| None)
            }
            Err(fault) => self.recover(source, fault, Some(&cut)).await.map(|()| None),
        }
    }

    /// Tells of a batch, and counts those in vain.
    fn told(&mut self, done: &Result<Option<(RangeRecord, Effort)>, Fault>, cut: &Cut, took: Duration) {
        let result = match done {
            Ok(Some((range, _))) => BatchResult::Done(range.totals.since(self.range.totals)),
            Ok(None) => BatchResult::DoneBefore,
            Err(Fault::Stopped) => return,
            Err(fault) => BatchResult::Failed(&fault.to_string()),
        };
        let batch = Batch { range: &self.range.id, documents: cut.count, took, failures: self.failures, result };
        self.shared.observer.batch(&batch);
        self.failures = if done.is_ok() { 0 } else { self.failures.saturating_add(1) };
    }

    fn pacer(&self) -> MutexGuard<'_, Pacer> {
        // It is left in order by everything that is done with it.
        self.shared.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn size(&self) -> u32 {
        self.careful
            .unwrap_or_else(|| self.pacer().size(self.shared.throttle.scale()))
            .clamp(1, self.shared.most.max(1))
    }

    /// Does what a fault asks for, and leaves the lane ready to go on from what is stored.
    async fn recover(&mut self, source: &mut Source, fault: Fault, cut: Option<&Cut>) -> Result<(), Fault> {
        let reason = match (fault, cut) {
            (Fault::Poison(reason), Some(cut)) if cut.count == 1 => {
                self.leave_out(cut, &reason).await?;
                if self.range.at.as_ref() == Some(&cut.last) {
                    source.done(cut);
                }
                return Ok(());
            }
            (Fault::Poison(_), Some(cut)) => {
                self.careful = Some((cut.count / 8).max(1));
                return self.retake().await;
            }
            (Fault::TooMuch(reason), Some(cut)) => {
                self.pacer().too_much(cut.count);
                self.careful = Some((cut.count / 2).max(1));
                reason
            }
            (Fault::Poison(reason), None) => return Err(Fault::Fatal(reason)),
            (Fault::Passing(reason) | Fault::TooMuch(reason), _) => reason,
            (fault @ (Fault::Fenced(_) | Fault::Stopped | Fault::Fatal(_)), _) => return Err(fault),
        };
        self.again(&reason).await?;
        self.retake().await
    }

    /// Waits before another try, and says why.
    async fn again(&mut self, reason: &str) -> Result<(), Fault> {
        self.shared.tally.retried();
        self.shared.tally.say(Some(format!("trying again: {reason}")));
        let waited = self.patience.wait(reason, self.shared.stop).await;
        self.shared.tally.say(None);
        waited
    }

    /// Takes the range once more after something went wrong, and tells what turns out to have been done.
    async fn retake(&mut self) -> Result<(), Fault> {
        let known = self.range.totals;
        self.take().await?;
        let confirmed = self.range.totals.since(known);
        if confirmed != Counts::default() {
            self.shared.observer.confirmed(confirmed);
        }
        Ok(())
    }

    /// Takes the range with a session of its own, and goes on from where the range then stands.
    async fn take(&mut self) -> Result<(), Fault> {
        loop {
            if let Some(old) = &self.session {
                self.shared.checkpoints.end_sessions(vec![old.id().clone()]).await;
            }
            // Not before: the driver gives a session that it gets back to whoever asks next.
            self.session = None;
            let taken = async {
                let session = self.shared.site.session().await?;
                let range =
                    self.shared.checkpoints.take(&self.range.id, session.as_ref().map(ClientSession::id)).await?;
                Ok((session, range))
            };
            match taken.await {
                Ok((session, range)) => {
                    self.shared.tally.range(&range.id, range.totals, None);
                    (self.session, self.range) = (session, range);
                    return Ok(());
                }
                Err(Fault::Passing(reason) | Fault::TooMuch(reason) | Fault::Poison(reason)) => {
                    self.again(&reason).await?;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Nothing is left of a range whose documents are not walked but found.
    async fn close(&mut self) -> Result<(), Fault> {
        let through = self.range.through.clone();
        self.advance(&through, Totals::default()).await
    }

    /// Leaves a document out.
    async fn leave_out(&mut self, cut: &Cut, reason: &str) -> Result<(), Fault> {
        let new = self.shared.quarantine.add(&cut.last, reason, self.shared.stop).await?;
        // Whoever goes over everything again meets those that are left out already.
        let counted = new || !self.shared.verifying;
        // The transaction that failed is not in the way.
        self.retake().await?;
        let done = Totals { quarantined: counted.into(), ..Totals::default() };
        let left_out = leave_out(self.shared, self.session.as_mut(), &self.range, &cut.last, done).await;
        self.moved(left_out).await
    }

    async fn advance(&mut self, at: &Bson, done: Totals) -> Result<(), Fault> {
        let moved = self.shared.checkpoints.advance(None, &self.range, at, done).await;
        self.moved(moved).await
    }

    /// Goes on from where the checkpoint was moved to, or from where it is.
    async fn moved(&mut self, moved: Result<Option<RangeRecord>, Fault>) -> Result<(), Fault> {
        match moved {
            Ok(Some(range)) => {
                self.shared.tally.range(&range.id, range.totals, None);
                self.range = range;
                Ok(())
            }
            Ok(None) => self.retake().await,
            Err(fault) => {
                let reason = match fault {
                    Fault::Passing(reason) | Fault::TooMuch(reason) => reason,
                    fault => return Err(fault),
                };
                self.again(&reason).await?;
                self.retake().await
            }
        }
    }
}

/// Applies a cut and moves the checkpoint behind it, both or neither. `None` when the range is not where it was thought to be.
async fn batch(
    shared: &Shared<'_>,
    session: Option<&mut ClientSession>,
    range: &RangeRecord,
    cut: &Cut,
) -> Result<Option<(RangeRecord, Effort)>, Fault> {
    let begun = Instant::now();
    let Some(session) = session else {
        let counts =
            if is_open(shared, cut).await? { shared.apply.apply(None, &cut.slice).await? } else { Counts::default() };
        let applied = begun.elapsed();
        shared.own.wrote(applied);
        let next = shared.checkpoints.advance(None, range, &cut.last, counts.into()).await?;
        if let Some(marks) = &shared.marks {
            shared.checkpoints.unmark(None, marks, &cut.last).await?;
        }
        return Ok(next.map(|next| (next, Effort::new(applied, begun.elapsed()))));
    };
    start(session).await?;
    let written = async {
        let open = match &shared.marks {
            Some(marks) => shared.checkpoints.unmark(Some(session), marks, &cut.last).await?,
            None => true,
        };
        let counts = if open { shared.apply.apply(Some(session), &cut.slice).await? } else { Counts::default() };
        let applied = begun.elapsed();
        shared.own.wrote(applied);
        let next = shared.checkpoints.advance(Some(session), range, &cut.last, counts.into()).await?;
        Ok(next.map(|next| (next, Effort::new(applied, begun.elapsed()))))
    };
    match written.await {
        Ok(Some(done)) => commit(session, "the batch").await.map(|()| Some(done)),
        Ok(None) => {
            let _ = session.abort_transaction().await;
            Ok(None)
        }
        Err(fault) => {
            let _ = session.abort_transaction().await;
            Err(fault)
        }
    }
}

async fn start(session: &mut ClientSession) -> Result<(), Fault> {
    session
        .start_transaction()
        .read_concern(ReadConcern::snapshot())
        .write_concern(
            WriteConcern::builder().w(Acknowledgment::Majority).journal(true).w_timeout(CONFIRM_WITHIN).build(),
        )
        .await
        .map_err(|error| Fault::of(&error, "a transaction"))
}

/// Without transactions: whether a document of a list is still marked. The mark goes when it is done; a crash in between makes it again.
async fn is_open(shared: &Shared<'_>, cut: &Cut) -> Result<bool, Fault> {
    match &shared.marks {
        Some(marks) => shared.checkpoints.is_marked(marks, &cut.last).await,
        None => Ok(true),
    }
}

/// Moves the checkpoint behind a document that is left out, and marks it, both or neither.
async fn leave_out(
    shared: &Shared<'_>,
    session: Option<&mut ClientSession>,
    range: &RangeRecord,
    id: &Bson,
    done: Totals,
) -> Result<Option<RangeRecord>, Fault> {
    let checkpoints = shared.checkpoints;
    let Some(session) = session else {
        checkpoints.mark(None, id).await?;
        let next = checkpoints.advance(None, range, id, done).await?;
        if let Some(marks) = &shared.marks {
            checkpoints.unmark(None, marks, id).await?;
        }
        return Ok(next);
    };
    start(session).await?;
    let written = async {
        if let Some(marks) = &shared.marks {
            checkpoints.unmark(Some(session), marks, id).await?;
        }
        checkpoints.mark(Some(session), id).await?;
        checkpoints.advance(Some(session), range, id, done).await
    };
    match written.await {
        Ok(Some(next)) => commit(session, "what is left out").await.map(|()| Some(next)),
        other => {
            let _ = session.abort_transaction().await;
            other
        }
    }
}

/// How long a batch kept the server busy, without the wait for the other servers.
struct Effort {
    /// With its documents. What a smaller batch would not shorten must not make batches smaller.
    documents: Duration,
    /// With the way there and back and with itself, which the write of the checkpoint measures.
    fixed: Duration,
}

impl Effort {
    fn new(applied: Duration, written: Duration) -> Self {
        let fixed = written.saturating_sub(applied);
        Self { documents: applied.saturating_sub(fixed).max(applied / 10), fixed }
    }
}

/// Where a range stands, as JSON for people.
fn position(range: &RangeRecord) -> String {
    let at = range.at.clone().map_or(serde_json::Value::Null, Bson::into_relaxed_extjson);
    let mut text = serde_json::json!({ "range": range.id, "at": at }).to_string();
    if text.len() > 1024 {
        text = serde_json::json!({ "range": range.id }).to_string();
    }
    text
}
