//! What is wrong with a file of the catalog, and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// A mistake in a file: where it is, the text as it stands there, what is wrong and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Relative to the catalog's root.
    pub file: PathBuf,
    /// Line and column, both from 1, where the mistake has a place within the file.
    pub position: Option<(u32, u32)>,
    /// The line as it stands in the file, where there is one.
    pub text: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// `file:line:column: message: remedy` in one line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}; {}", self.message, self.remedy)
    }
}
