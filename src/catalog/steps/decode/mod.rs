//! Steps from YAML: everything that can be said of them without asking a server.

mod backfill;
mod command;
mod copy;
mod hold;
mod indexes;
mod names;
mod pipeline;
mod query;
mod speed;

use super::{Holds, Speed, Step, Steps};
use crate::catalog::command::Commands;
use crate::catalog::decode::{Decoder, Fields};
use crate::catalog::yaml::{Key, Node, Value};

/// The fields of a manifest that say what it executes; exactly one of them is there. `command` is a program.
pub(in crate::catalog) const WORK: &[&str] = &["command", "steps", "backfill", "copy", "createIndexes", "dropIndexes"];
/// The fields of an element of `steps`; exactly one of them is there. `command` is one of the database.
const KINDS: &[&str] = &["backfill", "copy", "createIndexes", "dropIndexes", "command"];

/// Reads the steps of a manifest, which are the value of its field `key`: a list, or a single one. `None` only with a problem.
pub(in crate::catalog) fn decode(
    decoder: &mut Decoder<'_>,
    manifest: Fields<'_>,
    (key, node): (&Key, &Node),
    commands: &mut Commands<'_>,
) -> Option<Steps> {
    if let Some(params) = manifest.key("params") {
        let remedy = "remove them and write the values into the steps; work that must ask the operator is a program's, with `command`";
        decoder.report(params.at, "`params` are for a program: steps take none", remedy);
    }
    let speed = manifest
        .get("speed")
        .map_or(Some((Speed::default(), Steps::DEFAULT_BATCH)), |node| speed::decode(decoder, node));
    let holds = manifest.get("hold").map_or(Some(Holds::default()), |node| hold::decode(decoder, node));
    let steps = match key.name.as_str() {
        "steps" => list(decoder, node, commands),
        _ => one(decoder, key, node, commands).into_iter().collect(),
    };
    let (speed, batch) = speed?;
    let holds = holds?;
    // Every step that is missing has a problem of its own.
    (!steps.is_empty()).then_some(Steps { steps, speed, batch, holds })
}

fn list(decoder: &mut Decoder<'_>, node: &Node, commands: &mut Commands<'_>) -> Vec<Step> {
    const EXAMPLE: &str = "steps: [{ createIndexes: ... }, { backfill: ... }]";
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        decoder.report(node.at, "`steps` is empty", format!("write what is to be done, in order: `{EXAMPLE}`"));
    }
    decoder.list(node, "steps", EXAMPLE, |decoder, item| {
        let fields = decoder.fields(item, "a step", KINDS)?;
        let mut kinds = fields.present().filter(|(key, _)| KINDS.contains(&key.name.as_str()));
        let Some((key, node)) = kinds.next() else {
            // What is there instead was told to be unknown.
            if fields.present().next().is_none() {
                let remedy = "write one of `backfill`, `copy`, `createIndexes`, `dropIndexes` and `command`, and its fields below it, further in";
                decoder.report(item.at, "a step says nothing to do", remedy);
            }
            return None;
        };
        for (other, _) in kinds {
            let message = format!("a step does one thing, not `{}` and `{}`", key.name, other.name);
            decoder.report(other.at, message, "make it an element of its own: each begins with `-`");
        }
        one(decoder, key, node, commands)
    })
}

fn one(decoder: &mut Decoder<'_>, key: &Key, node: &Node, commands: &mut Commands<'_>) -> Option<Step> {
    match key.name.as_str() {
        "backfill" => backfill::decode(decoder, node, commands).map(Step::Backfill),
        "copy" => copy::decode(decoder, node).map(Step::Copy),
        "createIndexes" => indexes::create(decoder, node).map(Step::CreateIndexes),
        "dropIndexes" => indexes::drop(decoder, node).map(Step::DropIndexes),
        _ => command::decode(decoder, node).map(Step::Command),
    }
}

/// A field that is `true` or `false`, or not there.
fn flag(decoder: &mut Decoder<'_>, fields: Fields<'_>, what: &str, name: &str, default: bool) -> bool {
    fields.get(name).and_then(|node| decoder.boolean(node, &format!("{what}.{name}"))).unwrap_or(default)
}

/// How many documents may be left out; none unless it says so.
fn max_quarantined(decoder: &mut Decoder<'_>, fields: Fields<'_>, what: &str) -> u64 {
    let node = fields.get("maxQuarantined");
    node.and_then(|node| decoder.count(node, &format!("{what}.maxQuarantined"))).unwrap_or(0)
}

/// A percentage over 0 and up to 100: `15%`, or the bare number.
fn percent(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<f64> {
    let percent = match &node.value {
        Value::Text(text) => text.strip_suffix('%').and_then(|number| number.trim_end().parse().ok()),
        Value::Integer(number) => u8::try_from(*number).ok().map(f64::from),
        _ => None,
    };
    let percent = percent.filter(|&percent: &f64| percent > 0.0 && percent <= 100.0);
    if percent.is_none() {
        decoder.wrong(node, what, "a percentage", "write it as `50%`: more than 0, at most 100");
    }
    percent
}
