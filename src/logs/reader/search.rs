//! Looking for text in a log without making lines of it: block after block, in what programs wrote, not in the prefixes.

use std::io;
use std::ops::Range;

use memchr::memmem::Finder;
use memchr::memrchr;

use crate::logs::record::{Head, MAX_TEXT, PREFIX};

use super::source::Source;
use super::{Direction, Query};

/// Bytes searched at once; between two blocks a search can be cancelled.
const BLOCK: usize = 256 * 1024;

/// A prepared query.
pub(super) struct Needle {
    finder: Finder<'static>,
    ignore_case: bool,
}

impl Needle {
    /// `None` for a text that no record can hold.
    pub(super) fn new(query: &Query) -> Option<Self> {
        let text = query.text.as_bytes();
        let fits = !text.is_empty() && text.len() <= MAX_TEXT && !text.contains(&b'\n');
        let ignore_case = !query.text.chars().any(char::is_uppercase);
        fits.then(|| Self { finder: Finder::new(text).into_owned(), ignore_case })
    }

    fn len(&self) -> usize {
        self.finder.needle().len()
    }

    /// The first place from `from` on in the text of a record. `bytes` are searched, which are `raw` or its lower-case form.
    fn find(&self, bytes: &[u8], raw: &[u8], mut from: usize, starts_with_record: bool) -> Option<usize> {
        loop {
            let hit = from + self.finder.find(bytes.get(from..)?)?;
            let start = memrchr(b'\n', &raw[..hit]).map(|newline| newline + 1);
            let is_record = start.is_some() || starts_with_record;
            let start = start.unwrap_or(0);
            let text = if is_record && Head::of(&raw[start..]).is_some() { start + PREFIX } else { start };
            if hit >= text {
                return Some(hit);
            }
            from = text;
        }
    }
}

/// The first or last place in a range that starts and ends between records; `None` also when it was cancelled.
pub(super) fn find(
    source: &Source,
    range: Range<u64>,
    needle: &Needle,
    direction: Direction,
    is_cancelled: &dyn Fn() -> bool,
) -> io::Result<Option<u64>> {
    let mut found = None;
    let mut raw = vec![0; BLOCK];
    let mut lower = Vec::new();
    let mut offset = range.start;
    let mut starts_with_record = true;
    while offset < range.end && !is_cancelled() {
        let wanted = usize::try_from(range.end - offset).map_or(BLOCK, |left| left.min(BLOCK));
        let length = read_block(source, &mut raw[..wanted], offset)?;
        if length == 0 {
            break;
        }
        // Whole records, or (in one that is larger than a block) all but what a match could begin with.
        let end = memrchr(b'\n', &raw[..length]).map(|newline| newline + 1);
        let block = &raw[..end.unwrap_or(length)];
        let searched = if needle.ignore_case {
            lower.clear();
            lower.extend(block.iter().map(u8::to_ascii_lowercase));
            &lower[..]
        } else {
            block
        };
        let mut from = 0;
        while let Some(hit) = needle.find(searched, block, from, starts_with_record) {
            found = Some(offset + hit as u64);
            if direction == Direction::Down {
                return Ok(found);
            }
            // One place per record is enough to know the last of them.
            from = memchr::memchr(b'\n', &block[hit..]).map_or(block.len(), |newline| hit + newline + 1);
        }
        starts_with_record = end.is_some();
        let is_last = length < wanted || offset + length as u64 >= range.end;
        offset += match end {
            Some(end) => end,
            None if is_last => length,
            None => length - length.min(needle.len() - 1),
        } as u64;
    }
    Ok(found)
}

/// Fills the buffer as far as there are bytes.
fn read_block(source: &Source, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read_at(&mut buffer[length..], offset + length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}
