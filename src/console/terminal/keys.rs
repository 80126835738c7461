//! From bytes to keys. A parser of our own, because the answer to a status query must be seen (a general one drops it), and
//! because polling a dead terminal through an event library can spin.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a terminal sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A key.
    Key(KeyEvent),
    /// Pasted text.
    Paste(String),
    /// The answer to a status query: somebody is there.
    Alive,
}

/// What a [`Parser`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Nothing has begun.
    Anything,
    /// An escape came: a key, unless a sequence follows at once.
    AfterEscape,
    /// A sequence or a character has begun.
    Rest,
}

/// Takes bytes as they come, in pieces of any size.
#[derive(Debug, Default)]
pub struct Parser {
    pending: Vec<u8>,
    paste: Option<Vec<u8>>,
}

const PASTE_END: &[u8] = b"\x1b[201~";
/// A paste longer than this is cut: everything it could go into is one line.
const LONGEST_PASTE: usize = 64 * 1024;

impl Parser {
    /// Takes in bytes; answers what is complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Heard> {
        self.pending.extend_from_slice(bytes);
        let mut heard = Vec::new();
        let mut at = 0;
        while at < self.pending.len() {
            if self.paste.is_some() {
                match self.pasting(at) {
                    Some((next, text)) => {
                        at = next;
                        heard.push(Heard::Paste(text));
                    }
                    None => return heard,
                }
                continue;
            }
            match step(&self.pending[at..]) {
                Step::Incomplete => break,
                Step::Skip(length) => at += length,
                Step::Paste(length) => {
                    at += length;
                    self.paste = Some(Vec::new());
                }
                Step::Heard(length, what) => {
                    at += length;
                    heard.push(what);
                }
            }
        }
        self.pending.drain(..at);
        heard
    }

    /// What it waits for; if that does not come in time, call [`Parser::settle`].
    #[must_use]
    pub fn waits_for(&self) -> Awaited {
        match &self.pending[..] {
            [] => Awaited::Anything,
            [0x1b] if self.paste.is_none() => Awaited::AfterEscape,
            _ => Awaited::Rest,
        }
    }

    /// Nothing more came: an escape that began nothing was the escape key.
    pub fn settle(&mut self) -> Vec<Heard> {
        let lone = self.paste.is_none() && self.pending == b"\x1b";
        if self.paste.is_none() {
            self.pending.clear();
        }
        if lone { vec![key(KeyCode::Esc, KeyModifiers::NONE)] } else { Vec::new() }
    }

    /// Looks for the end of a paste from `at` on; everything up to there is taken out of `pending`.
    fn pasting(&mut self, at: usize) -> Option<(usize, String)> {
        let paste = self.paste.as_mut()?;
        let rest = &self.pending[at..];
        if let Some(end) = memchr::memmem::find(rest, PASTE_END) {
            paste.extend_from_slice(&rest[..end]);
            paste.truncate(LONGEST_PASTE);
            let text = String::from_utf8_lossy(paste).replace('\r', "\n");
            self.paste = None;
            return Some((at + end + PASTE_END.len(), text));
        }
        // The end itself may be torn: keep what could be its beginning.
        let keep = rest.len().min(PASTE_END.len() - 1);
        paste.extend_from_slice(&rest[..rest.len() - keep]);
        paste.truncate(LONGEST_PASTE);
        self.pending.drain(..self.pending.len() - keep);
        None
    }
}

