//! Keeping known secrets out of everything a program prints.

use std::ops::Range;

use memchr::memmem::Finder;

use crate::config::Config;
use crate::ledger::LedgerAddress;
use crate::secret::{MASK, Secret, percent_decoded, uri_password};

/// Shorter texts are not masked: they would blank out half of any log and protect nothing.
const SHORTEST: usize = 4;

/// The secrets of one run, ready to be searched for.
pub struct Masks {
    needles: Vec<Finder<'static>>,
    longest: usize,
}

impl Masks {
    /// Everything secret that a run of this configuration gets to know: its secret params and the passwords of its databases,
    /// as they stand in the connection string and percent-decoded; and `others`.
    #[must_use]
    pub fn of(config: &Config, params: &[(String, Secret)], others: &[Secret]) -> Self {
        let ledger = match &config.ledger {
            LedgerAddress::Mongo(uri) => Some(uri),
            LedgerAddress::Sqlite(_) => None,
        };
        let secrets = params.iter().map(|(_, secret)| secret).chain(others);
        let mut texts: Vec<Vec<u8>> = secrets.map(|secret| secret.expose().as_bytes().to_vec()).collect();
        for password in config.database.iter().chain(ledger).filter_map(|uri| uri_password(uri.expose())) {
            texts.push(percent_decoded(password));
            texts.push(password.as_bytes().to_vec());
        }
        Self::new(&texts)
    }

    /// Only these.
    #[cfg(test)]
    pub fn of_secrets(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self::new(&secrets.into_iter().map(|secret| secret.expose().as_bytes().to_vec()).collect::<Vec<_>>())
    }

    /// Bytes of the longest secret.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// A secret of several lines (a key file) is masked line by line, for that is how it would be printed.
    fn new(secrets: &[Vec<u8>]) -> Self {
        let mut lines: Vec<&[u8]> = secrets
            .iter()
            .flat_map(|secret| secret.split(|&byte| byte == b'\n'))
            .map(<[u8]>::trim_ascii)
            .filter(|line| line.len() >= SHORTEST)
            .collect();
        lines.sort_unstable();
        lines.dedup();
        Self {
            longest: lines.iter().map(|line| line.len()).max().unwrap_or(0),
            needles: lines.into_iter().map(|line| Finder::new(line).into_owned()).collect(),
        }
    }

    /// Whether any secret stands in `text`: one fast pass for each, over as much text at once as there is.
    #[must_use]
    pub fn found_in(&self, text: &[u8]) -> bool {
        self.needles.iter().any(|needle| needle.find(text).is_some())
    }

    /// Appends `text` to `out` with every secret masked.
    pub fn mask(&self, text: &[u8], out: &mut Vec<u8>) {
        let mut copied = 0;
        for found in self.places(text) {
            out.extend_from_slice(&text[copied..found.start]);
            out.extend_from_slice(MASK.as_bytes());
            copied = found.end;
        }
        out.extend_from_slice(&text[copied..]);
    }

    /// `text` with every secret masked.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut masked = Vec::with_capacity(text.len());
        self.mask(text.as_bytes(), &mut masked);
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// How much of an unfinished line can be passed on: what is held back may be the beginning of a secret, and no secret is cut in two.
    #[must_use]
    pub fn safe_cut(&self, text: &[u8]) -> usize {
        let cut = text.len().saturating_sub(self.longest.saturating_sub(1));
        self.places(text).iter().find(|found| found.start < cut && cut < found.end).map_or(cut, |found| found.end)
    }

    /// Where secrets stand, in order; those that overlap count as one, so that no rest of either is left.
    fn places(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for needle in &self.needles {
            let length = needle.needle().len();
            found.extend(needle.find_iter(text).map(|start| start..start + length));
        }
        found.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for range in found {
            match merged.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(secrets: &[&str]) -> Masks {
        Masks::new(&secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    fn masked(secrets: &[&str], text: &str) -> String {
        let mut out = Vec::new();
        masks(secrets).mask(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_occurrence_is_masked() {
        assert_eq!(masked(&["s3cret"], "a s3cret, s3crets3cret"), "a ***, ******");
        assert_eq!(masked(&["s3cret"], "nothing here"), "nothing here");
    }

    #[test]
    fn overlapping_secrets_leave_no_rest() {
        assert_eq!(masked(&["abcdef", "efgh"], "x abcdefgh y"), "x *** y");
        assert_eq!(masked(&["pass", "password"], "password"), "***");
    }

    #[test]
    fn a_secret_of_several_lines_is_masked_line_by_line() {
        assert_eq!(masked(&["first line\nsecond line\n"], "> second line"), "> ***");
    }

    #[test]
    fn short_texts_are_no_secrets() {
        assert!(!masks(&["", "abc"]).found_in(b"abc"));
    }

    #[test]
    fn a_cut_never_splits_a_secret_nor_lets_its_beginning_go() {
        let masks = masks(&["s3cret"]);
        assert_eq!(masks.safe_cut(b"0123456789"), 5);
        assert_eq!(masks.safe_cut(b"01234s3cret"), 11 - 5 + 5);
        assert_eq!(masks.safe_cut(b"012s3cret78"), 9);
        assert_eq!(masks.safe_cut(b"s3"), 0);
    }
}
