//! A batch whose documents go through application code.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bson::raw::{RawBson, RawDocument, RawDocumentBuf};
use bson::{Bson, Document, doc};
use mongodb::error::TRANSIENT_TRANSACTION_ERROR;
use mongodb::options::Hint;
use mongodb::{ClientSession, Collection, Cursor, Database, SessionCursor};

use crate::catalog::Target;
use crate::engine::answer::number;
use crate::engine::apply::{Apply, Counts};
use crate::engine::fault::Fault;
use crate::engine::site::Site;
use crate::engine::slice::Slice;
use crate::engine::writing::{self, Statements};

use super::guard::Query;
use super::{Answer, Answering, Lines, Transform};

/// The child is given so many bytes of lines at once, or one document if that is larger: while it works on them, those before are written and those
/// after are read, and memory stays flat.
const PART: usize = 256 * 1024;
/// How many documents come with one answer of the server.
const READ: u32 = 1000;
/// How often documents that change under its hands are read again before the batch is given up, which makes it smaller.
const ROUNDS: u32 = 10;
/// How long the server may take for one call; a transaction lives for a minute.
const MAX_TIME: Duration = Duration::from_secs(30);

/// Reads the documents of a slice, asks the child what becomes of them, and writes that.
///
/// In a transaction all of it happens in one snapshot, so that a concurrent change of a document aborts it. Without one, an update is applied only
/// to a document that still is what it was when it was read; one that is not is read again.
pub struct TransformBatch {
    database: Database,
    collection: Collection<RawDocumentBuf>,
    filter: Document,
    transform: Arc<Transform>,
    /// For people.
    name: String,
}

impl TransformBatch {
    /// Of the documents of `target` that `filter` selects.
    #[must_use]
    pub fn new(site: &Site, target: &Target, filter: Document, transform: Arc<Transform>) -> Self {
        Self {
            database: site.database(target.database.as_deref()),
            collection: site.collection(target),
            filter,
            transform,
            name: site.full_name(target),
        }
    }

    async fn find(&self, session: Option<&mut ClientSession>, slice: &Slice) -> Result<Reading, Fault> {
        let find = self
            .collection
            .find(slice.select(&self.filter))
            .hint(Hint::Keys(doc! { "_id": 1 }))
            .batch_size(READ)
            .max_time(MAX_TIME);
        let reading = match session {
            Some(session) => find.session(session).await.map(Reading::Within),
            None => find.await.map(Reading::Alone),
        };
        reading.map_err(|error| self.unread(&error))
    }

    fn unread(&self, error: &mongodb::error::Error) -> Fault {
        Fault::of(error, &format!("find on {}", self.name))
    }

    /// Reads as much as the child is given at once.
    async fn part(&self, mut session: Option<&mut ClientSession>, reading: &mut Reading) -> Result<Part, Fault> {
        let mut part = Part::default();
        while part.lines.size() < PART
            && reading.advance(session.as_deref_mut()).await.map_err(|error| self.unread(&error))?
        {
            let document = reading.current();
            part.lines.push(document)?;
            part.queries.push(Query::new(document, session.is_some())?);
        }
        Ok(part)
    }

    async fn write(
        &self,
        mut session: Option<&mut ClientSession>,
        queries: Vec<Query>,
        answers: Vec<Answer>,
    ) -> Result<Written, Fault> {
        let matched = i64::try_from(queries.len()).unwrap_or(i64::MAX);
        let mut written = Written { counts: Counts { matched, ..Counts::default() }, missed: 0 };
        let mut command = Statements::default();
        for (query, answer) in queries.into_iter().zip(answers) {
            let update = match answer {
                Answer::Leave => {
                    written.counts.skipped += 1;
                    continue;
                }
                Answer::Refuse(why) => return Err(Fault::Poison(format!("the transform refuses it: {why}"))),
                Answer::Operators(update) => RawBson::Document(update),
                Answer::Pipeline(stages) => RawBson::Array(stages),
            };
            let statement = query.statement(update)?;
            if !command.have_room_for(&statement) {
                written += self.run(session.as_deref_mut(), std::mem::take(&mut command)).await?;
            }
            command.push(statement);
        }
        if command.count() > 0 {
            written += self.run(session, command).await?;
        }
        Ok(written)
    }

    /// Runs one update command.
    async fn run(&self, session: Option<&mut ClientSession>, statements: Statements) -> Result<Written, Fault> {
        let doing = format!("update on {}", self.name);
        let count = i64::try_from(statements.count()).unwrap_or(i64::MAX);
        let reply = writing::update(&self.database, self.collection.name(), statements, session, &doing).await?;
        written(count, &reply, &doing)
    }

