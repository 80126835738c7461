//! `backfill`: changes documents where they are.

use std::sync::Arc;

use bson::Document;

use super::pipeline::{self, Stage};
use super::{flag, indexes, max_quarantined, names, query};
use crate::catalog::command::Commands;
use crate::catalog::decode::{Decoder, Fields, nearest};
use crate::catalog::steps::{Backfill, Change};
use crate::catalog::yaml::{Node, Value};
use crate::catalog::{filter, manifest};

const KEYS: &[&str] = &[
    "database",
    "collection",
    "filter",
    "update",
    "transform",
    "arrayFilters",
    "hint",
    "idempotent",
    "atLeastOnce",
    "maxQuarantined",
];
const OPERATORS: &[&str] = &[
    "$set",
    "$unset",
    "$inc",
    "$mul",
    "$min",
    "$max",
    "$rename",
    "$currentDate",
    "$push",
    "$addToSet",
    "$pop",
    "$pull",
    "$pullAll",
    "$bit",
];
/// What the server allows in the pipeline of an update.
const STAGES: &[&str] = &["$addFields", "$set", "$project", "$unset", "$replaceRoot", "$replaceWith"];
const EXAMPLE: &str = "update: { $set: { settled: true } }";

/// Reads a backfill. `None` only with a problem.
pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node, commands: &mut Commands<'_>) -> Option<Backfill> {
    let fields = decoder.fields(node, "backfill", KEYS)?;
    let target = names::target(decoder, node, fields, "backfill");
    let filter = query::decode(decoder, fields, "backfill");
    let change = change(decoder, node, fields, commands);
    let hint = fields.get("hint").and_then(|node| indexes::hint(decoder, node, "backfill.hint"));
    let idempotent = flag(decoder, fields, "backfill", "idempotent", true);
    let at_least_once = flag(decoder, fields, "backfill", "atLeastOnce", false);
    if let (false, true, Some(key)) = (idempotent, at_least_once, fields.key("atLeastOnce")) {
        let message = "a backfill that is not idempotent cannot be done at least once";
        let remedy = "a batch that is repeated would change its documents twice: remove `atLeastOnce`, or make the filter exclude what was done and remove `idempotent: false`";
        decoder.report(key.at, message, remedy);
    }
    if let (false, Some(key)) = (idempotent, fields.key("hint")) {
        let message = "a backfill that is not idempotent takes no `hint`";
        let remedy = "remove `hint`: its set of documents is fixed at the start by the highest `_id`, so that they are walked by `_id`";
        decoder.report(key.at, message, remedy);
    }
    Some(Backfill {
        target: target?,
        filter: filter?,
        change: change?,
        hint,
        idempotent,
        at_least_once,
        max_quarantined: max_quarantined(decoder, fields, "backfill"),
    })
}

fn change(decoder: &mut Decoder<'_>, node: &Node, fields: Fields<'_>, commands: &mut Commands<'_>) -> Option<Change> {
    let change = match (fields.get("update"), fields.get("transform")) {
        (Some(update), None) => self::update(decoder, update, fields),
        (None, Some(transform)) => self::transform(decoder, transform, commands),
        (None, None) => {
            let remedy =
                format!("say what becomes of the documents: `{EXAMPLE}`, or `transform: {{ command: [...] }}`");
            decoder.report(node.at, "`backfill` needs an `update` or a `transform`", remedy);
            None
        }
        (Some(_), Some(_)) => {
            let at = fields.key("transform").map_or(node.at, |key| key.at);
            let remedy = "a program computes the change or the server does, not both: remove one";
            decoder.report(at, "`backfill` has an `update` and a `transform`", remedy);
            None
        }
    };
    if let (Some(key), Some(Change::Pipeline(_) | Change::Transform(_))) = (fields.key("arrayFilters"), &change) {
        let remedy = format!("remove them, or write the change with operators, e.g. `{EXAMPLE}`");
        decoder.report(key.at, "`backfill.arrayFilters` go only with update operators", remedy);
    }
    change
}

fn transform(decoder: &mut Decoder<'_>, node: &Node, commands: &mut Commands<'_>) -> Option<Change> {
    let fields = decoder.fields(node, "backfill.transform", &["command"])?;
    let Some(command) = fields.get("command") else {
        let remedy = "write the program that computes the change: `transform: { command: [node, transform.js] }`";
        decoder.report(node.at, "`backfill.transform` needs a `command`", remedy);
        return None;
    };
    let words = manifest::command(decoder, command, "backfill.transform.command");
    (!words.is_empty()).then(|| Change::Transform(Arc::new(commands.bind_work(words))))
}

