//! Aggregation pipelines: lists of stages, of which a step allows some.

use bson::Document;

use crate::catalog::decode::Decoder;
use crate::catalog::filter;
use crate::catalog::problem::Position;
use crate::catalog::yaml::{Key, Node, Value};

/// A stage where it is written.
pub(super) struct Stage<'n> {
    /// Where it begins.
    pub at: Position,
    /// With its `$`.
    pub name: &'n str,
    /// What it is given.
    pub operand: &'n Node,
}

/// Reads a pipeline; `check` says what else is wrong with a stage. Empty with a problem when it is none.
pub(super) fn decode(
    decoder: &mut Decoder<'_>,
    node: &Node,
    what: &str,
    mut check: impl FnMut(&mut Decoder<'_>, &Stage<'_>),
) -> Vec<Document> {
    let example = format!("{}: [{{ $set: {{ settled: true }} }}]", what.rsplit('.').next().unwrap_or(what));
    decoder.list(node, what, &example, |decoder, item| {
        let stage = match &item.value {
            Value::Map(fields) => match &fields[..] {
                [(Key { at, name }, operand)] if name.starts_with('$') => Some(Stage { at: *at, name, operand }),
                _ => None,
            },
            _ => None,
        };
        let Some(stage) = stage else {
            let message = format!("a stage of `{what}` must be a mapping with one key that begins with `$`");
            decoder.report(item.at, message, format!("write each stage as an element of its own: `{example}`"));
            return None;
        };
        check(decoder, &stage);
        filter::document(decoder, item, what, "a pipeline", &example)
    })
}
