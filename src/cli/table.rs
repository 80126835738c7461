//! Columns for people: as wide as their widest cell, the last as wide as it likes.

use std::io::Write;

use color_eyre::Result;
use unicode_width::UnicodeWidthStr;

/// Prints rows under a head on standard output. Cells are trusted to be sanitised.
pub fn print<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Result<()> {
    let mut widths = head.map(UnicodeWidthStr::width);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
            text.push_str(cell);
            if index + 1 < N {
                text.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
            }
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    };
    line(head);
    for row in rows {
        line(std::array::from_fn(|index| row[index].as_str()));
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
