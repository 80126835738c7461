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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(name: &str, kind: ParamKind) -> ParamSpec {
        ParamSpec { name: name.into(), kind, default: None, required: false, secret: false, description: String::new() }
    }

    fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn region() -> ParamSpec {
        ParamSpec {
            default: Some(ParamValue::Plain("BR".into())),
            ..spec("region", ParamKind::Choice(vec!["BR".into(), "MX".into()]))
        }
    }

    #[test]
    fn what_is_given_replaces_the_default_and_the_rest_stays_absent() {
        let specs = [region(), spec("batch", ParamKind::Integer)];
        let resolve = |pairs: &[_]| Params::resolve(&specs, &given(pairs)).unwrap();
        assert_eq!(resolve(&[]), Params(vec![("region".into(), ParamValue::Plain("BR".into()))]));
        let all = resolve(&[("batch", "+050"), ("region", "MX")]);
        let shown: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(shown, [("region", "MX"), ("batch", "50")], "in the order of the manifest, in one form");
    }

    #[test]
    fn a_wrong_param_is_refused_with_what_it_takes() {
        let required = ParamSpec { required: true, ..spec("since", ParamKind::String) };
        let specs = [region(), spec("batch", ParamKind::Integer), spec("dry", ParamKind::Boolean), required];
        let refuse = |pairs: &[_]| Params::resolve(&specs, &given(pairs)).unwrap_err().to_string();
        assert_eq!(refuse(&[("regoin", "MX")]), "it has no param `regoin`; it has region, batch, dry, since");
        assert_eq!(refuse(&[("dry", "true"), ("dry", "true")]), "param `dry` was given twice");
        assert_eq!(refuse(&[("region", "AR")]), "param `region` takes one of BR, MX, not \"AR\"");
        assert_eq!(refuse(&[("batch", "many")]), "param `batch` takes a whole number, not \"many\"");
        assert_eq!(refuse(&[("dry", "yes")]), "param `dry` takes `true` or `false`, not \"yes\"");
        assert_eq!(refuse(&[]), "param `since` is required: --param since=...");
        assert_eq!(refuse(&[("since", "")]), refuse(&[]), "an unset shell variable is no value");
        assert_eq!(
            Params::resolve(&[], &given(&[("a", "b")])).unwrap_err().to_string(),
            "it has no param `a`; it has none"
        );
    }

    #[test]
    fn a_secret_is_never_repeated() {
        let token = ParamSpec { secret: true, ..spec("token", ParamKind::Integer) };
        let error = Params::resolve(std::slice::from_ref(&token), &given(&[("token", "hunter2")])).unwrap_err();
        assert_eq!(error.to_string(), "param `token` takes a whole number, not ***");
        let params = Params::resolve(&[token], &given(&[("token", "1234")])).unwrap();
        assert!(!format!("{params:?}").contains("1234"));
        assert_eq!(params.iter().next().unwrap().1.expose(), "1234");
    }

    fn any_spec() -> impl Strategy<Value = ParamSpec> {
        let kind = prop_oneof![
            Just(ParamKind::String),
            Just(ParamKind::Integer),
            Just(ParamKind::Boolean),
            Just(ParamKind::Choice(vec!["BR".into(), "MX".into()])),
        ];
        ("[a-c]", kind, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(name, kind, required, secret, default)| {
                let mut spec = ParamSpec { required, secret, ..spec(&name, kind) };
                let text = ["true", "7", "BR"].into_iter().find_map(|text| spec.read(text).ok());
                spec.default = text.filter(|_| default);
                spec
            },
        )
    }

    fn any_given() -> impl Strategy<Value = Vec<(String, String)>> {
        let value = prop_oneof![Just("true".to_owned()), Just("BR".to_owned()), "[-+0-9]{0,21}", ".{0,8}"];
        prop::collection::vec(("[a-d]", value), 0..4)
    }

    proptest! {
        #[test]
        fn what_resolves_is_declared_complete_of_its_kind_and_as_secret_as_declared(
            specs in prop::collection::vec(any_spec(), 0..4), given in any_given(),
        ) {
            let mut specs = specs;
            specs.sort_by(|a, b| a.name.cmp(&b.name));
            specs.dedup_by(|a, b| a.name == b.name);
            let Ok(params) = Params::resolve(&specs, &given) else { return Ok(()) };
            for (name, _) in &given {
                prop_assert!(specs.iter().any(|spec| spec.name == *name));
            }
            for spec in &specs {
                let value = params.iter().find(|(name, _)| **name == spec.name).map(|(_, value)| value);
                prop_assert!(value.is_some() || !spec.required);
                prop_assert!(value.is_some() || spec.default.is_none());
                if let Some(value) = value {
                    prop_assert_eq!(value.is_secret(), spec.secret);
                    let normal = spec.kind.normalise(value.expose());
                    prop_assert_eq!(normal.as_deref(), Some(value.expose()));
                }
            }
        }

        #[test]
        fn what_was_resolved_resolves_again_to_the_same(spec in any_spec(), text in "[-+0-9]{1,6}|true|BR|.{0,8}") {
            let once = Params::resolve(std::slice::from_ref(&spec), &[(spec.name.clone(), text)]);
            if let Ok(once) = once {
                let again: Vec<_> = once.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
                prop_assert_eq!(Params::resolve(&[spec], &again).unwrap(), once);
            }
        }

        #[test]
        fn no_error_repeats_a_secret(spec in any_spec(), text in "[a-z]{12}") {
            let spec = ParamSpec { secret: true, ..spec };
            if let Err(error) = Params::resolve(std::slice::from_ref(&spec), &[(spec.name.clone(), text.clone())]) {
                prop_assert!(!error.to_string().contains(&text));
                let debug = format!("{error:?}");
                prop_assert!(!debug.contains(&text));
            }
        }
    }
}
