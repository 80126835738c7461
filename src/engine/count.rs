//! How much there is to do. On a large collection that takes a while, which the work need not wait for.

use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::ClientSession;
use mongodb::action::Action as _;
use mongodb::options::ReadConcern;

use crate::catalog::{Hint, Target};

use super::answer::number;
use super::checkpoint::{RangeRecord, StepRecord};
use super::fault::Fault;
use super::site::Site;
use super::sweep::Sweep;

/// How long the documents may be counted.
const COUNT_WITHIN: Duration = Duration::from_secs(3);

/// Whether what there is to do can be counted while it is done: in a snapshot, which the work does not change.
#[must_use]
pub fn is_done_beside(site: &Site, filter: &Document) -> bool {
    site.has_transactions() && !filter.is_empty()
}

/// How many documents the filter selects, and whether that is an estimate. With a session, in the snapshot of a transaction; only an estimate is
/// then of what is left at its time.
pub async fn total(
    site: &Site,
    target: &Target,
    filter: &Document,
    hint: Option<&Hint>,
    session: Option<&mut ClientSession>,
) -> (Option<i64>, bool) {
    let collection = site.collection(target);
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    if filter.is_empty() {
        return (collection.estimated_document_count().await.ok().map(whole), true);
    }
    let count = collection.count_documents(filter.clone()).max_time(COUNT_WITHIN);
    let count = count.optional(hint, |count, hint| count.hint(hint.into()));
    let counted = match session {
        Some(session) => match session.start_transaction().read_concern(ReadConcern::snapshot()).await {
            Ok(()) => {
                let counted = count.session(&mut *session).await;
                let _ = session.abort_transaction().await;
                counted
            }
            Err(error) => Err(error),
        },
        None => count.await,
    };
    match counted {
        Ok(count) => (Some(whole(count)), false),
        Err(_) => (estimate(site, target, filter).await, true),
    }
}

/// The share of a sample that the filter selects, of all documents.
async fn estimate(site: &Site, target: &Target, filter: &Document) -> Option<i64> {
    const SAMPLE: i64 = 1000;
    let collection = site.collection(target);
    let all = i64::try_from(collection.estimated_document_count().await.ok()?).ok()?;
    let sample = [doc! { "$sample": { "size": SAMPLE } }, doc! { "$match": filter.clone() }, doc! { "$count": "n" }];
    let mut found = collection.aggregate(sample).max_time(COUNT_WITHIN).await.ok()?;
    let selected =
        if found.advance().await.ok()? { number(&Document::try_from(found.current()).ok()?, "n") } else { 0 };
    Some(all.saturating_mul(selected) / SAMPLE.min(all.max(1)))
}

impl Sweep<'_> {
    /// Works off all ranges and, where that is not known yet, counts meanwhile what there is to do; says what came of that.
    pub(super) async fn counted_pass(
        &self,
        record: &StepRecord,
        ranges: Vec<RangeRecord>,
    ) -> Result<Option<(Option<i64>, bool)>, Fault> {
        let context = self.context;
        let sought = record.plan.total.is_none() && record.pass == 1;
        let beside = sought && is_done_beside(&context.site, self.filter);
        let session = if beside { context.patiently(|| context.site.session()).await? } else { None };
        let Some(mut session) = session else {
            return self.pass(record, ranges).await.map(|()| None);
        };
        let id = session.id().clone();
        // What an earlier attempt has done is not selected any more, or is selected again.
        let before = if record.plan.shrinks { ranges.iter().map(|range| range.totals.matched).sum() } else { 0 };
        let counting = async {
            let (begun, session) = (Instant::now(), Some(&mut session));
            let (total, estimated) = total(&context.site, self.target, self.filter, self.hint, session).await;
            context.own.read(begun.elapsed());
            let done = if estimated && record.plan.shrinks { context.tally.totals().matched } else { before };
            let total = total.map(|total| total + done);
            context.tally.expect(total, estimated);
            (total, estimated)
        };
        let pass = self.pass(record, ranges);
        tokio::pin!(counting, pass);
        tokio::select! {
            biased;
            counted = &mut counting => pass.await.map(|()| Some(counted)),
            passed = &mut pass => {
                self.checkpoints.end_sessions(vec![id]).await;
                passed?;
                let totals = context.tally.totals();
                let total = Some(totals.matched + totals.quarantined);
                context.tally.expect(total, false);
                Ok(Some((total, false)))
            }
        }
    }
}
