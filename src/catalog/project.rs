//! `stopover.yaml`: where migrations are, and settings that belong to the project rather than to a place.

use std::path::Path;
use std::time::Duration;

use super::Problem;

/// What `stopover.yaml` says.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// Where migrations are found, in order.
    pub patterns: Vec<Pattern>,
    /// Settings that flags and environment override.
    pub settings: Settings,
}

/// One element of `catalog:`.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// A glob relative to the directory of `stopover.yaml`.
    pub files: String,
    /// The command that runs a found file; without one, `.yaml` files are manifests and all others executables.
    pub command: Option<Vec<String>>,
}

/// Settings of `stopover.yaml`.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `lease:`, see [`crate::config::Config::lease`].
    pub lease: Option<Duration>,
    /// `grace:`, see [`crate::config::Config::grace`].
    pub grace: Option<Duration>,
}

impl Project {
    /// Reads `stopover.yaml`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(_file: &Path) -> Result<Self, Vec<Problem>> {
        todo!()
    }
}
