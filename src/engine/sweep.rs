//! Passes over a collection, until nothing is left to do.
//!
//! 1. Before the first write the step is checked, and the collection is divided into ranges.
//! 2. A pass works off all ranges. Documents that are inserted meanwhile above the highest `_id` are the next pass.
//! 3. What then proves that all is done depends on the step: see [`Aim`].

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use bson::{Bson, Document};
use tokio::time::{Instant, timeout};

use crate::catalog::{Hint, Target};

use super::apply::Apply;
use super::checkpoint::{Checkpoints, Plan, RangeRecord, Start, StepRecord, Totals};
use super::context::Context;
use super::fault::Fault;
use super::lane::Shared;
use super::left::Left;
use super::pacer::Pacer;
use super::pass;
use super::quarantine::Quarantine;
use super::source::{Search, Source};
use super::walk::Walk;

/// Passes after which something must be writing documents as they were before.
const MOST_PASSES: u32 = 50;
/// A pass that is over faster than this is followed by a pause of this length, unless it was the last.
const TRICKLE: Duration = Duration::from_secs(1);
/// Collections smaller than this are not worth dividing.
const DIVIDE_FROM: u64 = 20_000;
/// Ranges of a pass: more than there can be workers, so that the last one does not keep all others waiting.
const MOST_RANGES: u64 = 32;

/// When a sweep is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// When nothing is left. Where a change takes a document out of its own filter, a search that finds none proves it; otherwise a pass over
    /// everything must change nothing.
    NothingLeft,
    /// After one pass up to the `_id` that was the highest when it began: a change that may be made only once is never made twice.
    Once,
    /// When a pass over everything copies nothing any more, or the source is written to all the time.
    Copied,
}

/// A step that walks a collection, under way.
pub struct Sweep<'a> {
    /// What it works with.
    pub context: &'a Context,
    /// The collection that is walked.
    pub target: &'a Target,
    /// Which documents.
    pub filter: &'a Document,
    /// The index to find them by.
    pub hint: Option<&'a Hint>,
    /// Which step it is, from 0.
    pub index: u32,
    /// When it is done.
    pub aim: Aim,
    /// Where it stands.
    pub checkpoints: &'a Checkpoints,
    /// What a batch does.
    pub apply: &'a dyn Apply,
    /// What is left out.
    pub quarantine: &'a Quarantine,
}

