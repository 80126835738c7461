//! The fingerprint of what a migration would run.
//!
//! It can be checked in a shell, without Stopover:
//!
//! ```text
//! sha256sum FILE                                                           a migration that is one file
//! cd DIRECTORY && sha256sum MANIFEST FILE1 FILE2 ... | sha256sum           a manifest whose command names local files
//! ```
//!
//! where `DIRECTORY` is the manifest's, and the files are written and ordered as in its command.

use std::fmt::Write as _;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SHA-256 in lower-case hex, as `sha256sum` prints it; over content, never over times.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checksum(String);

impl Checksum {
    /// The 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for a screen.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }

    /// Of bytes in memory.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::from_digest(&Sha256::digest(bytes))
    }

    /// Of what a reader has still to give, which is never held in memory as a whole.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hasher = Sha256::new();
        let mut buffer = [0; 8 * 1024];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(Self::from_digest(&hasher.finalize())),
                length => hasher.update(&buffer[..length]),
            }
        }
    }

    /// Of several files: over the lines that `sha256sum NAME...` prints for them.
    #[must_use]
    pub fn of_listing<'n>(files: impl IntoIterator<Item = (&'n str, Self)>) -> Self {
        let mut listing = String::new();
        for (name, checksum) in files {
            // As coreutils write a name that would break the line.
            let escaped = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
            let mark = if escaped == name { "" } else { "\\" };
            writeln!(listing, "{mark}{}  {escaped}", checksum.0).expect("a string can always grow");
        }
        Self::of_bytes(listing.as_bytes())
    }

    fn from_digest(digest: &[u8]) -> Self {
        let mut text = String::with_capacity(64);
        for byte in digest {
            write!(text, "{byte:02x}").expect("a string can always grow");
        }
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_checksum_of_the_standard() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Checksum::of_bytes(b"abc").as_str(), abc);
        assert_eq!(Checksum::of_bytes(b"abc").short(), "ba7816bf8f01");
    }
}
