//! Writing documents of another shape into another collection.
//!
//! A slice is read from the source through the step's pipeline, and what comes out replaces, or becomes, the document of the target
//! with the same key. So a slice that is copied again changes nothing.

mod check;
mod replacement;

use std::time::Duration;

use async_trait::async_trait;
use bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::Hint;
use mongodb::{ClientSession, Collection, Cursor, Database, SessionCursor};

use crate::catalog::Copy;

pub use check::check;

use super::answer;
use super::apply::{Apply, Counts};
use super::fault::Fault;
use super::site::Site;
use super::slice::Slice;
use super::writing::{self, Statements};

/// The server gives up on a call after this; giving up here would not stop it there.
const WITHIN: Duration = Duration::from_secs(20);

/// Stages that make one document of each: what comes out need not be counted again.
const ONE_OF_EACH: [&str; 8] =
    ["$addFields", "$graphLookup", "$lookup", "$project", "$replaceRoot", "$replaceWith", "$set", "$unset"];

/// Copies slices of one collection into another.
pub struct CopyBatch {
    source: Collection<RawDocumentBuf>,
    target: Database,
    into: String,
    filter: Document,
    pipeline: Vec<Document>,
    key: Vec<String>,
    reading: String,
    writing: String,
}

impl CopyBatch {
    /// Of a step.
    #[must_use]
    pub fn new(site: &Site, step: &Copy) -> Self {
        Self {
            source: site.collection(&step.source),
            target: site.database(step.into.database.as_deref()),
            into: step.into.collection.clone(),
            filter: step.filter.clone(),
            pipeline: step.pipeline.clone(),
            key: step.key.clone(),
            reading: format!("find on {}", site.full_name(&step.source)),
            writing: format!("insert and update on {}", site.full_name(&step.into)),
        }
    }

    async fn read<'s>(&self, session: Option<&'s mut ClientSession>, slice: &Slice) -> Result<Results<'s>, Fault> {
        let stages = std::iter::once(doc! { "$match": slice.select(&self.filter) }).chain(self.pipeline.clone());
        // Whatever other index the filter could use, the slice is the narrower choice.
        let results = self.source.aggregate(stages).hint(by_id()).max_time(WITHIN).with_type::<RawDocumentBuf>();
        let results = match session {
            Some(session) => results.session(&mut *session).await.map(|cursor| Results::InSession(cursor, session)),
            None => results.await.map(Results::Alone),
        };
        results.map_err(|error| Fault::of(&error, &self.reading))
    }

    /// The documents of the slice that the filter selects.
    async fn count(&self, session: Option<&mut ClientSession>, slice: &Slice) -> Result<i64, Fault> {
        let count = self.source.count_documents(slice.select(&self.filter)).hint(by_id()).max_time(WITHIN);
        let counted = match session {
            Some(session) => count.session(session).await,
            None => count.await,
        };
        let counted = counted.map_err(|error| Fault::of(&error, &self.reading))?;
        Ok(i64::try_from(counted).unwrap_or(i64::MAX))
    }

    /// Writes, and says how many documents of the target that made or changed.
    async fn write(&self, session: Option<&mut ClientSession>, statements: Statements) -> Result<i64, Fault> {
        let answer = writing::update(&self.target, &self.into, statements, session, &self.writing).await?;
        answer::verify(&answer, &self.writing)?;
        let made = answer.get_array("upserted").map_or(0, Vec::len);
        Ok(answer::number(&answer, "nModified") + i64::try_from(made).unwrap_or(i64::MAX))
    }

    fn has_one_of_each(&self) -> bool {
        self.pipeline.iter().flat_map(Document::keys).all(|stage| ONE_OF_EACH.contains(&stage.as_str()))
    }
}

#[async_trait]
impl Apply for CopyBatch {
    async fn apply(&self, mut session: Option<&mut ClientSession>, slice: &Slice) -> Result<Counts, Fault> {
        let matched =
            if self.has_one_of_each() { None } else { Some(self.count(session.as_deref_mut(), slice).await?) };
        let mut results = self.read(session, slice).await?;
        let mut statements = Statements::default();
        let (mut results_read, mut changed) = (0, 0);
        while results.advance().await.map_err(|error| Fault::of(&error, &self.reading))? {
            let statement = replacement::statement(results.current(), &self.key)?;
            results_read += 1;
            if !statements.have_room_for(&statement) {
                changed += self.write(results.session(), std::mem::take(&mut statements)).await?;
            }
            statements.push(statement);
        }
        if statements.count() > 0 {
            changed += self.write(results.session(), statements).await?;
        }
        Ok(Counts { matched: matched.unwrap_or(results_read), modified: changed, skipped: 0 })
    }
}

/// What the pipeline makes of a slice, as it arrives: no more than one answer of the server is held.
enum Results<'s> {
    Alone(Cursor<RawDocumentBuf>),
    InSession(SessionCursor<RawDocumentBuf>, &'s mut ClientSession),
}

impl Results<'_> {
    async fn advance(&mut self) -> mongodb::error::Result<bool> {
        match self {
            Self::Alone(cursor) => cursor.advance().await,
            Self::InSession(cursor, session) => cursor.advance(session).await,
        }
    }

    fn current(&self) -> &RawDocument {
        match self {
            Self::Alone(cursor) => cursor.current(),
            Self::InSession(cursor, _) => cursor.current(),
        }
    }

    fn session(&mut self) -> Option<&mut ClientSession> {
        match self {
            Self::Alone(_) => None,
            Self::InSession(_, session) => Some(session),
        }
    }
}

fn by_id() -> Hint {
    Hint::Keys(doc! { "_id": 1 })
}