impl Sweep<'_> {
    /// Works from where the step stands to its end. `check` looks at it before the first write, `recheck` before
    /// an attempt goes on and before everything is gone over again.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn to_the_end(
        &self,
        title: &str,
        check: impl AsyncFnOnce() -> Result<Plan, Fault>,
        recheck: impl AsyncFn() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let context = self.context;
        let claim = || self.checkpoints.claim(context.migration.as_str(), title);
        let mut record = context.patiently(claim).await?;
        if record.complete {
            context.tally.base(record.totals, false);
            context.tally.expect(record.plan.total, record.plan.estimated);
            return Ok(());
        }
        self.is_where_it_was(&record)?;
        let mut ranges = if record.pass == 0 {
            let plan = check().await?;
            context.say("dividing the work");
            self.next(&mut record, plan, false).await?
        } else {
            // First of all what the attempt before has left open is ended: it locks the documents that the check tries.
            let ranges = context.patiently(|| self.checkpoints.claim_ranges(record.pass)).await?;
            recheck().await?;
            ranges
        };
        let (mut passes, mut looks) = (0, 0);
        loop {
            context.tally.base(record.totals, record.plan.verifying);
            context.tally.expect(record.plan.total, record.plan.estimated);
            context.say(if record.plan.verifying {
                "going over everything again, to see that nothing changes any more"
            } else {
                ""
            });
            let begun = Instant::now();
            if let Some((total, estimated)) = self.counted_pass(&record, ranges).await? {
                (record.plan.total, record.plan.estimated) = (total, estimated);
            }
            let before = record.totals;
            let totals = context.tally.totals();
            // Verifying, documents are met that were counted before.
            record.totals = if record.plan.verifying {
                Totals { matched: before.matched, skipped: before.skipped, ..totals }
            } else {
                totals
            };
            if record.totals.quarantined > before.quarantined {
                // A crash between its record and the checkpoint may have kept a document from being counted.
                let left_out = context.patiently(|| self.quarantine.of(context.run)).await?;
                record.totals.quarantined = i64::try_from(left_out.len()).unwrap_or(i64::MAX);
            }
            let changed = record.totals.modified - before.modified;
            context.say("looking for what is left");
            let verifying = match self.what_is_left(&mut record, changed, looks).await? {
                Left::Nothing => {
                    let done = StepRecord { complete: true, ..record.clone() };
                    context.patiently(|| self.checkpoints.plan(&record, &done, &[])).await?;
                    return Ok(());
                }
                Left::Tail => false,
                Left::All => {
                    // What was tried before the first pass may have been no example.
                    recheck().await?;
                    looks += 1;
                    true
                }
            };
            passes += 1;
            if passes == MOST_PASSES {
                return Err(self.never_ends(passes).await);
            }
            // Passes over a trickle of new documents would follow each other too fast to ever see its end.
            if passes > 2 && begun.elapsed() < TRICKLE {
                let _ = timeout(TRICKLE, context.stop.cancelled()).await;
            }
            let plan = record.plan.clone();
            ranges = self.next(&mut record, plan, verifying).await?;
        }
    }

    /// A run that had come somewhere must find its checkpoints: begun anew, it would do work twice.
    fn is_where_it_was(&self, record: &StepRecord) -> Result<(), Fault> {
        let lost = record.pass == 0
            && self
                .context
                .reached
                .is_some_and(|(step, matched)| step > self.index || step == self.index && matched > 0);
        if !lost {
            return Ok(());
        }
        Err(Fault::Fatal(format!(
            "the checkpoints of this run are gone from {}, so that nobody knows what is done; restore them, or cancel the run and launch the migration anew if a repetition does no harm",
            self.checkpoints.name()
        )))
    }

    /// Plans the pass after `record`'s, and makes `record` say so.
    async fn next(&self, record: &mut StepRecord, mut plan: Plan, verifying: bool) -> Result<Vec<RangeRecord>, Fault> {
        let context = self.context;
        let tail = plan.ceiling.take().filter(|_| !verifying && record.pass > 0);
        let walk = self.walk();
        let ends = context.patiently(|| walk.ends()).await?;
        plan.verifying = verifying;
        plan.ceiling = ends.as_ref().map(|(_, last)| last.clone());
        let ranges = if let Some(other) = context.quarantine_of {
            let ids = context.patiently(|| self.quarantine.of(other)).await?;
            if ids.is_empty() { Vec::new() } else { vec![found()] }
        } else if self.hint.is_some() {
            vec![found()]
        } else if let Some((first, last)) = ends {
            match tail {
                Some(ceiling) if ceiling == last => Vec::new(),
                Some(ceiling) => vec![(Start { id: ceiling, inclusive: false }, last)],
                None => self.divide(first, last).await?,
            }
        } else {
            Vec::new()
        };
        let next = StepRecord { epoch: context.attempt, pass: record.pass + 1, plan, ..record.clone() };
        let planned = context.patiently(|| self.checkpoints.plan(record, &next, &ranges)).await?;
        *record = next;
        Ok(planned)
    }

    pub(super) fn walk(&self) -> Walk {
        let site = &self.context.site;
        Walk::new(site.collection(self.target), &site.full_name(self.target))
    }

    /// Ranges that together are the whole collection.
    async fn divide(&self, first: Bson, last: Bson) -> Result<Vec<(Start, Bson)>, Fault> {
        let context = self.context;
        let collection = context.site.collection(self.target);
        let count = collection.estimated_document_count().await.unwrap_or(0);
        let inner = if count < DIVIDE_FROM {
            Vec::new()
        } else {
            let parts = u32::try_from((count / (DIVIDE_FROM / 2)).min(MOST_RANGES)).unwrap_or(1);
            let walk = self.walk();
            context.patiently(|| walk.divide(parts)).await?
        };
        let mut start = Start { id: first, inclusive: true };
        let mut ranges = Vec::new();
        for bound in inner.into_iter().filter(|bound| *bound != last) {
            let next = Start { id: bound.clone(), inclusive: false };
            ranges.push((std::mem::replace(&mut start, next), bound));
        }
        ranges.push((start, last));
        Ok(ranges)
    }

    /// Works off all ranges.
    pub(super) async fn pass(&self, record: &StepRecord, ranges: Vec<RangeRecord>) -> Result<(), Fault> {
        let context = self.context;
        let listed = match context.quarantine_of {
            Some(other) => Some(VecDeque::from(context.patiently(|| self.quarantine.of(other)).await?)),
            None => None,
        };
        let site = &context.site;
        let shared = Shared {
            site,
            apply: self.apply,
            checkpoints: self.checkpoints,
            tally: &context.tally,
            throttle: &context.throttle,
            quarantine: self.quarantine,
            stop: &context.stop,
            own: &context.own,
            observer: &*context.observer,
            pacer: &Mutex::new(Pacer::new(context.batch, record.plan.most)),
            most: record.plan.most,
            verifying: record.plan.verifying,
            marks: context.quarantine_of.map(|other| self.checkpoints.marks_of(other)),
        };
        let single = listed.is_some() || self.hint.is_some();
        pass::run(&shared, ranges, if single { 1 } else { usize::MAX }, |_| match (&listed, self.hint) {
            (Some(ids), _) => Source::List(ids.clone()),
            (None, Some(hint)) => {
                let filter = self.filter.clone();
                let collection = site.collection(self.target);
                Source::Search(Box::new(Search::new(collection, &site.full_name(self.target), filter, hint.clone())))
            }
            (None, None) => Source::Walk(self.walk()),
        })
        .await
    }
}

/// The one range of documents that are not walked but found. Its end is only a mark.
fn found() -> (Start, Bson) {
    (Start { id: Bson::MinKey, inclusive: true }, Bson::MaxKey)
}