    /// One round over a slice.
    async fn round(&self, mut session: Option<&mut ClientSession>, slice: &Slice) -> Result<Written, Fault> {
        let mut written = Written::default();
        let mut reading = self.find(session.as_deref_mut(), slice).await?;
        let mut ahead: Option<(Vec<Query>, Answering)> = None;
        loop {
            let part = self.part(session.as_deref_mut(), &mut reading).await?;
            let last = part.queries.is_empty();
            let answering = if last { None } else { Some((part.queries, self.transform.send(part.lines)?)) };
            if let Some((queries, answers)) = std::mem::replace(&mut ahead, answering) {
                written += self.write(session.as_deref_mut(), queries, answers.answers().await?).await?;
            }
            if last {
                return Ok(written);
            }
        }
    }
}

#[async_trait]
impl Apply for TransformBatch {
    async fn apply(&self, mut session: Option<&mut ClientSession>, slice: &Slice) -> Result<Counts, Fault> {
        let Written { mut counts, mut missed } = self.round(session.as_deref_mut(), slice).await?;
        for _ in 0..ROUNDS {
            if missed == 0 {
                return Ok(counts);
            }
            // What is done is not selected any more, or is not changed by a repetition.
            let again = self.round(session.as_deref_mut(), slice).await?;
            counts.modified += again.counts.modified;
            missed = again.missed;
        }
        Err(Fault::TooMuch(format!(
            "documents of {} are changed by somebody else as fast as they can be read",
            self.name
        )))
    }
}

/// What became of statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Written {
    counts: Counts,
    /// Documents that were not what they had been when they were read.
    missed: i64,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.missed += other.missed;
    }
}

/// Documents on their way to the child, and the queries for each of them.
#[derive(Default)]
struct Part {
    lines: Lines,
    queries: Vec<Query>,
}

/// A cursor, within a session or without one.
enum Reading {
    Within(SessionCursor<RawDocumentBuf>),
    Alone(Cursor<RawDocumentBuf>),
}

impl Reading {
    async fn advance(&mut self, session: Option<&mut ClientSession>) -> Result<bool, mongodb::error::Error> {
        match (self, session) {
            (Self::Within(cursor), Some(session)) => cursor.advance(session).await,
            (Self::Alone(cursor), _) => cursor.advance().await,
            (Self::Within(_), None) => unreachable!("a cursor is read in the session that it was made in"),
        }
    }

    fn current(&self) -> &RawDocument {
        match self {
            Self::Within(cursor) => cursor.current(),
            Self::Alone(cursor) => cursor.current(),
        }
    }
}

/// What the server says to an update of so many statements: it answers "ok" even when some failed.
fn written(statements: i64, reply: &Document, doing: &str) -> Result<Written, Fault> {
    let error = |error: &Document| {
        let code = error.get_i32("code").unwrap_or_default();
        let name = error.get_str("codeName").unwrap_or("write error");
        (code, name.to_owned(), error.get_str("errmsg").unwrap_or_default().to_owned())
    };
    let labels = reply.get_array("errorLabels").into_iter().flatten();
    let transient = labels.filter_map(Bson::as_str).any(|label| label == TRANSIENT_TRANSACTION_ERROR);
    let first = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()?.as_document());
    if let Some((code, name, message)) = first.map(error) {
        return Err(match Fault::of_code(code, &name, &message, transient, doing) {
            // What is wrong with a statement is wrong with the answer for one document, not with the step.
            Fault::Fatal(why) => Fault::Poison(format!("the transform's answer: {why}")),
            fault => fault,
        });
    }
    if let Some((code, name, message)) = reply.get_document("writeConcernError").ok().map(error) {
        return Err(Fault::of_code(code, &name, &message, transient, doing));
    }
    let counts = Counts { modified: number(reply, "nModified"), ..Counts::default() };
    Ok(Written { counts, missed: statements - number(reply, "n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_that_is_ok_on_the_whole_may_have_failed_in_part() {
        let failed = |reply: Document| written(4, &reply, "update on shop.orders").unwrap_err();
        let invalid = doc! { "index": 0, "code": 121, "errmsg": "Document failed validation" };
        assert!(matches!(failed(doc! { "ok": 1, "nModified": 3, "writeErrors": [invalid] }), Fault::Poison(_)));
        let operator = doc! { "index": 0, "code": 9, "errmsg": "Unknown modifier: $sat" };
        assert!(matches!(failed(doc! { "ok": 1, "nModified": 0, "writeErrors": [operator] }), Fault::Poison(_)));
        let late = doc! { "code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting for replication timed out" };
        assert!(matches!(failed(doc! { "ok": 1, "nModified": 3, "writeConcernError": late }), Fault::Passing(_)));
        let counts = Counts { modified: 2, ..Counts::default() };
        assert_eq!(written(4, &doc! { "ok": 1, "n": 3, "nModified": 2 }, "").unwrap(), Written { counts, missed: 1 });
    }
}
