//! What the child may answer.

use bson::{Bson, RawArrayBuf, RawDocumentBuf};
use serde::Deserialize;
use serde_json::Value;

use crate::engine::fault::cut;

/// What is to become of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// `"update": {"$set": ...}`: update operators.
    Operators(RawDocumentBuf),
    /// `"update": [{"$set": ...}, ...]`: an update pipeline.
    Pipeline(RawArrayBuf),
    /// No update, or one that is `null`, `{}` or `[]`: nothing.
    Leave,
    /// `"error": "why"`: the document is at fault.
    Refuse(String),
}

/// A line as it is printed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    n: u64,
    #[serde(default)]
    update: Option<Value>,
    #[serde(default)]
    error: Option<String>,
}

impl Answer {
    /// Understands a line that must answer the document with the number `n`.
    ///
    /// # Errors
    /// A sentence on what is wrong with it, with its beginning, and on what is expected.
    pub(super) fn read(line: &[u8], n: u64) -> Result<Self, String> {
        let strange = |what: &str| {
            format!(
                "the transform printed a line that {what}: {}; expected is the answer to document {n}: {{\"n\":{n}}} with an \"update\", with an \
                 \"error\" or alone, and one line for each document in their order; print anything else to standard error",
                beginning(line)
            )
        };
        let Line { n: answered, update, error } = serde_json::from_slice(line).map_err(|error| {
            strange(&if error.is_data() {
                format!("is no answer ({})", reason(&error))
            } else {
                "is no JSON".to_owned()
            })
        })?;
        if answered != n {
            return Err(strange("answers another document"));
        }
        let update = match (update, error) {
            (None, None) => return Ok(Self::Leave),
            (None, Some(why)) => return Ok(Self::Refuse(cut(&why))),
            (Some(_), Some(_)) => return Err(strange("has both an update and an error")),
            (Some(update), None) => update,
        };
        let update = Bson::try_from(update).map_err(|_| strange("has an update that is not Extended JSON"))?;
        match update {
            Bson::Document(update) if update.is_empty() => Ok(Self::Leave),
            Bson::Document(update) if update.keys().all(|key| key.starts_with('$')) => {
                RawDocumentBuf::try_from(&update)
                    .map(Self::Operators)
                    .map_err(|_| strange("has an update that BSON has no room for"))
            }
            Bson::Document(_) => Err(strange("has an update whose keys do not all start with `$`")),
            Bson::Array(stages) if stages.is_empty() => Ok(Self::Leave),
            Bson::Array(stages) => {
                let mut pipeline = RawArrayBuf::new();
                for stage in &stages {
                    let stage =
                        stage.as_document().ok_or_else(|| strange("has a list of something else than stages"))?;
                    let stage = RawDocumentBuf::try_from(stage);
                    pipeline.push(stage.map_err(|_| strange("has a pipeline that BSON has no room for"))?);
                }
                Ok(Self::Pipeline(pipeline))
            }
            _ => Err(strange("has something else than an update")),
        }
    }
}

/// Why a line is refused that no document waits for.
pub(super) fn unasked(line: &[u8]) -> String {
    format!(
        "the transform printed a line that no document had asked for: {}; it must answer each document with one line, and print anything else to \
         standard error",
        beginning(line)
    )
}

/// As much of a line as a person reads, quoted.
fn beginning(line: &[u8]) -> String {
    const MOST: usize = 120;
    let text = String::from_utf8_lossy(&line[..line.len().min(4 * MOST)]);
    let dots = if text.chars().count() > MOST { "…" } else { "" };
    format!("`{}{dots}`", cut(&text.chars().take(MOST).collect::<String>()))
}

/// What JSON has to say, without the place: a line is one line.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    cut(text.split(" at line ").next().unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{rawbson, rawdoc};

    #[test]
    fn every_kind_of_answer_is_understood() {
        let read = |line: &str| Answer::read(line.as_bytes(), 7).unwrap();
        assert_eq!(read(r#"{"n":7,"update":{"$set": {"a": 1}}}"#), Answer::Operators(rawdoc! { "$set": { "a": 1 } }));
        let stages = rawbson!([{ "$set": { "a": "$b" } }]);
        let pipeline = Answer::Pipeline(stages.as_array().unwrap().to_owned());
        assert_eq!(read(r#" { "update": [{"$set":{"a":"$b"}}], "n": 7 } "#), pipeline);
        for nothing in [r#"{"n":7}"#, r#"{"n":7,"update":null}"#, r#"{"n":7,"update":{}}"#, r#"{"n":7,"update":[]}"#] {
            assert_eq!(read(nothing), Answer::Leave);
        }
        assert_eq!(read(r#"{"n":7,"error":"no currency"}"#), Answer::Refuse("no currency".to_owned()));
    }

    #[test]
    fn a_line_that_is_no_answer_is_quoted_with_what_is_expected() {
        for (line, what) in [
            ("starting up", "is no JSON"),
            ("", "is no JSON"),
            (r#"{"n":7"#, "is no JSON"),
            (r#"{"n":7}{"n":8}"#, "is no JSON"),
            ("null", "is no answer"),
            ("{}", "missing field `n`"),
            (r#"{"$set":{"a":1}}"#, "unknown field `$set`"),
            (r#"{"update":{"$set":{"a":1}}}"#, "missing field `n`"),
            (r#"{"n":8}"#, "answers another document"),
            (r#"{"n":6,"update":{"$set":{"a":1}}}"#, "answers another document"),
            (r#"{"n":"7"}"#, "is no answer"),
            (r#"{"n":7,"n":7}"#, "duplicate field `n`"),
            (r#"{"n":7,"updates":{"$set":{"a":1}}}"#, "unknown field `updates`"),
            (r#"{"n":7,"error":1}"#, "is no answer"),
            (r#"{"n":7,"update":{"$set":{"a":1}},"error":"both"}"#, "both an update and an error"),
            (r#"{"n":7,"update":true}"#, "something else than an update"),
            (r#"{"n":7,"update":{"a":1}}"#, "do not all start with `$`"),
            (r#"{"n":7,"update":{"$oid":"0123456789abcdef01234567"}}"#, "something else than an update"),
            (r#"{"n":7,"update":[1]}"#, "something else than stages"),
        ] {
            let error = Answer::read(line.as_bytes(), 7).unwrap_err();
            assert!(error.contains(what) && error.contains(&format!("`{line}`")), "{error}");
            assert!(error.contains("the answer to document 7") && error.contains("standard error"), "{error}");
        }
        let long = Answer::read("x".repeat(1000).as_bytes(), 7).unwrap_err();
        assert!(long.len() < 450, "{long}");
        assert!(unasked(b"ready").contains("`ready`"));
    }
}
