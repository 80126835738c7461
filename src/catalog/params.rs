//! What an operator may choose at launch.

use std::fmt;

use super::decode::Decoder;
use super::yaml::{Key, Node, Value};
use crate::secret::{MASK, Secret};

/// A param that a manifest declares.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// Its name; the program sees `STOPOVER_PARAM_<NAME>` in upper case.
    pub name: String,
    /// What values it takes.
    pub kind: ParamKind,
    /// The value when none is given.
    pub default: Option<ParamValue>,
    /// Whether a launch without a value is refused; a param with neither default nor `required` may be absent.
    pub required: bool,
    /// Whether its value is masked everywhere.
    pub secret: bool,
    /// For people.
    pub description: String,
}

impl ParamSpec {
    /// Reads a value that was given as text.
    fn read(&self, text: &str) -> Result<ParamValue, ParamError> {
        match self.kind.normalise(text) {
            Some(text) if self.secret => Ok(ParamValue::Secret(Secret::new(text))),
            Some(text) => Ok(ParamValue::Plain(text)),
            None => Err(ParamError::Wrong {
                name: self.name.clone(),
                expected: self.kind.to_string(),
                value: if self.secret { MASK.to_owned() } else { format!("{text:?}") },
            }),
        }
    }
}

/// The values that a param takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Any text.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
}

impl ParamKind {
    /// The text in the one form in which a program gets it; `None` when it is none of these values.
    fn normalise(&self, text: &str) -> Option<String> {
        match self {
            // An environment variable cannot hold a NUL.
            Self::String => (!text.contains('\0')).then(|| text.to_owned()),
            Self::Integer => text.parse::<i64>().ok().map(|number| number.to_string()),
            Self::Boolean => matches!(text, "true" | "false").then(|| text.to_owned()),
            Self::Choice(choices) => choices.iter().find(|choice| *choice == text).cloned(),
        }
    }
}

/// What it takes, in words.
impl fmt::Display for ParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("text"),
            Self::Integer => f.write_str("a whole number"),
            Self::Boolean => f.write_str("`true` or `false`"),
            Self::Choice(choices) => write!(f, "one of {}", choices.join(", ")),
        }
    }
}

/// The value of a param, as text; it prints as a mask when it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamValue {
    /// May be shown.
    Plain(String),
    /// May not.
    Secret(Secret),
}

impl ParamValue {
    /// What may be shown and stored.
    #[must_use]
    pub fn display(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(_) => MASK,
        }
    }

    /// The value itself, for the program.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }

    /// Whether it is masked.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }

    /// The secret, if it is one.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(secret) => Some(secret),
        }
    }
}

/// Params with their values, in the manifest's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, ParamValue)>);

