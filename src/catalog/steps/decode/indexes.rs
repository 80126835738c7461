//! `createIndexes` and `dropIndexes`, and the ways to name an index.

use bson::{Bson, Document, doc};

use super::names;
use crate::catalog::decode::{Decoder, Fields};
use crate::catalog::filter;
use crate::catalog::steps::{CreateIndexes, DropIndexes, Hint};
use crate::catalog::yaml::{Node, Value};

const CREATE: &str = "indexes: [{ key: { customer: 1, createdAt: -1 } }]";
const DROP: &str = "indexes: [customer_1, { createdAt: -1 }]";
const KEY: &str = "{ customer: 1, createdAt: -1 }";

/// Reads the building of indexes. `None` only with a problem.
pub(super) fn create(decoder: &mut Decoder<'_>, node: &Node) -> Option<CreateIndexes> {
    let fields = decoder.fields(node, "createIndexes", &["database", "collection", "indexes"])?;
    let target = names::target(decoder, node, fields, "createIndexes");
    let indexes = elements(decoder, node, fields, "createIndexes.indexes", CREATE, index)?;
    for (index, document) in indexes.iter().enumerate() {
        if indexes[..index].iter().any(|earlier| earlier.get("name") == document.get("name")) {
            let name = document.get_str("name").unwrap_or_default();
            let message = format!("two of `createIndexes.indexes` have the name `{name}`");
            decoder.report(node.at, message, "give one of them another `name`, or remove it");
        }
    }
    Some(CreateIndexes { target: target?, indexes })
}

/// Reads the removal of indexes. `None` only with a problem.
pub(super) fn drop(decoder: &mut Decoder<'_>, node: &Node) -> Option<DropIndexes> {
    let fields = decoder.fields(node, "dropIndexes", &["database", "collection", "indexes"])?;
    let target = names::target(decoder, node, fields, "dropIndexes");
    let what = "dropIndexes.indexes";
    let indexes = elements(decoder, node, fields, what, DROP, |decoder, item| {
        let named = hint(decoder, item, what)?;
        let problem = match &named {
            Hint::Name(name) if name == "*" => "`*` would drop every index of the collection",
            Hint::Name(name) if name == "_id_" => OF_ID,
            Hint::Keys(keys) if is_of_id(keys) => OF_ID,
            _ => return Some(named),
        };
        decoder.report(item.at, problem, format!("name the indexes that are to go, one by one: `{DROP}`"));
        None
    })?;
    Some(DropIndexes { target: target?, indexes })
}

const OF_ID: &str = "the index on `_id` cannot be dropped";

/// The elements of `indexes`, of which there must be one.
fn elements<T>(
    decoder: &mut Decoder<'_>,
    step: &Node,
    fields: Fields<'_>,
    what: &str,
    example: &str,
    element: impl FnMut(&mut Decoder<'_>, &Node) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(node) = fields.get("indexes") else {
        let message = format!("`{}` needs `indexes`", what.trim_end_matches(".indexes"));
        decoder.report(step.at, message, format!("name at least one: `{example}`"));
        return None;
    };
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        decoder.report(node.at, format!("`{what}` is empty"), format!("name at least one: `{example}`"));
        return None;
    }
    Some(decoder.list(node, what, example, element))
}

/// An index as the server takes it, with a name.
fn index(decoder: &mut Decoder<'_>, node: &Node) -> Option<Document> {
    const WHAT: &str = "createIndexes.indexes";
    let fields = decoder.entries(node, &format!("an element of {WHAT}"), CREATE);
    let field = |name: &str| fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node);
    let Some(key) = field("key") else {
        if matches!(node.value, Value::Map(_)) {
            let message = format!("an element of `{WHAT}` needs a `key`");
            decoder.report(node.at, message, format!("write the fields of the index: `{CREATE}`"));
        }
        return None;
    };
    let keys = keys(decoder, key, &format!("{WHAT}.key"))?;
    if is_of_id(&keys) {
        decoder.report(key.at, "every collection has the index on `_id`", "remove this one");
        return None;
    }
    let name = match field("name") {
        Some(node) => name(decoder, node, &format!("{WHAT}.name"))?,
        None => usual_name(&keys),
    };
    if name == "*" || name == "_id_" {
        let at = field("name").map_or(node.at, |node| node.at);
        decoder.report(at, format!("an index cannot have the name `{name}`"), "give it another, or none");
        return None;
    }
    let mut index = doc! { "key": keys, "name": name };
    for (key, value) in fields.iter().filter(|(key, _)| key.name != "key" && key.name != "name") {
        if key.name.contains('\0') {
            decoder.report(key.at, "an option's name has a NUL character", "remove it");
            return None;
        }
        index.insert(&key.name, filter::value(decoder, value)?);
    }
    Some(index)
}

/// Reads an index's name or key.
pub(super) fn hint(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<Hint> {
    match &node.value {
        Value::Text(_) => name(decoder, node, what).map(Hint::Name),
        Value::Map(_) => keys(decoder, node, what).map(Hint::Keys),
        _ => {
            decoder.wrong(node, what, "an index's name or key", format!("write `customer_1` or `{KEY}`"));
            None
        }
    }
}

fn name(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<String> {
    let name = decoder.text(node, what)?;
    if name.is_empty() || name.contains('\0') {
        let message = format!("`{what}` cannot be the name of an index");
        decoder.report(node.at, message, "write the name that `listIndexes` shows, e.g. `customer_1`");
        return None;
    }
    Some(name)
}

/// The key of an index: fields in their order, each with its direction or kind.
fn keys(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<Document> {
    let keys = filter::document(decoder, node, what, "the key of an index", KEY)?;
    if keys.is_empty() {
        decoder.report(node.at, format!("`{what}` has no field"), format!("write the key of an index, e.g. `{KEY}`"));
        return None;
    }
    for (field, direction) in &keys {
        let is_field = !field.is_empty() && (!field.starts_with('$') || field == "$**");
        let is_direction = match direction {
            Bson::Int32(number) => *number != 0,
            Bson::Int64(number) => *number != 0,
            Bson::Double(number) => *number != 0.0 && number.is_finite(),
            Bson::String(kind) => !kind.is_empty() && !kind.contains('\0'),
            _ => false,
        };
        if !(is_field && is_direction) {
            let message = format!("`{what}` cannot be the key of an index: `{field}: {direction}`");
            let remedy = format!("write fields with 1, -1 or a kind such as `hashed`, e.g. `{KEY}`");
            decoder.report(node.at, message, remedy);
            return None;
        }
    }
    Some(keys)
}

fn is_of_id(keys: &Document) -> bool {
    keys.len() == 1 && keys.get("_id").is_some_and(|direction| !matches!(direction, Bson::String(_)))
}

/// The name that the server's own shells give an index, e.g. `customer_1_createdAt_-1`.
fn usual_name(keys: &Document) -> String {
    let part = |(field, direction): (&String, &Bson)| match direction {
        Bson::String(kind) => format!("{field}_{kind}"),
        number => format!("{field}_{number}"),
    };
    keys.iter().map(part).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_without_a_name_gets_the_one_that_a_shell_would_give_it() {
        let keys = doc! { "customer": 1, "createdAt": -1, "address.city": "text", "big": 1_i64, "half": 1.0 };
        assert_eq!(usual_name(&keys), "customer_1_createdAt_-1_address.city_text_big_1_half_1");
    }
}
