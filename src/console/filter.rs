//! Which migrations are shown: every word of the filter must be found somewhere in a migration's own words.

use crate::catalog::{Entry, MigrationId};
use crate::ledger::MigrationState;

/// A filter as it was typed, ready to be applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    tokens: Vec<String>,
}

impl Filter {
    /// Splits what was typed into words; upper and lower case are the same.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { tokens: text.split_whitespace().map(str::to_lowercase).collect() }
    }

    /// Whether it lets everything pass.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether id, state, description, owner and tags together hold every word.
    #[must_use]
    pub fn matches(&self, id: &MigrationId, state: MigrationState, entry: Option<&Entry>) -> bool {
        if self.is_empty() {
            return true;
        }
        let mut words = vec![id.as_str().to_lowercase(), state.word().to_owned()];
        if let Some(Entry::Ready(migration)) = entry {
            words.push(migration.description.to_lowercase());
            words.extend(migration.owner.iter().map(|owner| owner.to_lowercase()));
            words.extend(migration.tags.iter().map(|tag| tag.to_lowercase()));
        }
        self.tokens.iter().all(|token| words.iter().any(|word| word.contains(token)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_must_be_found() {
        let id = MigrationId::new("20261104_add_sender").unwrap();
        let matches = |text: &str| Filter::new(text).matches(&id, MigrationState::Failed, None);
        assert!(matches(""));
        assert!(matches("SENDER fail"));
        assert!(matches("  2026 "));
        assert!(!matches("sender applied"));
    }
}
