//! A text with the escapes of JSON undone, and where each part of it comes from.

use std::ops::Range;

use memchr::memchr;

/// See the module.
pub struct Unescaped {
    text: Vec<u8>,
    /// What came of each escape, in order: where it stands in `text`, and where in the original.
    escapes: Vec<(Range<usize>, Range<usize>)>,
}

impl Unescaped {
    /// `None` if there is no escape in it. What is none is left as it is.
    pub fn of(original: &[u8]) -> Option<Self> {
        let mut at = memchr(b'\\', original)?;
        let mut text = Vec::with_capacity(original.len());
        text.extend_from_slice(&original[..at]);
        let mut escapes = Vec::new();
        while at < original.len() {
            let start = text.len();
            let length = if let Some((character, length)) = escape(&original[at..]) {
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                escapes.push((start..text.len(), at..at + length));
                length
            } else {
                text.push(original[at]);
                1
            };
            at += length;
            let run = memchr(b'\\', &original[at..]).unwrap_or(original.len() - at);
            text.extend_from_slice(&original[at..at + run]);
            at += run;
        }
        (!escapes.is_empty()).then_some(Self { text, escapes })
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where in the original a part of it stands; an escape of which only a part is meant, as a whole.
    pub fn place(&self, part: &Range<usize>) -> Range<usize> {
        let start = match self.escape_at(part.start) {
            Ok((_, original)) => original.start,
            Err(before) => before + part.start,
        };
        let end = match self.escape_at(part.end - 1) {
            Ok((_, original)) => original.end,
            Err(before) => before + part.end,
        };
        start..end
    }

    /// The escape that gave the byte at `at`; or else by how much the original is ahead there.
    fn escape_at(&self, at: usize) -> Result<&(Range<usize>, Range<usize>), usize> {
        let index = self.escapes.partition_point(|(here, _)| here.end <= at);
        match self.escapes.get(index) {
            Some(escape) if escape.0.start <= at => Ok(escape),
            _ => Err(index.checked_sub(1).map_or(0, |last| self.escapes[last].1.end - self.escapes[last].0.end)),
        }
    }
}

/// The character that the escape at the beginning of `text` stands for, and how long it is.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let character = match text.get(1)? {
        &plain @ (b'"' | b'\\' | b'/') => char::from(plain),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(text),
        _ => return None,
    };
    Some((character, 2))
}

/// `\uXXXX`, or two of them for a character beyond.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let first = unit(text)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    let pair = [first, unit(text.get(6..)?)?].map(|unit| u16::try_from(unit).unwrap_or_default());
    Some((char::decode_utf16(pair).next()?.ok()?, 12))
}

fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_found_again_in_the_original() {
        let original = r#"a\u00e9\/\ud83d\ude00\x\ud83d \"z\"#;
        let unescaped = Unescaped::of(original.as_bytes()).unwrap();
        let text = std::str::from_utf8(unescaped.text()).unwrap();
        assert_eq!(text, r#"aé/😀\x\ud83d "z\"#);
        let of = |part: &str| {
            let start = text.find(part).unwrap();
            &original[unescaped.place(&(start..start + part.len()))]
        };
        assert_eq!((of("a"), of("é"), of("aé/"), of("😀\\x")), ("a", r"\u00e9", r"a\u00e9\/", r"\ud83d\ude00\x"));
        assert_eq!((of("x\\ud83d"), of(" \"z"), of("z\\")), (r"x\ud83d", r#" \"z"#, r"z\"));
        // A part of a character, which no secret is, but whose bytes one may be.
        assert_eq!(unescaped.place(&(2..3)), 1..7);
    }

    #[test]
    fn a_text_without_an_escape_needs_no_second_look() {
        assert!(Unescaped::of(b"plain").is_none());
        assert!(Unescaped::of(br"C:\windows \u12").is_none());
    }
}
