//! The last lines a program said, for the record of its failure.

use std::collections::VecDeque;

use crate::logs::sanitise;

use super::mask::Masks;
use super::protocol;

/// How many lines are kept of each stream.
const LINES: usize = 20;
/// Characters kept of each, sanitised.
const WIDTH: usize = 500;
/// Bytes kept of each before that: escape sequences take room, too.
const BYTES: usize = 4 * WIDTH;

/// The last lines of one stream. It looks at the end of each batch only, so that a flood costs no more than a trickle.
#[derive(Clone, Debug, Default)]
pub struct Tail(VecDeque<Vec<u8>>);

impl Tail {
    /// Takes note of a batch of whole lines, each ended by a newline.
    pub fn note(&mut self, lines: &[u8], masks: &Masks) {
        let Some(body) = lines.strip_suffix(b"\n") else {
            return;
        };
        let mut last: Vec<&[u8]> = body
            .rsplit(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty() && !line.starts_with(protocol::MARKER))
            .take(LINES)
            .collect();
        last.reverse();
        for line in last {
            self.push(line, masks);
        }
    }

    /// Takes note of one line, or of the first piece of a very long one.
    pub fn push(&mut self, line: &[u8], masks: &Masks) {
        let mut kept = if self.0.len() == LINES { self.0.pop_front().unwrap_or_default() } else { Vec::new() };
        kept.clear();
        // Masked before it is cut: half a secret would not be recognised.
        masks.mask(&line[..line.len().min(protocol::MAX_LINE)], &mut kept);
        kept.truncate(BYTES);
        self.0.push_back(kept);
    }

    /// The lines as a record keeps them, oldest first.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(|line| sanitise::plain(line).chars().take(WIDTH).collect()).collect()
    }
}