enum Step {
    Incomplete,
    Skip(usize),
    Paste(usize),
    Heard(usize, Heard),
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Heard {
    Heard::Key(KeyEvent::new(code, modifiers))
}

fn step(bytes: &[u8]) -> Step {
    match bytes {
        [0x1b, b'[', rest @ ..] => control_sequence(rest),
        [0x1b] | [0x1b, b'O'] => Step::Incomplete,
        [0x1b, b'O', b'M', ..] => Step::Heard(3, key(KeyCode::Enter, KeyModifiers::NONE)),
        [0x1b, b'O', last, ..] => match arrow(*last) {
            Some(code) => Step::Heard(3, key(code, KeyModifiers::NONE)),
            None => Step::Skip(3),
        },
        [0x1b, 0x1b, ..] => Step::Heard(1, key(KeyCode::Esc, KeyModifiers::NONE)),
        [0x1b, rest @ ..] => match step(rest) {
            Step::Heard(length, Heard::Key(event)) => {
                Step::Heard(length + 1, key(event.code, event.modifiers | KeyModifiers::ALT))
            }
            Step::Incomplete => Step::Incomplete,
            _ => Step::Skip(1),
        },
        [b'\r' | b'\n', ..] => Step::Heard(1, key(KeyCode::Enter, KeyModifiers::NONE)),
        [b'\t', ..] => Step::Heard(1, key(KeyCode::Tab, KeyModifiers::NONE)),
        [0x7f | 0x08, ..] => Step::Heard(1, key(KeyCode::Backspace, KeyModifiers::NONE)),
        [control @ 0x01..=0x1a, ..] => {
            Step::Heard(1, key(KeyCode::Char(char::from(control - 1 + b'a')), KeyModifiers::CONTROL))
        }
        [0x00..=0x1f, ..] => Step::Skip(1),
        _ => character(bytes),
    }
}

/// One character of UTF-8, or a byte that is none.
fn character(bytes: &[u8]) -> Step {
    let length = match bytes[0] {
        0x00..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Step::Skip(1),
    };
    let whole = bytes.len() >= length;
    match std::str::from_utf8(&bytes[..length.min(bytes.len())]) {
        Ok(text) => {
            let Some(c) = text.chars().next() else { return Step::Skip(1) };
            let shift = if c.is_uppercase() { KeyModifiers::SHIFT } else { KeyModifiers::NONE };
            Step::Heard(length, key(KeyCode::Char(c), shift))
        }
        Err(error) if !whole && error.error_len().is_none() => Step::Incomplete,
        Err(_) => Step::Skip(1),
    }
}

/// What follows `ESC [`: parameters, then a final byte.
fn control_sequence(rest: &[u8]) -> Step {
    // A sequence that never ends is none.
    let Some(end) = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
        return if rest.len() > 64 { Step::Skip(2) } else { Step::Incomplete };
    };
    let length = 2 + end + 1;
    let parameters = std::str::from_utf8(&rest[..end]).unwrap_or_default();
    let mut numbers = parameters.split(';').map(|number| number.parse::<u16>().unwrap_or(0));
    let first = numbers.next().unwrap_or(0);
    // xterm: 1 plus a bit each for shift, alt and control.
    let bits = numbers.next().unwrap_or(1).saturating_sub(1);
    let mut modifiers = KeyModifiers::NONE;
    for (bit, modifier) in [(1, KeyModifiers::SHIFT), (2, KeyModifiers::ALT), (4, KeyModifiers::CONTROL)] {
        if bits & bit != 0 {
            modifiers |= modifier;
        }
    }
    let code = match (rest[end], first) {
        (b'n', 0 | 3) => return Step::Heard(length, Heard::Alive),
        (b'~', 200) => return Step::Paste(length),
        (b'~', 1 | 7) => KeyCode::Home,
        (b'~', 4 | 8) => KeyCode::End,
        (b'~', 3) => KeyCode::Delete,
        (b'~', 5) => KeyCode::PageUp,
        (b'~', 6) => KeyCode::PageDown,
        (b'Z', _) => KeyCode::BackTab,
        (last, _) => match arrow(last) {
            Some(code) => code,
            None => return Step::Skip(length),
        },
    };
    Step::Heard(length, key(code, modifiers))
}

