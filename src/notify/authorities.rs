//! Whose certificates are trusted beside those of the public authorities: a pod talks to its company, too.

use std::path::PathBuf;
use std::sync::Arc;

use ureq::tls::RootCerts;

use crate::config::variable;
use crate::http_client::certificates;
use crate::reading::small_file;

/// Names their file.
pub const VARIABLE: &str = "SSL_CERT_FILE";
/// Bytes of that; those of all public authorities together are a quarter of a megabyte.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The content of their file, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities(Arc<[u8]>);

impl Authorities {
    /// Of this environment, if it names any.
    ///
    /// # Errors
    /// What is wrong with their file.
    pub fn of_environment() -> Result<Option<Self>, String> {
        let Some(path) = variable(VARIABLE).map(PathBuf::from) else { return Ok(None) };
        let unusable = |wrong: String| format!("{VARIABLE} names {}, which {wrong}", path.display());
        let authorities = Self(small_file(&path, LARGEST).map_err(unusable)?.into());
        if certificates(&authorities.0).is_empty() {
            return Err(unusable("holds no certificate".to_owned()));
        }
        Ok(Some(authorities))
    }

    /// For a connection.
    #[must_use]
    pub fn roots(&self) -> RootCerts {
        RootCerts::Specific(Arc::new(certificates(&self.0)))
    }
}
