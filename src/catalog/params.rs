//! What an operator may choose at launch.

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
    /// Checks what was given against what is declared, and fills in defaults.
    ///
    /// # Errors
    /// See [`ParamError`].
    pub fn resolve(_specs: &[ParamSpec], _given: &[(String, String)]) -> Result<Self, ParamError> {
        todo!()
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
