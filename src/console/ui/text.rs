//! Text that fits its place and numbers that people read.

use std::time::Duration;

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::time::{Timestamp, short_duration};

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The text, cut to so many columns with an ellipsis where it is longer.
pub(super) fn fit(text: &str, columns: usize, ellipsis: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(width(ellipsis));
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        cut.push(c);
    }
    if columns > 0 {
        cut.push_str(ellipsis);
    }
    cut
}

/// The text in a column of exactly so many cells, at the left of it.
pub(super) fn left(text: &str, columns: usize, ellipsis: &str) -> String {
    let mut text = fit(text, columns, ellipsis);
    text.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&text))));
    text
}

/// The text in a column of exactly so many cells, at the right of it.
pub(super) fn right(text: &str, columns: usize, ellipsis: &str) -> String {
    let text = fit(text, columns, ellipsis);
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(&text))))
}

/// Breaks a text into lines of at most so many columns, at spaces where there are some.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let mut word = word.to_owned();
            if !line.is_empty() && width(&line) + 1 + width(&word) > columns {
                lines.push(std::mem::take(&mut line));
            }
            // A word longer than a line is broken where the line ends.
            while width(&word) > columns {
                let head = fit(&word, columns, "");
                if head.is_empty() {
                    break;
                }
                word = word[head.len()..].to_owned();
                lines.push(head);
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        lines.push(line);
    }
    lines
}

/// A whole number with its thousands set apart: `1,248,000`.
pub(super) fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

/// A rate, coarse enough not to flicker.
#[expect(clippy::cast_possible_truncation, reason = "a rate on a screen is far below 2^63")]
pub(super) fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}") } else { number(per_second.round() as i64) }
}

/// How long ago something was, coarsely: what is older than a minute changes once a minute.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    let age = now.since(then);
    match age.as_secs() {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", age.as_secs() / 60),
        3600..86_400 => format!("{} h ago", age.as_secs() / 3600),
        86_400..5_184_000 => format!("{} d ago", age.as_secs() / 86_400),
        _ => then.utc().format("%Y-%m-%d").to_string(),
    }
}

/// A duration of whole seconds.
pub(in crate::console) fn span(duration: Duration) -> String {
    short_duration(if duration.as_secs() > 0 { Duration::from_secs(duration.as_secs()) } else { duration })
}

/// A line whose first column is a label.
pub(super) fn labelled<'a>(label: &str, style: Style, value: Vec<Span<'a>>) -> Line<'a> {
    let mut spans = vec![Span::styled(format!(" {} ", left(label, LABEL, "")), style)];
    spans.extend(value);
    Line::from(spans)
}

/// The text with its first letter large.
pub(in crate::console) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Columns of a label.
pub(super) const LABEL: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(fit("支払い移行", 5, "…"), "支払…");
        assert_eq!(left("支払", 6, "…"), "支払  ");
        assert_eq!(right("7", 3, "…"), "  7");
    }

    #[test]
    fn a_text_is_wrapped_at_spaces_and_a_long_word_where_it_must_be() {
        assert_eq!(wrap("run it again please", 7), ["run it", "again", "please"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_248_000), "1,248,000");
        assert_eq!(number(-999), "-999");
        assert_eq!(number(i64::MIN), "-9,223,372,036,854,775,808");
    }

    #[test]
    fn ages_are_coarse() {
        let then = Timestamp::from_millis(0);
        let after = |seconds: u64| ago(then.plus(Duration::from_secs(seconds)), then);
        assert_eq!(after(59), "just now");
        assert_eq!(after(60 * 59), "59 min ago");
        assert_eq!(after(86_400 * 3), "3 d ago");
        assert_eq!(after(86_400 * 90), "1970-01-01");
    }
}
