//! Where a ledger is.

use std::fmt;
use std::path::PathBuf;

use crate::secret::{Secret, mask_uri};

/// `mongodb://...`, `mongodb+srv://...` or `sqlite:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerAddress {
    /// A MongoDB connection string. Its path names the ledger's database; without one it is `stopover`.
    Mongo(Secret),
    /// A SQLite file; created, with its directory, at the first write.
    Sqlite(PathBuf),
}

impl LedgerAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// A sentence on what is wrong and what would be right; it never repeats the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with("mongodb://") || text.starts_with("mongodb+srv://") {
            return Ok(Self::Mongo(Secret::new(text)));
        }
        match text.strip_prefix("sqlite:") {
            Some("") => Err("`sqlite:` needs a path, as in `sqlite:/var/lib/stopover/ledger.db`".to_owned()),
            Some(path) => Ok(Self::Sqlite(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))),
            None => Err("a ledger is `mongodb://...`, `mongodb+srv://...` or `sqlite:PATH`".to_owned()),
        }
    }

    /// Whether it is the embedded store, which lives and dies with its file.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

/// The address without its secrets.
impl fmt::Display for LedgerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mongo(uri) => f.write_str(&mask_uri(uri.expose())),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_stores_can_be_named() {
        assert_eq!(LedgerAddress::parse("sqlite:/tmp/l.db").unwrap(), LedgerAddress::Sqlite("/tmp/l.db".into()));
        let mongo = LedgerAddress::parse("mongodb://app:s3cret@db/payments").unwrap();
        assert_eq!(mongo.to_string(), "mongodb://app:***@db/payments");
        assert!(!format!("{mongo:?}").contains("s3cret"));
    }

    #[test]
    fn a_wrong_address_is_refused_without_being_repeated() {
        let error = LedgerAddress::parse("postgres://app:s3cret@db/payments").unwrap_err();
        assert!(!error.contains("s3cret"));
        assert!(LedgerAddress::parse("sqlite:").is_err());
    }
}