impl Params {
    /// Checks what was given against what is declared, and fills in defaults. A required param that is given empty counts as
    /// missing: most likely a shell variable was not set.
    ///
    /// # Errors
    /// See [`ParamError`].
    pub fn resolve(specs: &[ParamSpec], given: &[(String, String)]) -> Result<Self, ParamError> {
        for (index, (name, _)) in given.iter().enumerate() {
            if !specs.iter().any(|spec| spec.name == *name) {
                let known: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(ParamError::Unknown { name: name.clone(), known });
            }
            if given[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(ParamError::Twice { name: name.clone() });
            }
        }
        let mut params = Vec::with_capacity(specs.len());
        for spec in specs {
            let text = given.iter().find(|(name, _)| *name == spec.name).map(|(_, text)| text);
            let value = match text {
                Some(text) if !(text.is_empty() && spec.required) => Some(spec.read(text)?),
                _ => spec.default.clone(),
            };
            match value {
                Some(value) => params.push((spec.name.clone(), value)),
                None if spec.required => return Err(ParamError::Missing { name: spec.name.clone() }),
                None => {}
            }
        }
        Ok(Self(params))
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &ParamValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

/// What is wrong with the params of a launch. No text repeats a secret's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// The manifest declares none of that name.
    #[error("it has no param `{name}`; it has {known}")]
    Unknown {
        /// What was given.
        name: String,
        /// What there is, or `none`.
        known: String,
    },
    /// It was given more than once.
    #[error("param `{name}` was given twice")]
    Twice {
        /// Which.
        name: String,
    },
    /// It has no value.
    #[error("param `{name}` is required: --param {name}=...")]
    Missing {
        /// Which.
        name: String,
    },
    /// Its value is of the wrong kind.
    #[error("param `{name}` takes {expected}, not {value}")]
    Wrong {
        /// Which.
        name: String,
        /// What it takes.
        expected: String,
        /// What was given, quoted; the mask when it is secret.
        value: String,
    },
    /// A resume keeps the params of its launch.
    #[error("param `{name}` was fixed when the run was launched; a resume takes only secret params again")]
    FixedAtLaunch {
        /// Which.
        name: String,
    },
    /// A resume needs a secret again, which the ledger does not keep.
    #[error("param `{name}` is secret and was not stored; give it again: --param {name}=...")]
    SecretNotStored {
        /// Which.
        name: String,
    },
}

const KEYS: &[&str] = &["type", "default", "required", "secret", "choices", "description"];
const TYPES: &[&str] = &["string", "integer", "boolean", "choice"];

/// Reads the `params` of a manifest.
pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Vec<ParamSpec> {
    let mut specs: Vec<ParamSpec> = Vec::new();
    for (key, node) in decoder.entries(node, "params", "params: { region: { choices: [BR, MX] } }") {
        if !is_identifier(&key.name) {
            let message = format!("a param cannot be named `{}`", key.name);
            decoder.report(
                key.at,
                message,
                "use letters, digits and `_`, starting with a letter, at most 64: it becomes a variable's name",
            );
        }
        if let Some(twin) = specs.iter().find(|spec| spec.name.eq_ignore_ascii_case(&key.name)) {
            let variable = key.name.to_uppercase();
            let message = format!("params `{}` and `{}` would both be STOPOVER_PARAM_{variable}", twin.name, key.name);
            decoder.report(key.at, message, "rename one of them");
        }
        specs.extend(decode_one(decoder, key, node));
    }
    specs
}

fn is_identifier(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn decode_one(decoder: &mut Decoder<'_>, key: &Key, node: &Node) -> Option<ParamSpec> {
    let name = &key.name;
    let spec = ParamSpec {
        name: name.clone(),
        kind: ParamKind::String,
        default: None,
        required: false,
        secret: false,
        description: String::new(),
    };
    if matches!(node.value, Value::Null) {
        return Some(spec);
    }
    let fields = decoder.fields(node, &format!("params.{name}"), KEYS)?;
    let flag = |decoder: &mut Decoder<'_>, field: &str| {
        fields.get(field).and_then(|node| decoder.boolean(node, &format!("params.{name}.{field}"))).unwrap_or(false)
    };
    let required = flag(decoder, "required");
    let secret = flag(decoder, "secret");
    let text = |decoder: &mut Decoder<'_>, field: &str| {
        fields.get(field).and_then(|node| decoder.text(node, &format!("params.{name}.{field}")))
    };
    let description = text(decoder, "description").unwrap_or_default();
    let word = text(decoder, "type");
    let choices = fields.get("choices").map(|node| decode_choices(decoder, node, name));
    if let (true, Some(node)) = (secret, fields.get("choices")) {
        let message = format!("param `{name}` is secret, but its choices are not");
        decoder.report(node.at, message, "remove `choices` or `secret`");
    }
    let kind = match (word.as_deref(), choices) {
        (None | Some("choice"), Some(choices)) => ParamKind::Choice(choices),
        (None | Some("string"), None) => ParamKind::String,
        (Some("integer"), None) => ParamKind::Integer,
        (Some("boolean"), None) => ParamKind::Boolean,
        (Some("choice"), None) => {
            decoder.report(key.at, format!("param `{name}` is a choice of nothing"), "add `choices: [...]`");
            return None;
        }
        (Some(word), choices) => {
            let at = fields.get("type").map_or(key.at, |node| node.at);
            if TYPES.contains(&word) && choices.is_some() {
                let message = format!("param `{name}` has choices, so it cannot be of type `{word}`");
                decoder.report(at, message, "remove `type`, or make it `choice`");
            } else {
                let message = format!("`{word}` is no type of a param");
                decoder.report(at, message, "use `string`, `integer`, `boolean` or `choice`");
            }
            return None;
        }
    };
    let mut spec = ParamSpec { kind, required, secret, description, ..spec };
    if let Some(node) = fields.get("default") {
        spec.default = decode_default(decoder, &spec, node);
        if required {
            let message = format!("param `{name}` is required, so its default is never used");
            decoder.report(node.at, message, "remove `default` or `required`");
        }
    }
    Some(spec)
}

fn decode_choices(decoder: &mut Decoder<'_>, node: &Node, name: &str) -> Vec<String> {
    let what = format!("params.{name}.choices");
    let choices = decoder.list(node, &what, "choices: [BR, MX]", |decoder, item| decoder.text(item, &what));
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        decoder.report(node.at, format!("`{what}` is empty"), "write what may be chosen, e.g. `[BR, MX]`");
    }
    choices
}

fn decode_default(decoder: &mut Decoder<'_>, spec: &ParamSpec, node: &Node) -> Option<ParamValue> {
    let text = match (&spec.kind, &node.value) {
        (ParamKind::String | ParamKind::Choice(_), Value::Text(text)) => Some(text.clone()),
        (ParamKind::Integer, Value::Integer(number)) => Some(number.to_string()),
        (ParamKind::Boolean, Value::Boolean(value)) => Some(value.to_string()),
        _ => None,
    };
    if let Some(value) = text.and_then(|text| spec.read(&text).ok()) {
        return Some(value);
    }
    let remedy = match (&spec.kind, &node.value) {
        (ParamKind::String, Value::Integer(_)) => "put it in quotes, or add `type: integer`".to_owned(),
        (ParamKind::String, Value::Boolean(_)) => "put it in quotes, or add `type: boolean`".to_owned(),
        (ParamKind::Integer | ParamKind::Boolean, Value::Text(_)) => format!("write {} without quotes", spec.kind),
        (kind, _) => format!("write {kind}"),
    };
    let given = match &node.value {
        Value::Text(text) if !spec.secret => format!("`{text}`"),
        Value::Text(_) => "this text".to_owned(),
        _ if spec.secret => "a value of another type".to_owned(),
        _ => node.describe(),
    };
    decoder.report(node.at, format!("the default of param `{}` must be {}, not {given}", spec.name, spec.kind), remedy);
    None
}
