//! Lines that a program's own logger has written in the schema: its fields stay, and ours are added where it says nothing.
//!
//! A logger that follows the schema says so by `ecs.version`. Any other JSON stays a text: its names mean something else, and would clash
//! with those of every other program in the same index.

use std::fmt::Write;

use chrono::DateTime;
use memchr::memmem;
use serde_json::{Map, Value};

use crate::events::Level;
use crate::logs::sanitise;

use super::{Fields, LONGEST};

/// How often the longest text of a line is cut before it is given up.
const CUTS: usize = 16;
/// A text shorter than this is not cut.
const SHORTEST: usize = 64;
/// The labels that are ours.
const OURS: &str = "stopover_";
/// Objects that we add to; a program for which one of them is something else does not follow the schema.
const SHARED: [&str; 11] = [
    "container",
    "event",
    "host",
    "labels",
    "log",
    "orchestrator",
    "process",
    "service",
    "span",
    "trace",
    "transaction",
];

/// The object of a line, if it is in the schema.
pub fn read(line: &[u8]) -> Option<Map<String, Value>> {
    let line = line.trim_ascii();
    if line.first() != Some(&b'{') || line.last() != Some(&b'}') || memmem::find(line, b"\"ecs").is_none() {
        return None;
    }
    let mut object = cleaned(serde_json::from_slice(line).ok()?);
    object.retain(|_, value| !value.is_null());
    let follows = text(&object, "ecs.version").is_some()
        && object.get("message").is_none_or(Value::is_string)
        && SHARED.iter().all(|name| object.get(*name).is_none_or(Value::is_object));
    follows.then_some(object)
}

/// The line with the fields of ours that it lacks; `None` when it cannot be one of at most [`LONGEST`] bytes. `time` and `level` hold where
/// the program names none.
pub fn merge(
    mut object: Map<String, Value>,
    time: &str,
    level: Level,
    sequence: u64,
    ours: [&Fields; 2],
) -> Option<String> {
    object.retain(|name, _| !name.strip_prefix("labels.").is_some_and(|label| label.starts_with(OURS)));
    if let Some(Value::Object(labels)) = object.get_mut("labels") {
        labels.retain(|label, _| !label.starts_with(OURS));
    }
    let time = match take(&mut object, "@timestamp") {
        Some(Value::String(its)) if DateTime::parse_from_rfc3339(&its).is_ok() => its,
        _ => time.to_owned(),
    };
    let level = match take(&mut object, "log.level") {
        Some(Value::String(its)) => its,
        _ => level.as_str().to_owned(),
    };
    let message = take(&mut object, "message").unwrap_or_else(|| String::new().into());
    let mut line = Map::new();
    line.insert("@timestamp".to_owned(), time.into());
    line.insert("log.level".to_owned(), level.into());
    line.insert("message".to_owned(), message);
    line.append(&mut object);
    // Writing to a string never fails.
    let mut rest = String::new();
    for (name, value) in ours.into_iter().flat_map(Fields::iter).filter(|(name, _)| is_missing(&line, name)) {
        let _ = write!(rest, ",\"{name}\":{value}");
    }
    if is_missing(&line, "event.sequence") {
        let _ = write!(rest, ",\"event.sequence\":{sequence}");
    }
    for _ in 0..CUTS {
        let mut text = serde_json::to_string(&line).ok()?;
        text.truncate(text.len() - 1);
        text.push_str(&rest);
        text.push_str("}\n");
        if text.len() <= LONGEST {
            return Some(text);
        }
        let is_first = !line.contains_key("labels.stopover_cut");
        line.insert("labels.stopover_cut".to_owned(), "true".into());
        // The label is new in the next round only.
        let excess = text.len() - LONGEST + if is_first { ",\"labels.stopover_cut\":\"true\"".len() } else { 0 };
        shorten(longest(line.values_mut())?, excess)?;
    }
    None
}

/// Whether ours is to be added. What says where in a trace the line belongs, and which build of which service it is of, is either all the
/// program's or all ours.
fn is_missing(line: &Map<String, Value>, name: &str) -> bool {
    let says = |name: &str| look(line, name).is_some();
    match name {
        "transaction.id" | "span.id" => !["trace.id", "transaction.id", "span.id"].into_iter().any(says),
        "service.version" => !says("service.name") && !says(name),
        name => !says(name),
    }
}

/// The value of a dotted name, however much of it is written as nested objects.
fn look<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        name.match_indices('.').find_map(|(at, _)| look(object.get(&name[..at])?.as_object()?, &name[at + 1..]))
    })
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    look(object, name)?.as_str()
}

/// Takes the value of a name out that is written dotted, or nested once.
fn take(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let nested = name.split_once('.').and_then(|(outer, inner)| {
        let parent = object.get_mut(outer)?.as_object_mut()?;
        let value = parent.shift_remove(inner);
        if parent.is_empty() {
            object.shift_remove(outer);
        }
        value
    });
    object.shift_remove(name).or(nested)
}

/// Without control characters in names and texts; a text's lines, such as those of a stack, stay lines.
fn cleaned(object: Map<String, Value>) -> Map<String, Value> {
    object.into_iter().map(|(name, value)| (sanitise::plain(name.as_bytes()), clean(value))).collect()
}

fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => {
            text.split('\n').map(|line| sanitise::plain(line.as_bytes())).collect::<Vec<_>>().join("\n").into()
        }
        Value::Array(values) => values.into_iter().map(clean).collect(),
        Value::Object(object) => cleaned(object).into(),
        other => other,
    }
}

/// The longest text there is, as it is encoded.
fn longest<'a>(values: impl Iterator<Item = &'a mut Value>) -> Option<&'a mut String> {
    let texts = values.filter_map(|value| match value {
        Value::String(text) => Some(text),
        Value::Array(values) => longest(values.iter_mut()),
        Value::Object(object) => longest(object.values_mut()),
        _ => None,
    });
    texts.max_by_key(|text| encoded(text))
}

fn encoded(text: &str) -> usize {
    text.bytes().map(|byte| if matches!(byte, b'"' | b'\\' | b'\n') { 2 } else { 1 }).sum()
}

/// Cuts a text by about `excess` encoded bytes; `None` when that would leave too little of it.
fn shorten(text: &mut String, excess: usize) -> Option<()> {
    const MARK: &str = "…";
    let length = encoded(text);
    if length <= SHORTEST {
        return None;
    }
    let target = length.saturating_sub(excess + MARK.len()).max(SHORTEST - MARK.len());
    let mut size = 0;
    let end = text.char_indices().find_map(|(at, character)| {
        size += if matches!(character, '"' | '\\' | '\n') { 2 } else { character.len_utf8() };
        (size > target).then_some(at)
    });
    text.truncate(end.unwrap_or(text.len()));
    text.push_str(MARK);
    Some(())
}
