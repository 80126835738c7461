//! YAML as a tree in which every value knows its place, so that every mistake can be shown where it stands.
//!
//! Derived deserialisation would stop at the first mistake and forget places; a person who mends a file wants all of them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::problem::Position;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it begins (where it is used, for an alias).
    pub at: Position,
    /// What it is.
    pub value: Value,
}

/// What YAML can say.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The name of a field and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub at: Position,
    pub name: String,
}

/// Why a text is no YAML, and where.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub at: Position,
    pub reason: String,
}

impl Node {
    /// Reads one document. An empty text is [`Value::Null`].
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            emit_comments: false,
            // `no` is a country and `0755` or `2026_11` a name, not a boolean and numbers.
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            // A file of one mebibyte must not unfold into a tree of gigabytes.
            budget: serde_saphyr::budget! { max_depth: 48, flow_nesting_limit: 48, max_nodes: 100_000 },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
        };
        if text.trim().is_empty() {
            return Ok(Self { at: (1, 1), value: Value::Null });
        }
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let message = serde_saphyr::UserMessageFormatter;
            let reason = serde_saphyr::MessageFormatter::format_message(&message, error.without_snippet()).into_owned();
            SyntaxError { at: error.location().map_or((1, 1), position), reason }
        })
    }

    /// What it is, in words, for a sentence that says what it should have been.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Boolean(value) => format!("the boolean {value}"),
            Value::Integer(value) => format!("the number {value}"),
            Value::Number(value) => format!("the number {value}"),
            Value::Text(_) => "text".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// The parser reports no place as line 0, and the end of a text as the line after it: neither may leave the file.
fn position(location: Location) -> Position {
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    (narrow(location.line()), narrow(location.column()))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { at: position(referenced), value })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { at: position(referenced), name: value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Integer).map_err(|_| E::custom("the number does not fit in 64 bits"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map: Vec<(Key, Node)> = Vec::new();
        while let Some((key, value)) = fields.next_entry()? {
            map.push((key, value));
        }
        Ok(Value::Map(map))
    }
}
