//! The shapes of documents: a run as it is stored, and what is read back.

use bson::{Document, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::Cursor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ledger::{Event, LedgerError, QuarantinePosition, Run, RunId};
use crate::time::Timestamp;

use super::connection::Connection;

/// Most events kept of one run: years of pausing and resuming, and far below the largest document.
const EVENTS_KEPT: i32 = 500;

/// What a list leaves behind on the server.
pub(super) fn without_events() -> Document {
    doc! { "events": 0 }
}

/// The expression, for an update, of `run` as it is stored, with `event`, if there is one, after the events that are there.
pub(super) fn stored(run: &Run, event: Option<&Event>) -> Document {
    let mut record = document(run);
    record.insert("open", run.is_open());
    record.insert("reversed", run.id.reversed());
    if let Some(at) = run.succeeded_at() {
        record.insert("succeededAt", date(at));
    }
    let events = doc! { "$concatArrays": [{ "$ifNull": ["$events", []] }, event.map_or_else(Vec::new, |event| vec![doc! { "$literal": document(event) }])] };
    doc! { "$mergeObjects": [
        { "$literal": record },
        {
            // The change counts from when the server makes it, not from when its clock was read: polling for changes relies on it.
            "updatedAt": { "$max": ["$$NOW", date(run.updated_at)] },
            "events": { "$slice": [events, -EVENTS_KEPT] },
        },
    ] }
}

/// A record as BSON.
pub(super) fn document(record: &impl Serialize) -> Document {
    bson::serialize_to_document(record).expect("records have string keys and no failing serializers")
}

/// A time as BSON.
pub(super) fn date(time: Timestamp) -> bson::DateTime {
    bson::DateTime::from_millis(time.as_millis())
}

/// The `_id` of a piece of log. Documents compare field by field, so a range of them is a range of the log.
pub(super) fn log_id(run: RunId, attempt: u32, offset: u64) -> Document {
    doc! {
        "run": run.to_string(),
        "attempt": i64::from(attempt),
        "offset": i64::try_from(offset).unwrap_or(i64::MAX),
    }
}

/// The `_id` of a document that a run left out: its index lists those of a run by their places.
pub(super) fn quarantine_id(run: RunId, place: &QuarantinePosition) -> Document {
    doc! { "run": run.to_string(), "step": i64::from(place.step), "document": &place.document }
}

impl Connection {
    /// A record out of a document, which is named by its `_id` when it does not have the shape it must have.
    pub(super) fn read<T: DeserializeOwned>(&self, document: &RawDocument) -> Result<T, LedgerError> {
        bson::deserialize_from_slice(document.as_bytes()).map_err(|error| {
            let id =
                document.get("_id").ok().flatten().map_or_else(|| "without _id".to_owned(), |id| format!("{id:?}"));
            self.corrupt(format!("document {id}: {error}"))
        })
    }

    /// All records that a cursor finds, read one by one so that only one batch is held besides them.
    pub(super) async fn read_all<T: DeserializeOwned>(
        &self,
        doing: &str,
        mut cursor: Cursor<RawDocumentBuf>,
        mut take: impl FnMut(T),
    ) -> Result<(), LedgerError> {
        while let Some(document) = self.list(doing, cursor.try_next()).await? {
            take(self.read(&document)?);
        }
        Ok(())
    }
}
