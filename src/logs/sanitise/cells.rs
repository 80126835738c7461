//! One line of a terminal: what stands in which column after everything was written, and overwritten, in it.

use unicode_width::UnicodeWidthChar;

use super::{DISPLAY_LIMIT, Ink, Span};

/// Combining marks that one character keeps; more only hide what is around them.
const MARKS: usize = 4;

const TAB: usize = 8;

/// One column: a character with its combining marks, or (with nothing in it) the rest of a wide character to its left.
#[derive(Clone, Copy)]
struct Cell {
    glyph: [Option<char>; 1 + MARKS],
    ink: Ink,
}

impl Cell {
    fn new(character: Option<char>, ink: Ink) -> Self {
        let mut glyph = [None; 1 + MARKS];
        glyph[0] = character;
        Self { glyph, ink }
    }

    fn blank(ink: Ink) -> Self {
        Self::new(Some(' '), ink)
    }

    /// Whether it belongs to the character to its left.
    fn is_rest(&self) -> bool {
        self.glyph[0].is_none()
    }
}

/// The line and where the cursor stands in it.
#[derive(Default)]
pub(super) struct Cells {
    cells: Vec<Cell>,
    column: usize,
}

impl Cells {
    /// Writes a character at the cursor over what is there.
    pub(super) fn put(&mut self, character: char, ink: Ink) {
        if is_invisible(character) {
            return;
        }
        match character.width() {
            None => {}
            Some(0) => self.mark(character),
            Some(width) => {
                let columns = self.column..self.column + width;
                if columns.end > DISPLAY_LIMIT {
                    return;
                }
                self.clear(columns.clone());
                self.cells[columns.clone()].fill(Cell::new(None, ink));
                self.cells[columns.start] = Cell::new(Some(character), ink);
                self.column = columns.end;
            }
        }
    }

    /// Adds a combining mark to the character before the cursor.
    fn mark(&mut self, mark: char) {
        let written = self.column.min(self.cells.len());
        let character = self.cells[..written].iter_mut().rfind(|cell| !cell.is_rest());
        if let Some(free) = character.and_then(|cell| cell.glyph.iter_mut().find(|place| place.is_none())) {
            *free = Some(mark);
        }
    }

    /// Moves to the next multiple of eight columns; what is already there is left.
    pub(super) fn tab(&mut self, ink: Ink) {
        let stop = ((self.column / TAB + 1) * TAB).min(DISPLAY_LIMIT);
        self.extend(stop, ink);
        self.column = stop;
    }

    /// Back to the first column.
    pub(super) fn carriage_return(&mut self) {
        self.column = 0;
    }

    /// One column back.
    pub(super) fn backspace(&mut self) {
        self.column = self.column.saturating_sub(1);
    }

    /// Continues behind everything, after a space.
    pub(super) fn line_feed(&mut self, ink: Ink) {
        self.column = self.cells.len();
        self.put(' ', ink);
    }

    /// "Erase in line": 0 from the cursor on, 1 up to and with it, 2 everything. The cursor stays.
    pub(super) fn erase(&mut self, which: u16) {
        match which {
            0 => {
                self.clear(self.column..self.column);
                self.cells.truncate(self.column);
            }
            1 => self.clear(0..(self.column + 1).min(self.cells.len())),
            2 => self.cells.clear(),
            _ => {}
        }
    }

    /// Blanks columns, and with them the other parts of the wide characters that they cut.
    fn clear(&mut self, columns: std::ops::Range<usize>) {
        self.extend(columns.end, Ink::default());
        let mut start = columns.start;
        while start > 0 && self.cells.get(start).is_some_and(Cell::is_rest) {
            start -= 1;
        }
        let mut end = columns.end;
        while self.cells.get(end).is_some_and(Cell::is_rest) {
            end += 1;
        }
        self.cells[start..end].fill(Cell::blank(Ink::default()));
    }

    /// Blanks up to a column where the line is shorter.
    fn extend(&mut self, columns: usize, ink: Ink) {
        if self.cells.len() < columns {
            self.cells.resize(columns, Cell::blank(ink));
        }
    }

    /// The line from left to right; neighbours of one look together.
    pub(super) fn into_spans(self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for cell in self.cells.iter().filter(|cell| !cell.is_rest()) {
            let glyph = cell.glyph.iter().flatten();
            match spans.last_mut() {
                Some(span) if span.ink == cell.ink => span.text.extend(glyph),
                _ => spans.push(Span { ink: cell.ink, text: glyph.collect() }),
            }
        }
        spans
    }
}

/// Whether a character shows nothing, yet changes how others are read: those that Unicode calls default-ignorable (bidirectional
/// controls, joiners, variation selectors, tags, the byte order mark, the soft hyphen), line separators, and annotation anchors.
pub(super) fn is_invisible(character: char) -> bool {
    matches!(
        u32::from(character),
        0x00AD
            | 0x034F
            | 0x061C
            | 0x115F..=0x1160
            | 0x17B4..=0x17B5
            | 0x180B..=0x180F
            | 0x200B..=0x200F
            | 0x2028..=0x202E
            | 0x2060..=0x206F
            | 0x3164
            | 0xFE00..=0xFE0F
            | 0xFEFF
            | 0xFFA0
            | 0xFFF0..=0xFFFB
            | 0x1_BCA0..=0x1_BCA3
            | 0x1_D173..=0x1_D17A
            | 0xE_0000..=0xE_0FFF
    )
}
