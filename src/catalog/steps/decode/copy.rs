//! `copy`: writes documents of another shape into another collection.

use super::pipeline::{self, Stage};
use super::{max_quarantined, names, query};
use crate::catalog::decode::{Decoder, Fields, nearest};
use crate::catalog::steps::{Copy, Target};
use crate::catalog::yaml::{Node, Value};

/// Stages that make of each document what they make of it alone.
const STAGES: &[&str] = &[
    "$addFields",
    "$set",
    "$project",
    "$unset",
    "$replaceRoot",
    "$replaceWith",
    "$match",
    "$unwind",
    "$redact",
    "$lookup",
    "$graphLookup",
];
/// Stages whose result depends on several documents. The pipeline sees a batch, so that it would depend on the batch.
const ACROSS: &[&str] = &[
    "$bucket",
    "$bucketAuto",
    "$count",
    "$densify",
    "$facet",
    "$fill",
    "$group",
    "$limit",
    "$sample",
    "$setWindowFields",
    "$skip",
    "$sort",
    "$sortByCount",
    "$unionWith",
];

/// Reads a copy. `None` only with a problem.
pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<Copy> {
    let keys = ["database", "collection", "filter", "pipeline", "into", "key", "maxQuarantined"];
    let fields = decoder.fields(node, "copy", &keys)?;
    let source = names::target(decoder, node, fields, "copy");
    let filter = query::decode(decoder, fields, "copy");
    let pipeline = fields
        .get("pipeline")
        .map(|node| pipeline::decode(decoder, node, "copy.pipeline", check_stage))
        .unwrap_or_default();
    let into = into(decoder, node, fields, source.as_ref());
    let key = key(decoder, fields);
    Some(Copy {
        source: source?,
        filter: filter?,
        pipeline,
        into: into?,
        key: key?,
        max_quarantined: max_quarantined(decoder, fields, "copy"),
    })
}

fn into(decoder: &mut Decoder<'_>, node: &Node, fields: Fields<'_>, source: Option<&Target>) -> Option<Target> {
    let Some(into) = fields.get("into") else {
        decoder.report(node.at, "`copy` needs `into`", "say where it writes: `into: { collection: charges_v2 }`");
        return None;
    };
    let inner = decoder.fields(into, "copy.into", &["database", "collection"])?;
    let target = names::target(decoder, into, inner, "copy.into")?;
    if source == Some(&target) {
        let remedy = "name another collection; documents are changed where they are by a `backfill`";
        decoder.report(into.at, "`copy` would write into the collection that it reads", remedy);
        return None;
    }
    Some(target)
}

fn check_stage(decoder: &mut Decoder<'_>, stage: &Stage<'_>) {
    if STAGES.contains(&stage.name) {
        return;
    }
    let message = format!("`{}` is no stage that a copy allows", stage.name);
    let remedy = match stage.name {
        "$out" | "$merge" => "remove it: `into` says where the documents go, and `key` which of them are replaced".to_owned(),
        name if ACROSS.contains(&name) => {
            "it looks at several documents, but the pipeline sees one batch of them; a program may do this, with `command`".to_owned()
        }
        name => {
            let hint = nearest(name, STAGES).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            let list = STAGES.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            format!("{hint}allowed are {list}")
        }
    };
    decoder.report(stage.at, message, remedy);
}

/// The fields by which a document of the target is found again.
fn key(decoder: &mut Decoder<'_>, fields: Fields<'_>) -> Option<Vec<String>> {
    const EXAMPLE: &str = "key: [customer, month]";
    let Some(node) = fields.get("key") else {
        return Some(vec!["_id".to_owned()]);
    };
    let key = match &node.value {
        Value::Text(_) => Vec::from_iter(path(decoder, node)),
        Value::List(paths) if paths.is_empty() => {
            decoder.report(node.at, "`copy.key` is empty", format!("name at least one field, e.g. `{EXAMPLE}`"));
            return None;
        }
        _ => decoder.list(node, "copy.key", EXAMPLE, path),
    };
    if let Some(twice) = key.iter().enumerate().find_map(|(index, path)| key[..index].contains(path).then_some(path)) {
        decoder.report(node.at, format!("`copy.key` has the field `{twice}` twice"), "remove one of them");
    }
    Some(key)
}

fn path(decoder: &mut Decoder<'_>, node: &Node) -> Option<String> {
    let path = decoder.text(node, "copy.key")?;
    if path.contains('\0') || path.split('.').any(|name| name.is_empty() || name.starts_with('$')) {
        let remedy = "write the path of a field, e.g. `customer` or `address.country`";
        decoder.report(node.at, "`copy.key` has a path that no field can have", remedy);
        return None;
    }
    Some(path)
}
