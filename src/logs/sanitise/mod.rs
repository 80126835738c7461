//! Making what a program printed safe to show: colours stay, everything else that could steer a terminal goes.

mod cells;
mod ink;

use std::borrow::Cow;

use vte::{Params, Parser, Perform};

use cells::Cells;
pub use ink::{Colour, Ink};

/// A piece of text of one look; it holds no control character of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// How it looks.
    pub ink: Ink,
    /// What it says.
    pub text: String,
}

/// Bytes of a line that are looked at for display, and columns that are shown of it; the rest is cut.
pub const DISPLAY_LIMIT: usize = 16 * 1024;

/// The displayable form of one line: colours stay as [`Ink`]; other control sequences, C0 and C1, bidirectional and
/// zero-width characters go; tabs expand to multiples of eight; a lone carriage return overwrites, as do backspaces, and
/// "erase in line" erases, so that a progress bar reads as it last stood; bad UTF-8 becomes U+FFFD.
///
/// Every line starts without colours. Neighbouring spans differ in their ink, and none is empty.
#[must_use]
pub fn sanitise(line: &[u8]) -> Vec<Span> {
    let line = cut(line);
    if line.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return match String::from_utf8_lossy(line) {
            text if text.is_empty() => Vec::new(),
            text => vec![Span { ink: Ink::default(), text: text.into_owned() }],
        };
    }
    let mut performer = Performer::default();
    // Repaired first: the parser alone would take stray bytes from 0x80 on for C1, and search the rest of the line anew at each.
    let line: Cow<'_, str> = String::from_utf8_lossy(line);
    Parser::new().advance(&mut performer, line.as_bytes());
    performer.cells.into_spans()
}

/// The same without any look: plain text for records, tables and pipes.
#[must_use]
pub fn plain(line: &[u8]) -> String {
    sanitise(line).into_iter().map(|span| span.text).collect()
}

/// At most [`DISPLAY_LIMIT`] bytes of a line, without a part of a character at the end.
fn cut(line: &[u8]) -> &[u8] {
    if line.len() <= DISPLAY_LIMIT {
        return line;
    }
    let is_continuation = |byte: u8| byte & 0b1100_0000 == 0b1000_0000;
    let end = (DISPLAY_LIMIT - 3..=DISPLAY_LIMIT).rev().find(|&end| !is_continuation(line[end]));
    &line[..end.unwrap_or(DISPLAY_LIMIT)]
}

/// What the parser of control sequences acts on: the only sequences with an effect are those matched here.
#[derive(Default)]
struct Performer {
    cells: Cells,
    ink: Ink,
}

