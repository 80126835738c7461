//! From what the pipeline makes to the statement that writes it.

use bson::raw::{CString, RawBsonRef};
use bson::{RawDocument, RawDocumentBuf, cstr};

use crate::engine::fault::{Fault, cut};
use crate::engine::writing::unreadable;

/// The statement that replaces the document with the same `key`, or adds this one where there is none.
///
/// # Errors
/// [`Fault::Poison`] for a document without its key.
pub(super) fn statement(result: &RawDocument, key: &[String]) -> Result<RawDocumentBuf, Fault> {
    let mut same = RawDocumentBuf::new();
    for path in key {
        let name = CString::try_from(path.as_str()).map_err(|error| unreadable(&error))?;
        match value(result, path)? {
            // These would be read as a condition or a pattern.
            value @ (RawBsonRef::Document(_) | RawBsonRef::RegularExpression(_)) => {
                let mut equal = RawDocumentBuf::new();
                equal.append(cstr!("$eq"), value);
                same.append(name, equal);
            }
            value => same.append(name, value),
        }
    }
    let mut statement = RawDocumentBuf::new();
    statement.append(cstr!("q"), same);
    if key.iter().any(|path| path == "_id" || path.starts_with("_id.")) {
        statement.append(cstr!("u"), result);
    } else {
        // The document that is there keeps its `_id`, which no replacement may change; a new one is given one by the server.
        statement.append(cstr!("u"), without_id(result)?);
    }
    statement.append(cstr!("upsert"), true);
    Ok(statement)
}

fn without_id(result: &RawDocument) -> Result<RawDocumentBuf, Fault> {
    let mut rest = RawDocumentBuf::new();
    for element in result {
        let (name, value) = element.map_err(|error| unreadable(&error))?;
        if name.as_str() != "_id" {
            rest.append(name, value);
        }
    }
    Ok(rest)
}

/// The one value at a path.
fn value<'d>(result: &'d RawDocument, path: &str) -> Result<RawBsonRef<'d>, Fault> {
    let refused = |what: &str| {
        let id = match result.get("_id") {
            Ok(Some(id)) => format!(" with _id {}", cut(&describe(id))),
            _ => String::new(),
        };
        Fault::Poison(format!("the document{id} that is to be copied {what} `{path}`, which is in the step's `key`"))
    };
    let mut document = result;
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        match document.get(name).map_err(|error| unreadable(&error))? {
            None | Some(RawBsonRef::Undefined) => return Err(refused("has no field")),
            Some(RawBsonRef::Array(_)) => return Err(refused("has an array, not one value, at")),
            Some(value) if names.peek().is_none() => return Ok(value),
            Some(RawBsonRef::Document(inner)) => document = inner,
            Some(_) => return Err(refused("has no field")),
        }
    }
    Err(refused("has no field"))
}

/// An id as people write it.
fn describe(id: RawBsonRef<'_>) -> String {
    bson::Bson::try_from(id).map_or_else(|_| "?".to_owned(), |id| id.into_relaxed_extjson().to_string())
}

#[cfg(test)]
mod tests {
    use bson::{Document, doc, oid::ObjectId};

    use super::*;

    fn of(result: &Document, key: &[&str]) -> Result<Document, Fault> {
        let key: Vec<String> = key.iter().map(ToString::to_string).collect();
        let statement = statement(&RawDocumentBuf::try_from(result).unwrap(), &key)?;
        Ok(Document::try_from(statement.as_ref()).unwrap())
    }

    #[test]
    fn an_id_that_is_no_key_is_left_to_the_target() {
        assert_eq!(
            of(&doc! { "_id": 1, "a": { "b": 2 } }, &["a.b"]).unwrap(),
            doc! { "q": { "a.b": 2 }, "u": { "a": { "b": 2 } }, "upsert": true }
        );
        assert_eq!(
            of(&doc! { "_id": 1, "a": 2 }, &["_id", "a"]).unwrap(),
            doc! { "q": { "_id": 1, "a": 2 }, "u": { "_id": 1, "a": 2 }, "upsert": true }
        );
    }

    #[test]
    fn a_key_that_looks_like_a_condition_is_compared_as_it_is() {
        let statement = of(&doc! { "_id": 1, "k": { "$gt": 3 } }, &["k"]).unwrap();
        assert_eq!(statement.get_document("q").unwrap(), &doc! { "k": { "$eq": { "$gt": 3 } } });
    }

    #[test]
    fn a_document_without_its_key_is_named() {
        let id = ObjectId::parse_str("65f0a1b2c3d4e5f6a7b8c9d0").unwrap();
        let Err(Fault::Poison(reason)) = of(&doc! { "_id": id, "a": 3 }, &["a.b"]) else { panic!() };
        assert_eq!(
            reason,
            "the document with _id {\"$oid\":\"65f0a1b2c3d4e5f6a7b8c9d0\"} that is to be copied has no field `a.b`, which is in the step's `key`"
        );
        let Err(Fault::Poison(reason)) = of(&doc! { "a": [1, 2] }, &["a"]) else { panic!() };
        assert_eq!(
            reason,
            "the document that is to be copied has an array, not one value, at `a`, which is in the step's `key`"
        );
    }
}
