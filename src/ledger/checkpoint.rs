//! Where the next attempt of a run resumes from.

use serde::{Deserialize, Serialize};

/// Where the next attempt resumes from: the program's own JSON, kept as text so that nothing in it is rounded. At most [`Checkpoint::MAX_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checkpoint(String);

impl Checkpoint {
    /// A checkpoint is a place, not a data set: it travels with every heartbeat and in an environment variable.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Wraps the JSON text of a checkpoint.
    ///
    /// # Errors
    /// Says why the text cannot be a checkpoint: it is not JSON, or over [`Self::MAX_BYTES`].
    pub fn new(json: String) -> Result<Self, String> {
        if json.len() > Self::MAX_BYTES {
            return Err(format!("a checkpoint has at most {} bytes, this one {}", Self::MAX_BYTES, json.len()));
        }
        serde_json::from_str::<serde::de::IgnoredAny>(&json)
            .map_err(|error| format!("a checkpoint is JSON: {error}"))?;
        Ok(Self(json))
    }

    /// Its JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}
