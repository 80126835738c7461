//! Keeping known secrets out of everything a program prints.
//!
//! A secret is found as it is, and as it may stand in a JSON text: every logger escapes other characters, and whoever reads its lines undoes
//! that. So a text is looked through once as it is and, where it has a backslash, once more with its escapes undone.

use std::ops::Range;

use memchr::memmem::Finder;

use crate::config::Config;
use crate::ledger::LedgerAddress;
use crate::secret::{MASK, Secret, percent_decoded, uri_password};

use super::unescape::Unescaped;

/// Shorter texts are not masked: they would blank out half of any log and protect nothing.
const SHORTEST: usize = 4;
/// How often escapes are undone: there is JSON within JSON.
const LEVELS: usize = 2;
/// Bytes that an escaped byte takes at most, on both levels: `\\u0026` for `&`.
const ESCAPED: usize = 7;

/// The secrets of one run, ready to be searched for.
pub struct Masks {
    needles: Vec<Finder<'static>>,
    longest: usize,
}

impl Masks {
    /// Everything secret that a run of this configuration gets to know: its secret params, and the passwords of its databases, as they stand in
    /// the connection string and percent-decoded; and `others`.
    #[must_use]
    pub fn of<'s>(
        config: &Config,
        params: &'s [(String, Secret)],
        others: impl IntoIterator<Item = &'s Secret>,
    ) -> Self {
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

    /// Bytes of the longest secret, however it is escaped.
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
            longest: lines.iter().map(|line| ESCAPED * line.len()).max().unwrap_or(0),
            needles: lines.into_iter().map(|line| Finder::new(line).into_owned()).collect(),
        }
    }

    /// Whether any secret stands in `text`: one fast pass for each, over as much text at once as there is.
    #[must_use]
    pub fn found_in(&self, text: &[u8]) -> bool {
        self.is_found(text, LEVELS)
    }

    fn is_found(&self, text: &[u8], levels: usize) -> bool {
        self.needles.iter().any(|needle| needle.find(text).is_some())
            || self.unescaped(text, levels).is_some_and(|inner| self.is_found(inner.text(), levels - 1))
    }

    /// `None` where that would be the same text, or there is nothing to look for.
    fn unescaped(&self, text: &[u8], levels: usize) -> Option<Unescaped> {
        if levels == 0 || self.needles.is_empty() { None } else { Unescaped::of(text) }
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

    /// Where secrets stand, in no order.
    fn found(&self, text: &[u8], levels: usize) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for needle in &self.needles {
            let length = needle.needle().len();
            found.extend(needle.find_iter(text).map(|start| start..start + length));
        }
        if let Some(inner) = self.unescaped(text, levels) {
            found.extend(self.found(inner.text(), levels - 1).into_iter().map(|range| inner.place(&range)));
        }
        found
    }

    /// Where secrets stand, in order; those that overlap count as one, so that no rest of either is left.
    fn places(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = self.found(text, LEVELS);
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
    use rstest::rstest;

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
        let held = masks.longest() - 1;
        let behind = |text: &str, rest: usize| [text.as_bytes(), &vec![b'x'; rest]].concat();
        assert_eq!(masks.safe_cut(&behind("01234", held)), 5, "a secret may begin from there on");
        assert_eq!(masks.safe_cut(&behind("01234s3cret", held - 6)), 5, "one begins there");
        assert_eq!(masks.safe_cut(&behind("012s3cret78", held - 6)), 9, "one is under way there");
        assert_eq!(masks.safe_cut(&behind(r"012s3cr\u0065t78", held - 6)), 14, "however it is written");
        assert_eq!(masks.safe_cut(b"s3"), 0);
    }

    #[rstest]
    #[case::as_it_is(r#"pa&ss/w"o\rd'é😀<"#, r#"pa&ss/w"o\rd'é😀<"#)]
    #[case::the_least(r#"pa&ss/w"o\rd'é😀<"#, r#"pa&ss/w\"o\\rd'é😀<"#)]
    #[case::for_pages(r#"pa&ss/w"o\rd'é😀<"#, r#"pa\u0026ss/w\"o\\rd\u0027é😀\u003c"#)]
    #[case::slashes_and_ascii(r#"pa&ss/w"o\rd'é😀<"#, r#"pa&ss\/w\"o\\rd'\u00e9\ud83d\ude00<"#)]
    #[case::upper_case(r#"pa&ss/w"o\rd'é😀<"#, r"pa\u0026ss\u002Fw\u0022o\u005Crd\u0027\u00E9\uD83D\uDE00\u003C")]
    #[case::within_another(r#"pa&ss"word"#, r#"pa\\u0026ss\\\"word"#)]
    #[case::of_nothing_but_escapes("&&&&", r"\u0026&\u0026\u0026")]
    fn a_secret_is_masked_however_a_logger_escapes_it(#[case] secret: &str, #[case] written: &str) {
        let line = format!(r#"C:\new {{"message":"a \"{written}\" b\n","path":"\u00"#);
        let expected = r#"C:\new {"message":"a \"***\" b\n","path":"\u00"#;
        assert_eq!(masked(&[secret], &line), expected);
        assert!(masks(&[secret]).found_in(line.as_bytes()));
    }

    #[test]
    fn a_secret_that_looks_like_an_escape_is_found_as_it_is() {
        assert_eq!(masked(&[r"\u0026\n"], r"a \u0026\n b"), "a *** b");
    }
}
