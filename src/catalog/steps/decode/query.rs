//! Filters that select the documents of a walk.
//!
//! The documents are walked in the order of `_id` and selected range by range, so that a filter is combined with a condition on `_id`.

use bson::Document;

use crate::catalog::decode::{Decoder, Fields};
use crate::catalog::filter;
use crate::catalog::yaml::{Node, Value};

/// Reads the `filter` of a step that is `what`; none selects everything.
pub(super) fn decode(decoder: &mut Decoder<'_>, fields: Fields<'_>, what: &str) -> Option<Document> {
    let Some(node) = fields.get("filter") else {
        return Some(Document::new());
    };
    refuse_unwalkable(decoder, node);
    filter::decode(decoder, node, &format!("{what}.filter"))
}

fn refuse_unwalkable(decoder: &mut Decoder<'_>, node: &Node) {
    let Value::Map(conditions) = &node.value else { return };
    for (key, condition) in conditions {
        match (key.name.as_str(), &condition.value) {
            ("$text", _) => {
                let remedy = "write a condition on fields; `$regex` finds words, too";
                decoder.report(key.at, "`$text` cannot be combined with a walk in the order of `_id`", remedy);
            }
            ("$where", _) => {
                let remedy = "write the condition with `$expr`, or compute it in a `transform`";
                decoder.report(key.at, "`$where` cannot be combined with a walk in the order of `_id`", remedy);
            }
            ("$and" | "$or" | "$nor", Value::List(branches)) => {
                for branch in branches {
                    refuse_unwalkable(decoder, branch);
                }
            }
            (_, Value::Map(operators)) => {
                for (operator, _) in operators.iter().filter(|(key, _)| matches!(&*key.name, "$near" | "$nearSphere")) {
                    let message = format!("`{}` cannot be combined with a walk in the order of `_id`", operator.name);
                    let remedy = "it sorts by distance; select with `$geoWithin` and `$centerSphere`";
                    decoder.report(operator.at, message, remedy);
                }
            }
            _ => {}
        }
    }
}
