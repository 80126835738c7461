//! Finding a document again to write it, and only if it is still what was read.

use bson::raw::{RawArrayBuf, RawBson, RawDocument, RawDocumentBuf, cstr};

use crate::engine::fault::Fault;

/// The largest update there can be, and the largest statement: the server takes 16 MiB and 16 KiB for a whole command.
const LARGEST: usize = 16 * 1024 * 1024;

/// The query for one document.
pub(super) struct Query {
    id: RawBson,
    /// All of it, where no transaction would notice a change.
    as_read: Option<RawDocumentBuf>,
}

impl Query {
    /// For a document that was read, in a transaction or without one.
    pub(super) fn new(document: &RawDocument, in_transaction: bool) -> Result<Self, Fault> {
        let id = document.get("_id").ok().flatten().map(RawBson::from);
        let id = id.ok_or_else(|| Fault::Poison("a document without a sound _id cannot be updated".to_owned()))?;
        Ok(Self { id, as_read: (!in_transaction).then(|| document.to_owned()) })
    }

    /// The statement that makes an update.
    pub(super) fn statement(self, update: RawBson) -> Result<RawDocumentBuf, Fault> {
        let too_large = |what: &str| Err(Fault::Poison(format!("the transform's update {what}")));
        let mut statement = RawDocumentBuf::new();
        statement.append(cstr!("u"), update);
        if statement.as_bytes().len() > LARGEST {
            return too_large("is larger than 16 MB");
        }
        let mut query = RawDocumentBuf::new();
        if let Some(document) = self.as_read {
            if statement.as_bytes().len() + document.as_bytes().len() > LARGEST + 8 * 1024 {
                return too_large(
                    "and the document are together larger than 16 MB, so that a standalone server cannot be asked to make it only if the document \
                     is still what was read; answer with less, or make the server a replica set (one member is enough)",
                );
            }
            if !has_an_order_of_its_own(&self.id) {
                statement.append(cstr!("collation"), bson::rawdoc! { "locale": "simple" });
            }
            query.append(cstr!("$expr"), is(document));
        }
        query.append(cstr!("_id"), self.id);
        statement.append(cstr!("q"), query);
        Ok(statement)
    }
}

/// Whether an index in the order of a language holds such an id in that order, and would not serve a query in another one. So where such a language
/// is the collection's, a change that makes no difference in it, e.g. of upper and lower case, is not noticed for documents with these ids.
fn has_an_order_of_its_own(id: &RawBson) -> bool {
    matches!(id, RawBson::String(_) | RawBson::Symbol(_) | RawBson::Document(_) | RawBson::Array(_))
}

/// The condition that a document is this one, to its last field. Numbers count as the same if they are equal, whatever their type.
fn is(document: RawDocumentBuf) -> RawDocumentBuf {
    let mut literal = RawDocumentBuf::new();
    literal.append(cstr!("$literal"), document);
    let mut both = RawArrayBuf::new();
    both.push("$$ROOT");
    both.push(literal);
    let mut equal = RawDocumentBuf::new();
    equal.append(cstr!("$eq"), both);
    equal
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::rawdoc;

    fn set(length: usize) -> RawBson {
        RawBson::Document(rawdoc! { "$set": { "text": "x".repeat(length) } })
    }

    #[test]
    fn without_a_transaction_a_document_must_be_what_was_read() {
        let document = rawdoc! { "_id": 7, "$price": 1 };
        let within = Query::new(&document, true).unwrap().statement(set(1)).unwrap();
        assert_eq!(within, rawdoc! { "u": { "$set": { "text": "x" } }, "q": { "_id": 7 } });
        let alone = Query::new(&document, false).unwrap().statement(set(1)).unwrap();
        let guard = rawdoc! { "$eq": ["$$ROOT", { "$literal": { "_id": 7, "$price": 1 } }] };
        let simple = rawdoc! { "locale": "simple" };
        let whole =
            rawdoc! { "u": { "$set": { "text": "x" } }, "collation": simple, "q": { "$expr": guard, "_id": 7 } };
        assert_eq!(alone, whole);
        let text = Query::new(&rawdoc! { "_id": "a" }, false).unwrap().statement(set(1)).unwrap();
        assert!(text.get("collation").unwrap().is_none(), "the index could not find it");
    }

    #[test]
    fn what_no_command_has_room_for_is_refused() {
        let large = rawdoc! { "_id": 7, "text": "x".repeat(15_000_000) };
        assert!(Query::new(&large, true).unwrap().statement(set(15_000_000)).is_ok());
        assert!(Query::new(&large, false).unwrap().statement(set(1_000_000)).is_ok());
        let why = |query: Result<Query, Fault>, length| query.unwrap().statement(set(length)).unwrap_err().to_string();
        assert!(why(Query::new(&large, false), 15_000_000).contains("are together larger than 16 MB"));
        assert!(why(Query::new(&large, true), 17_000_000).contains("is larger than 16 MB"));
        assert!(Query::new(&rawdoc! { "a": 1 }, true).is_err());
    }
}
