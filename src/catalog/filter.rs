//! Queries, updates and other MongoDB documents written in YAML, with Extended JSON where YAML has no word for a type. The order of
//! fields is kept: in the key of an index or a command it has a meaning.

use bson::{Bson, Document};

use super::decode::Decoder;
use super::yaml::{Node, Value};

/// The keys by which Extended JSON marks a type. Query operators (`$exists`, `$in`, ...) are none of them.
const TYPES: &[&str] = &[
    "$oid",
    "$date",
    "$numberLong",
    "$numberInt",
    "$numberDouble",
    "$numberDecimal",
    "$binary",
    "$uuid",
    "$timestamp",
    "$regularExpression",
    "$minKey",
    "$maxKey",
];

/// Reads a query.
pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<Document> {
    document(decoder, node, what, "a query", "{ settled: false }")
}

/// Reads a document that is `expected` to be something, as `example` is.
pub(super) fn document(
    decoder: &mut Decoder<'_>,
    node: &Node,
    what: &str,
    expected: &str,
    example: &str,
) -> Option<Document> {
    if let Bson::Document(document) = value(decoder, node)? {
        return Some(document);
    }
    decoder.wrong(node, what, expected, format!("write it as a mapping, e.g. `{example}`"));
    None
}

/// Reads a value of any type.
pub(super) fn value(decoder: &mut Decoder<'_>, node: &Node) -> Option<Bson> {
    Some(match &node.value {
        Value::Null => Bson::Null,
        Value::Boolean(value) => Bson::Boolean(*value),
        // As the server's own tools do: the smallest type that holds it.
        Value::Integer(value) => i32::try_from(*value).map_or(Bson::Int64(*value), Bson::Int32),
        Value::Number(value) => Bson::Double(*value),
        Value::Text(text) => Bson::String(text.clone()),
        Value::List(items) => Bson::Array(items.iter().map(|item| value(decoder, item)).collect::<Option<Vec<_>>>()?),
        Value::Map(fields) => {
            if let Some((key, _)) = fields.iter().find(|(key, _)| TYPES.contains(&key.name.as_str())) {
                return extended(decoder, node, &key.name);
            }
            let mut document = Document::new();
            for (key, node) in fields {
                if key.name.contains('\0') {
                    decoder.report(
                        key.at,
                        "a field's name has a NUL character",
                        "remove it: no document can have such a field",
                    );
                    return None;
                }
                document.insert(&key.name, value(decoder, node)?);
            }
            Bson::Document(document)
        }
    })
}

/// `{ $oid: ... }` and its like.
fn extended(decoder: &mut Decoder<'_>, node: &Node, key: &str) -> Option<Bson> {
    let parsed =
        json(node).ok_or_else(String::new).and_then(|json| Bson::try_from(json).map_err(|error| error.to_string()));
    match parsed {
        // What is not marked by exactly these keys comes back as an ordinary document.
        Ok(value) if value.as_document().is_none() => Some(value),
        _ => {
            decoder.report(node.at, format!("this is no `{key}` of Extended JSON"), example(key));
            None
        }
    }
}

fn example(key: &str) -> &'static str {
    match key {
        "$oid" => "write 24 hexadecimal digits in quotes: `{ $oid: \"65a1b2c3d4e5f60718293a4b\" }`",
        "$date" => "write a time with its zone in quotes: `{ $date: \"2026-11-04T00:00:00Z\" }`",
        "$numberLong" => "write digits in quotes: `{ $numberLong: \"9007199254740993\" }`",
        "$numberInt" => "write digits in quotes: `{ $numberInt: \"7\" }`",
        "$numberDouble" => "write a number in quotes: `{ $numberDouble: \"0.1\" }`",
        "$numberDecimal" => "write a number in quotes: `{ $numberDecimal: \"19.90\" }`",
        "$binary" => "write it as `{ $binary: { base64: \"aGk=\", subType: \"00\" } }`",
        "$uuid" => "write it as `{ $uuid: \"c8edabc3-f738-4ca3-b68d-ab92a91478a3\" }`",
        "$timestamp" => "write it as `{ $timestamp: { t: 1762214400, i: 1 } }`",
        "$regularExpression" => "write it as `{ $regularExpression: { pattern: \"^BR\", options: \"i\" } }`",
        _ => "write it as `{ $minKey: 1 }` or `{ $maxKey: 1 }`",
    }
}

/// The node as JSON; `None` for a number that JSON cannot say.
fn json(node: &Node) -> Option<serde_json::Value> {
    Some(match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Number(value) => serde_json::Number::from_f64(*value)?.into(),
        Value::Text(text) => text.clone().into(),
        Value::List(items) => items.iter().map(json).collect::<Option<Vec<_>>>()?.into(),
        Value::Map(fields) => fields
            .iter()
            .map(|(key, node)| Some((key.name.clone(), json(node)?)))
            .collect::<Option<serde_json::Map<_, _>>>()?
            .into(),
    })
}
