//! What the child may answer.

use bson::{Bson, RawArrayBuf, RawDocumentBuf};

use crate::engine::fault::cut;
use crate::engine::json;

/// What is to become of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// `{"$set": ...}`: update operators.
    Operators(RawDocumentBuf),
    /// `[{"$set": ...}, ...]`: an update pipeline.
    Pipeline(RawArrayBuf),
    /// `null`, `{}` or `[]`: nothing.
    Leave,
    /// `{"error": "why"}`: the document is at fault.
    Refuse(String),
}

impl Answer {
    /// Understands a line.
    ///
    /// # Errors
    /// A sentence on what is wrong with it, with its beginning.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let strange = |what: &str| {
            let (limit, text) = (120, String::from_utf8_lossy(&line[..line.len().min(480)]));
            let dots = if text.chars().count() > limit { "…" } else { "" };
            let beginning = cut(&text.chars().take(limit).collect::<String>());
            format!(
                "the transform printed a line that is {what}: `{beginning}{dots}`; it must answer each document with an update, a pipeline, \
                 null or {{\"error\": \"why\"}}, and print anything else to standard error"
            )
        };
        match json::read(line).map_err(|_| strange("not Extended JSON"))? {
            Bson::Null => Ok(Self::Leave),
            Bson::Document(update) if update.is_empty() => Ok(Self::Leave),
            Bson::Array(stages) if stages.is_empty() => Ok(Self::Leave),
            Bson::Document(update) if update.keys().all(|key| key.starts_with('$')) => {
                RawDocumentBuf::try_from(&update)
                    .map(Self::Operators)
                    .map_err(|_| strange("an update that BSON has no room for"))
            }
            Bson::Document(update) if update.len() == 1 => match update.get("error") {
                Some(Bson::String(why)) => Ok(Self::Refuse(cut(why))),
                _ => Err(strange("no update, for its keys do not start with `$`")),
            },
            Bson::Document(_) => Err(strange("no update, for its keys do not start with `$`")),
            Bson::Array(stages) => {
                let mut pipeline = RawArrayBuf::new();
                for stage in &stages {
                    let stage = stage.as_document().ok_or_else(|| strange("a list of something else than stages"))?;
                    let stage = RawDocumentBuf::try_from(stage);
                    pipeline.push(stage.map_err(|_| strange("a pipeline that BSON has no room for"))?);
                }
                Ok(Self::Pipeline(pipeline))
            }
            _ => Err(strange("no answer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{rawbson, rawdoc};

    #[test]
    fn every_kind_of_answer_is_understood() {
        let read = |line: &str| Answer::read(line.as_bytes()).unwrap();
        assert_eq!(read(r#"{"$set": {"a": 1}}"#), Answer::Operators(rawdoc! { "$set": { "a": 1 } }));
        let stages = rawbson!([{ "$set": { "a": "$b" } }]);
        assert_eq!(read(r#"[{"$set":{"a":"$b"}}]"#), Answer::Pipeline(stages.as_array().unwrap().to_owned()));
        for nothing in ["null", "{}", "[]", " null "] {
            assert_eq!(read(nothing), Answer::Leave);
        }
        assert_eq!(read(r#"{"error":"no currency"}"#), Answer::Refuse("no currency".to_owned()));
    }

    #[test]
    fn a_line_that_is_no_answer_is_quoted_and_sent_to_standard_error() {
        for (line, what) in [
            ("starting up", "not Extended JSON"),
            ("", "not Extended JSON"),
            ("true", "no answer"),
            (r#"{"a":1}"#, "do not start with `$`"),
            (r#"{"error":1}"#, "do not start with `$`"),
            (r#"{"$set":{"a":1},"error":"both"}"#, "do not start with `$`"),
            (r#"{"$oid":"0123456789abcdef01234567"}"#, "no answer"),
            ("[1]", "something else than stages"),
        ] {
            let error = Answer::read(line.as_bytes()).unwrap_err();
            assert!(error.contains(what) && error.contains(&format!("`{line}`")), "{error}");
            assert!(error.contains("standard error"), "{error}");
        }
        let long = Answer::read("x".repeat(1000).as_bytes()).unwrap_err();
        assert!(long.len() < 400, "{long}");
    }
}