impl Perform for Performer {
    fn print(&mut self, character: char) {
        self.cells.put(character, self.ink);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\t' => self.cells.tab(self.ink),
            b'\r' => self.cells.carriage_return(),
            0x08 => self.cells.backspace(),
            // No log line holds one, but other texts do.
            b'\n' => self.cells.line_feed(self.ink),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if ignore || !intermediates.is_empty() {
            return;
        }
        match action {
            'm' => self.ink.apply(params),
            'K' => self.cells.erase(params.iter().next().and_then(|param| param.first().copied()).unwrap_or_default()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use unicode_width::UnicodeWidthChar;

    use super::*;

    fn ink(apply: impl FnOnce(&mut Ink)) -> Ink {
        let mut ink = Ink::default();
        apply(&mut ink);
        ink
    }

    fn foreground(colour: Colour) -> Ink {
        ink(|ink| ink.foreground = Some(colour))
    }

    #[test]
    fn plain_ascii_stays_as_it_is() {
        assert_eq!(sanitise(b"charge 8812 done"), [Span { ink: Ink::default(), text: "charge 8812 done".to_owned() }]);
        assert_eq!(sanitise(b""), []);
    }

    #[rstest]
    #[case::bell("a\x07b", "ab")]
    #[case::null("a\0b", "ab")]
    #[case::delete("a\x7fb", "ab")]
    #[case::c1("a\u{85}b\u{9b}31mc", "ab31mc")]
    #[case::window_title("\x1b]0;owned\x07after", "after")]
    #[case::link("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click")]
    #[case::clipboard("\x1b]52;c;cm0gLXJm\x1b\\x", "x")]
    #[case::device_control("a\x1bPq#0;2;0;0;0#0~~@@vv\x1b\\b", "ab")]
    #[case::application_command("a\x1b_payload\x1b\\b", "ab")]
    #[case::clear_screen("a\x1b[2J\x1b[H\x1b[?1049hb", "ab")]
    #[case::cursor_up("a\x1b[3Ab", "ab")]
    #[case::status_query("\x1b[6n\x1b[c\x1b[>0qx", "x")]
    #[case::reset("\x1bcx", "x")]
    #[case::bidi("user\u{202e}gnp.exe\u{2066}\u{2069}\u{200f}\u{61c}", "usergnp.exe")]
    #[case::zero_width("a\u{200b}b\u{200d}c\u{2060}d\u{feff}e\u{ad}f", "abcdef")]
    #[case::tags("ok\u{e0041}\u{e0042}", "ok")]
    #[case::line_separators("a\u{2028}b\u{2029}c", "abc")]
    #[case::accents("cafe\u{301}", "cafe\u{301}")]
    #[case::accent_on_nothing("\u{301}x", "x")]
    #[case::piled_accents("e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}x", "e\u{301}\u{301}\u{301}\u{301}x")]
    #[case::tab("a\tb", "a       b")]
    #[case::tab_at_a_stop("12345678\tb", "12345678        b")]
    #[case::tab_after_a_wide_character("漢\tb", "漢      b")]
    #[case::carriage_return_at_the_end("done\r", "done")]
    #[case::progress_bar("10 %\r 50 %\r100 %", "100 %")]
    #[case::shorter_text_over_longer("longer\rabc", "abcger")]
    #[case::erased_progress_bar("a long one\r\x1b[Kdone", "done")]
    #[case::erased_line_keeps_the_column("abc\x1b[2Kd", "   d")]
    #[case::erased_up_to_the_cursor("abcd\x08\x08\x1b[1K", "   d")]
    #[case::backspace("\\\x08|\x08/\x08done", "done")]
    #[case::backspace_at_the_edge("\x08\x08x", "x")]
    #[case::over_the_left_half("漢字\rx", "x 字")]
    #[case::over_the_right_half("漢字\x08x", "漢 x")]
    #[case::wide_over_narrow("abcd\r漢", "漢cd")]
    #[case::line_feed("a\nb\r\nc", "a b c")]
    #[case::unfinished_sequence("a\x1b[31", "a")]
    fn what_could_steer_a_terminal_goes(#[case] line: &str, #[case] shown: &str) {
        assert_eq!(plain(line.as_bytes()), shown);
    }

    #[test]
    fn bad_utf8_is_replaced() {
        assert_eq!(plain(b"caf\xe9 cr\xc3\xa8me \x9b31m"), "caf\u{fffd} crème \u{fffd}31m");
    }

    #[rstest]
    #[case("\x1b[31mx", foreground(Colour::Indexed(1)))]
    #[case("\x1b[97mx", foreground(Colour::Indexed(15)))]
    #[case("\x1b[38;5;208mx", foreground(Colour::Indexed(208)))]
    #[case("\x1b[38:5:208mx", foreground(Colour::Indexed(208)))]
    #[case("\x1b[38;2;1;2;3mx", foreground(Colour::Rgb(1, 2, 3)))]
    #[case("\x1b[38:2:1:2:3mx", foreground(Colour::Rgb(1, 2, 3)))]
    #[case("\x1b[38:2::1:2:3mx", foreground(Colour::Rgb(1, 2, 3)))]
    #[case("\x1b[41mx", ink(|ink| ink.background = Some(Colour::Indexed(1))))]
    #[case("\x1b[107mx", ink(|ink| ink.background = Some(Colour::Indexed(15))))]
    #[case("\x1b[48;5;7mx", ink(|ink| ink.background = Some(Colour::Indexed(7))))]
    #[case("\x1b[1;2;3;4;7mx", ink(|ink| (ink.bold, ink.dim, ink.italic, ink.underline, ink.reverse) = (true, true, true, true, true)))]
    #[case("\x1b[4:3mx", ink(|ink| ink.underline = true))]
    #[case("\x1b[1;2;3;4;7m\x1b[22;23;24;27mx", Ink::default())]
    #[case("\x1b[4m\x1b[4:0mx", Ink::default())]
    #[case("\x1b[31;44m\x1b[39;49mx", Ink::default())]
    #[case("\x1b[31;1m\x1b[mx", Ink::default())]
    #[case("\x1b[31;1m\x1b[0mx", Ink::default())]
    #[case::concealed_text_stays_visible("\x1b[8mx", Ink::default())]
    #[case::a_colour_of_the_underline_is_passed_over("\x1b[58;5;4;31mx", foreground(Colour::Indexed(1)))]
    #[case::out_of_range("\x1b[38;5;999mx", Ink::default())]
    #[case::without_its_number("\x1b[38;5mx", Ink::default())]
    #[case::keyboard_mode_is_no_colour("\x1b[>4;1mx", Ink::default())]
    fn colours_stay(#[case] line: &str, #[case] ink: Ink) {
        assert_eq!(sanitise(line.as_bytes()), [Span { ink, text: "x".to_owned() }]);
    }

    #[test]
    fn text_of_one_look_is_one_span() {
        let red = foreground(Colour::Indexed(1));
        let text = |ink, text: &str| Span { ink, text: text.to_owned() };
        assert_eq!(
            sanitise("a\x1b[31mb\x1b[0;31mc\x1b[0m\x1b[32m\x1b[0md".as_bytes()),
            [text(Ink::default(), "a"), text(red, "bc"), text(Ink::default(), "d")]
        );
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let shown = plain(&b"x".repeat(10 * DISPLAY_LIMIT));
        assert_eq!(shown.len(), DISPLAY_LIMIT);
        for lead in 0..4 {
            let line = "x".repeat(lead) + &"🦅".repeat(DISPLAY_LIMIT);
            let shown = plain(line.as_bytes());
            assert!(shown.len() > DISPLAY_LIMIT - 4 && shown.len() <= DISPLAY_LIMIT);
            assert!(!shown.contains('\u{fffd}'));
        }
        assert_eq!(plain(&b"\t".repeat(DISPLAY_LIMIT)).len(), DISPLAY_LIMIT);
    }

    /// Bytes that make sequences, wide characters and marks likely.
    fn hostile_line() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            "\\PC{0,4}".prop_map(String::into_bytes),
            any::<char>().prop_map(|character| character.to_string().into_bytes()),
            "\x1b\\[[0-9;:]{0,12}[mKHJA]".prop_map(String::into_bytes),
            prop::sample::select(vec![
                "\x1b]0;", "\x1bP", "\x1b\\", "\x07", "\r", "\x08", "\t", "漢", "\u{301}", "\u{202e}"
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
        ];
        prop::collection::vec(piece, 0..64).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_that_is_shown_can_steer_a_terminal(line in hostile_line()) {
            let spans = sanitise(&line);
            for span in &spans {
                prop_assert!(!span.text.is_empty());
                for character in span.text.chars() {
                    prop_assert!(!character.is_control(), "{character:?}");
                    prop_assert!(!cells::is_invisible(character), "{character:?}");
                }
            }
            prop_assert!(spans.windows(2).all(|pair| pair[0].ink != pair[1].ink));
        }

        #[test]
        fn what_is_shown_is_bounded(line in hostile_line()) {
            let shown = plain(&line);
            let columns: usize = shown.chars().filter_map(UnicodeWidthChar::width).sum();
            prop_assert!(columns <= DISPLAY_LIMIT);
            prop_assert!(shown.len() <= 8 * line.len());
        }

        #[test]
        fn showing_plain_text_again_changes_nothing(line in hostile_line()) {
            let once = plain(&line);
            prop_assert_eq!(plain(once.as_bytes()), once);
        }
    }
}
