//! The field definitions of the Elastic Common Schema, and lines that must keep to them.

use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Version and fields, from Elastic's own package.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tool");
    let output = Command::new(script).arg("ecs-fields").output().expect("scripts/tool is there and can be run");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/tool ecs-fields; `scripts/tool provision` fetches it\n{told}");
    serde_json::from_slice(&output.stdout).unwrap()
});

/// The version of the schema.
pub fn version() -> &'static str {
    SCHEMA["version"].as_str().unwrap()
}

/// Reads a line, which must be one object with the fields that a logger has to print first, and none that the schema does not define so.
#[track_caller]
pub fn read(line: &str) -> Map<String, Value> {
    let object: Map<String, Value> = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let first: Vec<_> = object.keys().take(3).map(String::as_str).collect();
    assert_eq!(first, ["@timestamp", "log.level", "message"], "{line}");
    assert!(line.len() < 4096, "{} bytes", line.len());
    check("", &object);
    for name in ["ecs.version", "service.name", "event.dataset"] {
        assert!(object.contains_key(name), "no {name}: {line}");
    }
    object
}

/// Reads each line of a text.
#[track_caller]
pub fn read_all(text: &str) -> Vec<Map<String, Value>> {
    text.lines().map(read).collect()
}

#[track_caller]
fn check(prefix: &str, object: &Map<String, Value>) {
    for (key, value) in object {
        let name = format!("{prefix}{key}");
        let field = &SCHEMA["fields"][&name];
        // The schema leaves it to us what labels there are.
        let kind = if name.starts_with("labels.") { Some("keyword") } else { field["type"].as_str() };
        match (kind, value) {
            (None | Some("object"), Value::Object(inner)) => check(&format!("{name}."), inner),
            (None, _) => panic!("{name} is no field: {value}"),
            (Some(kind), Value::Array(values)) => {
                let is_array = field["normalize"].as_array().is_some_and(|notes| notes.contains(&"array".into()));
                assert!(is_array && values.iter().all(|value| is_of(kind, value)), "{name} is {kind}: {value}");
            }
            (Some(kind), value) => assert!(is_of(kind, value), "{name} is {kind}: {value}"),
        }
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "keyword" | "constant_keyword" | "wildcard" | "text" | "match_only_text" | "ip" => {
            value.as_str().is_some_and(|text| !text.chars().any(|c| c.is_control() && c != '\n'))
        }
        "date" => value.as_str().is_some_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok()),
        "long" => value.is_i64(),
        "float" | "scaled_float" => value.is_number(),
        "boolean" => value.is_boolean(),
        "flattened" | "nested" | "geo_point" => value.is_object(),
        other => panic!("a kind of field that this does not know: {other}"),
    }
}
