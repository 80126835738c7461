//! Digits five lines high, to be read across a room.

use ratatui::text::{Line, Span};

use crate::console::app::App;

/// Rows of the ten digits and of the percent sign; `#` is ink.
const GLYPHS: [[&str; 5]; 11] = [
    ["####", "#  #", "#  #", "#  #", "####"],
    ["  # ", " ## ", "  # ", "  # ", " ###"],
    ["####", "   #", "####", "#   ", "####"],
    ["####", "   #", " ###", "   #", "####"],
    ["#  #", "#  #", "####", "   #", "   #"],
    ["####", "#   ", "####", "   #", "####"],
    ["####", "#   ", "####", "#  #", "####"],
    ["####", "   #", "  # ", " #  ", " #  "],
    ["####", "#  #", "####", "#  #", "####"],
    ["####", "#  #", "####", "   #", "####"],
    ["#  #", "  # ", "  # ", " #  ", "#  #"],
];

/// A part of the whole, never rounded up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part is 0 to 1")]
pub(super) fn percent(app: &App, part: f64) -> Vec<Line<'static>> {
    let number = (part.clamp(0.0, 1.0) * 100.0).floor() as usize;
    let glyphs: Vec<_> =
        number.to_string().bytes().map(|digit| GLYPHS[usize::from(digit - b'0')]).chain([GLYPHS[10]]).collect();
    let ink = app.look.pick("█", "#");
    (0..5)
        .map(|row| {
            let cells: Vec<_> = glyphs.iter().map(|glyph| glyph[row].replace('#', ink)).collect();
            Line::from(Span::styled(format!(" {}", cells.join("  ")), app.look.live()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_glyph_is_four_columns_wide() {
        assert!(GLYPHS.iter().flatten().all(|row| row.len() == 4));
    }
}
