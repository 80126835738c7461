//! The progress protocol: what a program says to Stopover on its standard output.
//!
//! A line `::stopover {"done":1200,"total":50000,"message":"...","checkpoint":{...}}`; every key is optional, unknown ones are ignored.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ledger::Checkpoint;

/// What a protocol line starts with.
pub const MARKER: &[u8] = b"::stopover ";

/// A protocol line is held back until it is whole; a longer one is log. Room for the largest checkpoint and all other keys.
pub const MAX_LINE: usize = Checkpoint::MAX_BYTES + 16 * 1024;

/// What one line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Items done so far.
    pub done: Option<i64>,
    /// Items there are.
    pub total: Option<i64>,
    /// The status line, as the program wrote it.
    pub message: Option<String>,
    /// Where the next attempt resumes from.
    pub checkpoint: Option<Checkpoint>,
}

#[derive(Deserialize)]
struct Line<'a> {
    done: Option<i64>,
    total: Option<i64>,
    message: Option<String>,
    #[serde(borrow)]
    checkpoint: Option<&'a RawValue>,
}

/// Reads the text after [`MARKER`].
///
/// # Errors
/// Why it is not understood, for the operator.
pub fn parse(text: &[u8]) -> Result<Report, String> {
    let line: Line<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    Ok(Report {
        done: line.done,
        total: line.total,
        message: line.message,
        // The very text, not a value: no number in it may be rounded.
        checkpoint: line.checkpoint.map(|raw| Checkpoint::new(raw.get().to_owned())).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_optional_and_unknown_ones_are_ignored() {
        assert_eq!(parse(b"{}"), Ok(Report::default()));
        assert_eq!(
            parse(br#"{"done":3,"total":9,"message":"caf\u00e9","eta":[1,{"x":2}]}"#),
            Ok(Report { done: Some(3), total: Some(9), message: Some("café".to_owned()), checkpoint: None })
        );
    }

    #[test]
    fn a_checkpoint_keeps_its_very_text() {
        let report = parse(br#"{"checkpoint": {"at":12345678901234567890123, "x":1.10} }"#).unwrap();
        assert_eq!(report.checkpoint.unwrap().as_json(), r#"{"at":12345678901234567890123, "x":1.10}"#);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert!(parse(b"{\"done\":").is_err());
        assert!(parse(b"{\"done\":\"many\"}").is_err());
        assert!(parse(b"\xff").is_err());
        let large = format!(r#"{{"checkpoint":"{}"}}"#, "x".repeat(Checkpoint::MAX_BYTES));
        assert!(parse(large.as_bytes()).unwrap_err().contains("at most"));
    }
}
