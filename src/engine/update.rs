//! Changing documents on the server: an update document or a pipeline.

use async_trait::async_trait;
use bson::{Bson, Document, doc};
use mongodb::{ClientSession, Database};

use crate::catalog::Change;

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
    update: Bson,
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
        Some(Self { database, collection: collection.to_owned(), filter: filter.clone(), update, array_filters })
    }
}

#[async_trait]
impl Apply for Update {
    async fn apply(&self, session: Option<&mut ClientSession>, slice: &Slice) -> Result<Counts, Fault> {
        let mut update = doc! {
            "q": slice.select(&self.filter),
            "u": self.update.clone(),
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
    let answered = match session {
        Some(session) => database.run_command(command).session(session).await,
        None => {
            // A command does not inherit the client's own.
            command.insert("writeConcern", doc! { "w": "majority", "j": true });
            database.run_command(command).await
        }
    };
    let answer = answered.map_err(|error| Fault::of(&error, &doing))?;
    for list in ["writeErrors", "writeConcernError"] {
        let error = match answer.get(list) {
            Some(Bson::Array(errors)) => errors.first().and_then(Bson::as_document),
            Some(Bson::Document(error)) => Some(error),
            _ => None,
        };
        if let Some(error) = error {
            let text = |key| error.get_str(key).unwrap_or_default();
            let code = number(error, "code").try_into().unwrap_or_default();
            return Err(Fault::of_code(code, text("codeName"), text("errmsg"), false, &doing));
        }
    }
    Ok(Reply { matched: number(&answer, "n"), modified: number(&answer, "nModified") })
}

/// A whole number of an answer, whichever type the server chose for it; 0 where there is none.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "counts are whole and far below 2^53")]
pub fn number(document: &Document, key: &str) -> i64 {
    match document.get(key) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        Some(Bson::Double(number)) => *number as i64,
        _ => 0,
    }
}
