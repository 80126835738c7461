//! Changing documents on the server: an update document or a pipeline.

use async_trait::async_trait;
use bson::{Bson, Document, doc};
use mongodb::{ClientSession, Database};

use crate::catalog::Change;

use super::answer::{majority, number, verify};
use super::apply::{Apply, Counts};
use super::fault::Fault;
use super::slice::Slice;

/// The server gives up on a batch after this, in milliseconds; giving up here would not stop it there.
const WITHIN: i32 = 20_000;

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
        let command = doc! { "update": &self.collection, "updates": [update], "maxTimeMS": WITHIN };
        let reply = write(&self.database, session, command, &self.collection).await?;
        Ok(Counts { matched: reply.matched, modified: reply.modified, skipped: 0 })
    }
}

/// What the server says of an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Documents that were found, or made by an upsert.
    pub matched: i64,
    /// Documents that were changed.
    pub modified: i64,
}

/// Runs a write command. The driver repeats none of these, and takes errors that stand inside an answer for a success: here they are errors.
///
/// # Errors
/// See [`Fault::of`].
pub async fn write(
    database: &Database,
    session: Option<&mut ClientSession>,
    mut command: Document,
    collection: &str,
) -> Result<Reply, Fault> {
    let doing = format!("update on {}.{collection}", database.name());
    let answered = if let Some(session) = session {
        database.run_command(command).session(session).await
    } else {
        // A command does not inherit the client's own.
        command.insert("writeConcern", majority());
        database.run_command(command).await
    };
    let answer = answered.map_err(|error| Fault::of(&error, &doing))?;
    verify(&answer, &doing)?;
    Ok(Reply { matched: number(&answer, "n"), modified: number(&answer, "nModified") })
}