fn arrow(last: u8) -> Option<KeyCode> {
    Some(match last {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'H' => KeyCode::Home,
        b'F' => KeyCode::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Heard> {
        Parser::default().feed(bytes)
    }

    fn plain(code: KeyCode) -> Heard {
        key(code, KeyModifiers::NONE)
    }

    #[test]
    fn ordinary_keys() {
        assert_eq!(keys(b"j\r\t"), [plain(KeyCode::Char('j')), plain(KeyCode::Enter), plain(KeyCode::Tab)]);
        assert_eq!(keys(b"\x03"), [key(KeyCode::Char('c'), KeyModifiers::CONTROL)]);
        assert_eq!(keys("é支".as_bytes()), [plain(KeyCode::Char('é')), plain(KeyCode::Char('支'))]);
        assert_eq!(
            keys(b"\x1b[A\x1bOB\x1b[6~\x1b[Z"),
            [plain(KeyCode::Up), plain(KeyCode::Down), plain(KeyCode::PageDown), plain(KeyCode::BackTab)]
        );
        assert_eq!(keys(b"\x1b[1;5C"), [key(KeyCode::Right, KeyModifiers::CONTROL)]);
        assert_eq!(keys(b"\x1bx"), [key(KeyCode::Char('x'), KeyModifiers::ALT)]);
    }

    #[test]
    fn a_sequence_may_come_in_pieces() {
        for bytes in [&b"\x1b[A"[..], "支".as_bytes(), b"\x1b[200~a\nb\x1b[201~"] {
            let whole = keys(bytes);
            let mut parser = Parser::default();
            let pieces: Vec<_> = bytes.iter().flat_map(|byte| parser.feed(&[*byte])).collect();
            assert_eq!(pieces, whole);
            assert_eq!(parser.waits_for(), Awaited::Anything);
        }
    }

    #[test]
    fn a_lone_escape_is_the_escape_key_once_nothing_follows() {
        let mut parser = Parser::default();
        assert!(parser.feed(b"\x1b").is_empty());
        assert_eq!(parser.waits_for(), Awaited::AfterEscape);
        assert_eq!(parser.settle(), [plain(KeyCode::Esc)]);
        assert_eq!(parser.waits_for(), Awaited::Anything);
    }

    #[test]
    fn the_rest_of_an_answer_that_a_connection_has_torn_is_waited_for() {
        let mut parser = Parser::default();
        assert!(parser.feed(b"\x1b[").is_empty());
        assert_eq!(parser.waits_for(), Awaited::Rest);
        assert_eq!(parser.feed(b"0n"), [Heard::Alive]);
    }

    #[test]
    fn a_large_paste_of_anything_is_text_whatever_its_pieces() {
        let line = "r\ry\tq\x03\x1b[B\x1bOA支\u{7f}";
        let pasted = format!("\x1b[200~{}\x1b[201~", line.repeat(100_000 / line.len()));
        for size in [1, 7, 4096] {
            let mut parser = Parser::default();
            let heard: Vec<_> = pasted.as_bytes().chunks(size).flat_map(|piece| parser.feed(piece)).collect();
            assert!(matches!(&heard[..], [Heard::Paste(text)] if text.len() <= LONGEST_PASTE), "{size}");
            assert_eq!(parser.feed(b"j"), [plain(KeyCode::Char('j'))]);
        }
    }

    #[test]
    fn a_paste_is_text_and_not_keys() {
        assert_eq!(keys(b"\x1b[200~q\ry\x1b[201~j"), [Heard::Paste("q\ny".to_owned()), plain(KeyCode::Char('j'))]);
    }

    #[test]
    fn the_answer_to_a_status_query_is_heard() {
        assert_eq!(keys(b"\x1b[0nj"), [Heard::Alive, plain(KeyCode::Char('j'))]);
    }

    #[test]
    fn rubbish_is_passed_over() {
        assert_eq!(keys(b"\xff\x1b[<0;1;1Mj"), [plain(KeyCode::Char('j'))]);
    }
}
