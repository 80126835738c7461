//! The name of a run.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name of a run: a version 7 UUID, so that ids sort by the time of launch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Uuid);

impl RunId {
    /// A new id, unlike any other.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Its 16 bytes, in the order of its digits.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// Its digits without hyphens, backwards: people name a run by its last digits, and an index finds first ones.
    pub(super) fn reversed(self) -> String {
        self.0.simple().to_string().chars().rev().collect()
    }

    /// The range of [`Self::reversed`] texts of all ids that end in `suffix`, hyphens aside; `None` when no id can.
    pub(super) fn reversed_range(suffix: &str) -> Option<RangeInclusive<String>> {
        let mut first = String::new();
        for digit in suffix.chars().rev().filter(|&digit| digit != '-') {
            first.push(digit.is_ascii_hexdigit().then(|| digit.to_ascii_lowercase())?);
        }
        // No digit comes after `f`, so every longer text with this beginning is below it with a `g`.
        let last = format!("{first}g");
        (!first.is_empty()).then_some(first..=last)
    }

    /// Most runs that a search by suffix returns: enough to say that it is ambiguous.
    pub(super) const NAMESAKES: u32 = 10;

    /// The last eight digits, which differ between any two runs that a person will ever compare.
    #[must_use]
    pub fn short(self) -> String {
        let text = self.0.simple().to_string();
        text[text.len() - 8..].to_owned()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.hyphenated().to_string())
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

// Stored as text in both stores, so that a person can paste it into a query.
impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
