//! Changing documents on the server: an update document or a pipeline.

use async_trait::async_trait;
use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::{ClientSession, Database};

use crate::catalog::Change;

use super::answer::{number, verify};
use super::apply::{Apply, Counts};
use super::fault::Fault;
use super::slice::Slice;
use super::writing::{self, Statements, unreadable};

/// One update for each slice.
pub struct Update {
    database: Database,
    collection: String,
    filter: Document,
    change: Bson,
    array_filters: Vec<Document>,
}

impl Update {
    /// Of the documents of a collection that `filter` selects; `None` for a change that the server cannot make by itself.
    #[must_use]
    pub fn new(database: Database, collection: &str, filter: &Document, change: &Change) -> Option<Self> {
        let (update, array_filters) = match change {
            Change::Pipeline(stages) => (Bson::from(stages.clone()), Vec::new()),
            Change::Operators { update, array_filters } => (Bson::from(update.clone()), array_filters.clone()),
            Change::Transform(_) => return None,
        };
        Some(Self {
            database,
            collection: collection.to_owned(),
            filter: filter.clone(),
            change: update,
            array_filters,
        })
    }
}

#[async_trait]
impl Apply for Update {
    async fn apply(&self, session: Option<&mut ClientSession>, slice: &Slice) -> Result<Counts, Fault> {
        let mut update = doc! {
            "q": slice.select(&self.filter),
            "u": self.change.clone(),
            "multi": true,
            // Whatever other index the filter could use, the slice is the narrower choice.
            "hint": { "_id": 1 },
        };
        if !self.array_filters.is_empty() {
            update.insert("arrayFilters", self.array_filters.clone());
        }
        let mut statements = Statements::default();
        statements.push(RawDocumentBuf::try_from(&update).map_err(|error| unreadable(&error))?);
        let doing = format!("update on {}.{}", self.database.name(), self.collection);
        let answer = writing::update(&self.database, &self.collection, statements, session, &doing).await?;
        verify(&answer, &doing)?;
        Ok(Counts { matched: number(&answer, "n"), modified: number(&answer, "nModified"), skipped: 0 })
    }
}
