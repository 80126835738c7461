//! What is left to do after a pass, and what proves that nothing is.

use std::time::Duration;

use bson::{Bson, Document, doc};
use mongodb::action::Action as _;

use crate::time::short_duration;

use super::checkpoint::StepRecord;
use super::fault::{Fault, server_error};
use super::patience::Patience;
use super::slice::{Edge, Slice};
use super::sweep::{Aim, Sweep};

/// Times that a copy of a collection that is written to meanwhile is gone over again.
const MOST_LOOKS: u32 = 3;

/// What a pass has left to do.
pub enum Left {
    /// Everything is done, or told.
    Nothing,
    /// Documents above what was the highest `_id`.
    Tail,
    /// Everything, to see that nothing changes any more.
    All,
}

impl Sweep<'_> {
    /// What is left after a pass of an attempt that changed so many documents. `looks` is how often everything was gone over again.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(super) async fn what_is_left(&self, record: &mut StepRecord, changed: i64, looks: u32) -> Result<Left, Fault> {
        if self.context.quarantine_of.is_some() {
            return Ok(Left::Nothing);
        }
        if self.aim == Aim::Once {
            self.tell_what_came_later(record).await;
            return Ok(Left::Nothing);
        }
        let was_tail = record.pass > 1 && !record.plan.verifying;
        record.plan.verified |= record.plan.verifying && changed == 0;
        let plan = &record.plan;
        if plan.shrinks && !self.find_one_left().await? {
            return Ok(Left::Nothing);
        }
        // A tail in which nothing had to be changed is written in the new shape: there is no end of it, and no need for one.
        if (changed > 0 || !was_tail) && self.has_tail(record).await? {
            return Ok(Left::Tail);
        }
        if plan.verified {
            if plan.shrinks {
                let left = self.count_left().await;
                self.context.warn(format!(
                    "the filter still selects documents of {} ({left}), but the update changes nothing in them",
                    self.name()
                ));
            }
            return Ok(Left::Nothing);
        }
        if self.aim == Aim::Copied && looks >= MOST_LOOKS {
            self.context.warn(format!(
                "{} is written to while it is copied: the last look at it still copied {changed} documents; stop what writes to it and run this again, for a copy that is exact",
                self.name()
            ));
            return Ok(Left::Nothing);
        }
        Ok(Left::All)
    }

    /// The walked collection's full name.
    fn name(&self) -> String {
        self.context.site.full_name(self.target)
    }

    /// Whether there is work above what was the highest `_id`.
    async fn has_tail(&self, record: &StepRecord) -> Result<bool, Fault> {
        if self.hint.is_some() {
            return Ok(false);
        }
        let walk = self.walk();
        let ends = self.context.patiently(|| walk.ends()).await?;
        match (&record.plan.ceiling, ends) {
            (Some(ceiling), Some((_, last))) if *ceiling != last => self.tail_has_work(ceiling, &last).await,
            (None, Some(_)) => Ok(true),
            _ => Ok(false),
        }
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
            let found = found.optional(self.hint, |found, hint| found.hint(hint.into()));
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

    pub(super) async fn never_ends(&self, passes: u32) -> Fault {
        let left = self.count_left().await;
        Fault::Fatal(format!(
            "after {passes} passes documents of {} are still selected ({left}): something keeps writing them as they were before; deploy what writes the new shape, then resume",
            self.name()
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