fn update(decoder: &mut Decoder<'_>, node: &Node, fields: Fields<'_>) -> Option<Change> {
    match &node.value {
        Value::List(stages) if stages.is_empty() => changes_nothing(decoder, node),
        Value::Map(operators) if operators.is_empty() => changes_nothing(decoder, node),
        Value::List(_) => Some(Change::Pipeline(pipeline::decode(decoder, node, "backfill.update", check_stage))),
        Value::Map(_) => operators(decoder, node, fields),
        _ => {
            let remedy = format!("write operators, e.g. `{EXAMPLE}`, or a pipeline: `update: [{{ $set: ... }}]`");
            decoder.wrong(node, "backfill.update", "a mapping of operators or a pipeline", remedy);
            None
        }
    }
}

fn changes_nothing(decoder: &mut Decoder<'_>, node: &Node) -> Option<Change> {
    decoder.report(node.at, "`backfill.update` changes nothing", format!("write what it changes, e.g. `{EXAMPLE}`"));
    None
}

fn check_stage(decoder: &mut Decoder<'_>, stage: &Stage<'_>) {
    if !STAGES.contains(&stage.name) {
        let hint = nearest(stage.name, STAGES).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        let remedy = format!("{hint}allowed are {}", listed(STAGES));
        decoder.report(stage.at, format!("`{}` is no stage that an update allows", stage.name), remedy);
    }
    if let (true, Value::Map(set)) = (["$set", "$addFields", "$project"].contains(&stage.name), &stage.operand.value) {
        // To keep or leave out `_id` is no change: the server keeps it anyway.
        let choice =
            |node: &Node| stage.name == "$project" && matches!(node.value, Value::Boolean(_) | Value::Integer(_));
        for (key, _) in set.iter().filter(|(key, value)| is_id(&key.name) && !choice(value)) {
            decoder.report(key.at, SETS_ID, ID_REMEDY);
        }
    }
}

const SETS_ID: &str = "an update cannot change `_id`";
const ID_REMEDY: &str = "leave it as it is; documents with another `_id` are made by a `copy`";

fn is_id(field: &str) -> bool {
    field == "_id" || field.starts_with("_id.")
}

fn operators(decoder: &mut Decoder<'_>, node: &Node, fields: Fields<'_>) -> Option<Change> {
    let Value::Map(operators) = &node.value else { return None };
    if let Some((field, _)) = operators.iter().find(|(key, _)| !key.name.starts_with('$')) {
        let message = format!("`backfill.update` has the field `{}` where an operator must be", field.name);
        let remedy = "as it stands it would replace each document and lose its other fields; write `$set: { ... }` around the fields";
        decoder.report(field.at, message, remedy);
        return None;
    }
    for (operator, operand) in operators {
        let name = operator.name.as_str();
        if !OPERATORS.contains(&name) {
            let remedy = match name {
                "$setOnInsert" => "remove it: a backfill inserts nothing".to_owned(),
                name if STAGES.contains(&name) => format!("it is a stage of a pipeline: `update: [{{ {name}: ... }}]`"),
                name => {
                    let hint =
                        nearest(name, OPERATORS).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
                    format!("{hint}operators are {}", listed(OPERATORS))
                }
            };
            decoder.report(operator.at, format!("`{name}` is no operator of a backfill"), remedy);
            continue;
        }
        for (field, value) in decoder.entries(operand, &format!("backfill.update.{name}"), EXAMPLE) {
            let renames_to_id = name == "$rename" && matches!(&value.value, Value::Text(to) if is_id(to));
            if is_id(&field.name) || renames_to_id {
                decoder.report(field.at, SETS_ID, ID_REMEDY);
            }
        }
    }
    let array_filters = fields.get("arrayFilters").map(|node| array_filters(decoder, node)).unwrap_or_default();
    Some(Change::Operators {
        update: filter::document(decoder, node, "backfill.update", "a mapping of operators", EXAMPLE)?,
        array_filters,
    })
}

fn array_filters(decoder: &mut Decoder<'_>, node: &Node) -> Vec<Document> {
    const EXAMPLE: &str = "arrayFilters: [{ item.currency: { $exists: false } }]";
    let what = "backfill.arrayFilters";
    decoder
        .list(node, what, EXAMPLE, |decoder, item| filter::document(decoder, item, what, "a list of queries", EXAMPLE))
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
