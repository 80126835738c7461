//! Passes over a collection, until nothing is left to do.
//!
//! 1. Before the first write the step is checked, and the collection is divided into ranges.
//! 2. A pass works off all ranges. Documents that are inserted meanwhile above the highest `_id` are the next pass.
//! 3. What then proves that all is done depends on the step: see [`Aim`].

use std::collections::VecDeque;
use std::time::Duration;

use bson::{Bson, Document, doc};
use tokio::time::{Instant, timeout};

use crate::catalog::{Hint, Target};
use crate::ledger::RunId;
use crate::time::short_duration;

use super::apply::Apply;
use super::checkpoint::{Checkpoints, Plan, RangeRecord, Start, StepRecord, Totals};
use super::context::Context;
use super::fault::{Fault, server_error};
use super::lane::Shared;
use super::pass;
use super::patience::Patience;
use super::quarantine::Quarantine;
use super::slice::{Edge, Slice};
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
    /// When the end is reached and nothing has come above it.
    TheEnd,
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
    /// Works from where the step stands to its end. `check` looks at it before the first write.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn to_the_end(&self, title: &str, check: impl AsyncFnOnce() -> Result<Plan, Fault>) -> Result<(), Fault> {
        let context = self.context;
        let claim = || self.checkpoints.claim(context.migration.as_str(), title);
        let mut record = context.patiently(claim).await?;
        if record.complete {
            context.tally.base(record.totals, false);
            context.tally.expect(record.plan.total, record.plan.estimated);
            return Ok(());
        }
        let mut ranges = if record.pass == 0 {
            let plan = check().await?;
            context.say("dividing the work");
            self.next(&mut record, plan, false).await?
        } else {
            context.patiently(|| self.checkpoints.claim_ranges(record.pass)).await?
        };
        loop {
            context.tally.base(record.totals, record.plan.verifying);
            context.tally.expect(record.plan.total, record.plan.estimated);
            context.say(if record.plan.verifying {
                "going over everything again, to see that nothing changes any more"
            } else {
                ""
            });
            let begun = Instant::now();
            self.pass(&record, ranges).await?;
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
            match self.what_is_left(&record, changed).await? {
                Left::Some { verifying } if record.pass < MOST_PASSES => {
                    // Passes over a trickle of new documents would follow each other too fast to ever see its end.
                    if record.pass > 2 && begun.elapsed() < TRICKLE {
                        let _ = timeout(TRICKLE, context.stop.cancelled()).await;
                    }
                    let plan = record.plan.clone();
                    ranges = self.next(&mut record, plan, verifying).await?;
                }
                Left::Some { .. } => return Err(self.never_ends().await),
                Left::Nothing => {
                    let done = StepRecord { complete: true, ..record.clone() };
                    context.patiently(|| self.checkpoints.plan(&record, &done, &[])).await?;
                    return Ok(());
                }
            }
        }
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

    fn walk(&self) -> Walk {
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

    async fn pass(&self, record: &StepRecord, ranges: Vec<RangeRecord>) -> Result<(), Fault> {
        let context = self.context;
        let listed = match context.quarantine_of {
            Some(other) => Some(self.still_listed(other, &ranges).await?),
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
            most: record.plan.most,
            verifying: record.plan.verifying,
        };
        let single = listed.is_some() || self.hint.is_some();
        pass::run(&shared, ranges, context.batch, if single { 1 } else { usize::MAX }, |_| match (&listed, self.hint) {
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

    /// The documents that another run left out, without those that this one has tried already.
    async fn still_listed(&self, other: RunId, ranges: &[RangeRecord]) -> Result<VecDeque<Bson>, Fault> {
        let mut ids: VecDeque<Bson> = self.context.patiently(|| self.quarantine.of(other)).await?.into();
        if let Some(at) = ranges.first().and_then(|range| range.at.as_ref()) {
            while ids.pop_front().is_some_and(|id| id != *at) {}
        }
        Ok(ids)
    }

    async fn what_is_left(&self, record: &StepRecord, changed: i64) -> Result<Left, Fault> {
        if self.context.quarantine_of.is_some() {
            return Ok(Left::Nothing);
        }
        let plan = &record.plan;
        if self.aim == Aim::Once {
            self.tell_what_came_later(record).await;
            return Ok(Left::Nothing);
        }
        if plan.shrinks && !self.find_one_left().await? {
            return Ok(Left::Nothing);
        }
        if plan.verifying && changed == 0 {
            if plan.shrinks {
                let left = self.count_left().await;
                self.context.warn(format!(
                    "the filter still selects documents ({left}), but the update changes nothing in them"
                ));
            }
            return Ok(Left::Nothing);
        }
        let walk = self.walk();
        let ends = self.context.patiently(|| walk.ends()).await?;
        if let (Some(ceiling), Some((_, last)), None) = (&plan.ceiling, &ends, self.hint)
            && ceiling != last
            && self.tail_has_work(ceiling, last).await?
        {
            return Ok(Left::Some { verifying: false });
        }
        if self.aim == Aim::TheEnd {
            return Ok(Left::Nothing);
        }
        // A search by an index finds only what is left, and so a document that is found again and again was never changed.
        Ok(Left::Some { verifying: true })
    }

    /// Whether the filter still selects a document that is not left out on purpose.
    async fn find_one_left(&self) -> Result<bool, Fault> {
        let left_out = if self.context.tally.totals().quarantined > 0 {
            self.context.patiently(|| self.quarantine.of(self.context.run)).await?
        } else {
            Vec::new()
        };
        let mut filter = self.filter.clone();
        if !left_out.is_empty() {
            filter = doc! { "$and": [filter, { "_id": { "$nin": left_out } }] };
        }
        self.search(filter).await
    }

    /// Whether there is such a document. It may have to read everything, so it can be stopped: giving up here would not stop it there.
    async fn search(&self, filter: Document) -> Result<bool, Fault> {
        let context = self.context;
        let collection = context.site.collection(self.target);
        let doing = format!("find on {}", context.site.full_name(self.target));
        let mut patience = Patience::default();
        loop {
            let mut session = context.site.client.start_session().await.map_err(|error| Fault::of(&error, &doing))?;
            let id = session.id().clone();
            let found = collection.find_one(filter.clone()).projection(doc! { "_id": 1 });
            let found = match self.hint {
                Some(Hint::Name(name)) => found.hint(mongodb::options::Hint::Name(name.clone())),
                Some(Hint::Keys(keys)) => found.hint(mongodb::options::Hint::Keys(keys.clone())),
                None => found,
            };
            let found = tokio::select! {
                found = found.session(&mut session) => found,
                () = context.stop.cancelled() => {
                    self.checkpoints.end_sessions(vec![id]).await;
                    return Err(Fault::Stopped);
                }
            };
            match found.map_err(|error| Fault::of(&error, &doing)) {
                Ok(found) => return Ok(found.is_some()),
                Err(Fault::Passing(reason) | Fault::TooMuch(reason)) => patience.wait(&reason, &context.stop).await?,
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Whether documents above what was the highest `_id` are selected by the filter.
    async fn tail_has_work(&self, ceiling: &Bson, last: &Bson) -> Result<bool, Fault> {
        match Slice::range(Edge::After(ceiling.clone()), last.clone()) {
            Some(slice) => self.search(slice.select(self.filter)).await,
            // Ids of another type; a pass will tell.
            None => Ok(true),
        }
    }

    /// What was inserted since the set of documents was fixed is told, and left as it is.
    async fn tell_what_came_later(&self, record: &StepRecord) {
        const WITHIN: Duration = Duration::from_secs(5);
        let Some(ceiling) = &record.plan.ceiling else { return };
        let query = Slice::Range { from: Edge::After(ceiling.clone()), through: Bson::MaxKey }.select(self.filter);
        let collection = self.context.site.collection(self.target);
        match collection.count_documents(query).max_time(WITHIN).await {
            Ok(0) => {}
            Ok(count) => self.context.warn(format!(
                "{count} documents that the filter selects came after the set was fixed at the start; they are left as they are"
            )),
            Err(error) if server_error(&error).is_some() => {
                self.context.warn("whether documents came after the set was fixed could not be counted in time".to_owned());
            }
            Err(_) => {}
        }
    }

    async fn never_ends(&self) -> Fault {
        let left = self.count_left().await;
        Fault::Fatal(format!(
            "after {MOST_PASSES} passes documents are still selected ({left}): something keeps writing them as they were before; deploy what writes the new shape, then resume"
        ))
    }

    /// How many documents the filter still selects, in words.
    async fn count_left(&self) -> String {
        const WITHIN: Duration = Duration::from_secs(10);
        let collection = self.context.site.collection(self.target);
        let left = collection.count_documents(self.filter.clone()).max_time(WITHIN).await;
        left.map_or_else(|_| format!("more than can be counted in {}", short_duration(WITHIN)), |left| left.to_string())
    }
}

/// What a pass has left to do.
enum Left {
    /// Everything is done, or told.
    Nothing,
    /// Another pass is needed: over what came above the highest `_id`, or over everything, to see that nothing changes any more.
    Some {
        /// Which.
        verifying: bool,
    },
}

/// The one range of documents that are not walked but found. Its end is only a mark.
fn found() -> (Start, Bson) {
    (Start { id: Bson::MinKey, inclusive: true }, Bson::MaxKey)
}
