//! Colours and glyphs by meaning. A state is never told by its colour alone: glyph and word always stand beside it.

use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};

use crate::ledger::{MigrationState, Standing};
use crate::logs::sanitise::{Colour, Ink};

/// How many colours the terminal is trusted with. Under `kubectl exec` nothing tells (TERM is always `xterm`), so the default is
/// the 16 of the terminal's own palette.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColourDepth {
    /// None at all: bold, reverse and glyphs only.
    None,
    /// The 16 of the palette.
    #[default]
    Ansi,
    /// The 256 of xterm.
    Indexed,
    /// 24 bits.
    True,
}

impl ColourDepth {
    /// What is used when no flag says otherwise: `NO_COLOR` (set and not empty) turns colours off.
    #[must_use]
    pub fn from_environment() -> Self {
        if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) { Self::None } else { Self::Ansi }
    }
}

impl FromStr for ColourDepth {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" | "never" | "off" => Ok(Self::None),
            "16" | "ansi" => Ok(Self::Ansi),
            "256" => Ok(Self::Indexed),
            "truecolor" | "true" | "24bit" => Ok(Self::True),
            _ => Err(format!("a colour depth is none, 16, 256 or truecolor, not {text:?}")),
        }
    }
}

/// How the screen looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appearance {
    /// How many colours.
    pub colour: ColourDepth,
    /// Whether glyphs outside ASCII are avoided.
    pub ascii: bool,
}

#[expect(
    clippy::unused_self,
    reason = "every look is asked for in the same way, whether it depends on the depth or not"
)]
impl Appearance {
    fn coloured(self, style: Style, colour: Color) -> Style {
        if self.colour == ColourDepth::None { style } else { style.fg(colour) }
    }

    /// Ordinary text, in the terminal's own colours.
    pub(super) fn text(self) -> Style {
        Style::new()
    }

    /// Text that may be overlooked.
    pub(super) fn quiet(self) -> Style {
        match self.colour {
            // "Bright black" is invisible in some palettes; faint is not.
            ColourDepth::None | ColourDepth::Ansi => {
                Style::new().add_modifier(Modifier::DIM).remove_modifier(Modifier::BOLD)
            }
            ColourDepth::Indexed | ColourDepth::True => Style::new().fg(Color::Indexed(246)),
        }
    }

    /// Text that must not be overlooked.
    pub(super) fn strong(self) -> Style {
        // Terminals disagree on what bold and faint together are, and text is drawn over faint lines.
        Style::new().add_modifier(Modifier::BOLD).remove_modifier(Modifier::DIM)
    }

    /// What has the focus, and keys.
    pub(super) fn accent(self) -> Style {
        self.coloured(self.strong(), Color::Cyan)
    }

    /// It went well.
    pub(super) fn good(self) -> Style {
        self.coloured(Style::new(), Color::Green)
    }

    /// It wants attention.
    pub(super) fn warning(self) -> Style {
        self.coloured(Style::new(), Color::Yellow)
    }

    /// It went wrong, or may do harm.
    pub(super) fn danger(self) -> Style {
        self.coloured(self.strong(), Color::Red)
    }

    /// It is at work.
    pub(super) fn live(self) -> Style {
        self.coloured(self.strong(), Color::Blue)
    }

    /// A block of colour that carries a word, e.g. the environment.
    pub(super) fn badge(self, meaning: Style) -> Style {
        meaning.add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    /// The selected row, over its cells' own styles.
    pub(super) fn selection(self, focused: bool) -> Style {
        match (self.colour, focused) {
            (ColourDepth::None | ColourDepth::Ansi, true) => Style::new().add_modifier(Modifier::REVERSED),
            (ColourDepth::Indexed | ColourDepth::True, true) => {
                Style::new().bg(Color::Indexed(238)).add_modifier(Modifier::BOLD)
            }
            (_, false) => self.strong(),
        }
    }

    /// A found piece of text.
    pub(super) fn found(self) -> Style {
        self.coloured(Style::new(), Color::Yellow).add_modifier(Modifier::REVERSED)
    }

    /// The look of a state's glyph and word.
    pub(super) fn state(self, state: MigrationState) -> Style {
        match state {
            MigrationState::Pending => self.text(),
            MigrationState::Running | MigrationState::Pausing | MigrationState::Cancelling => self.live(),
            MigrationState::Paused | MigrationState::Interrupted | MigrationState::Changed => self.warning(),
            MigrationState::Lost | MigrationState::Failed | MigrationState::Broken => self.danger(),
            MigrationState::Applied => self.good(),
            MigrationState::Cancelled | MigrationState::Missing => self.quiet(),
        }
    }

    /// A glyph for a state, one column wide.
    pub(super) fn glyph(self, state: MigrationState) -> &'static str {
        let (unicode, ascii) = match state {
            MigrationState::Pending => ("○", "."),
            MigrationState::Running => ("●", "*"),
            MigrationState::Pausing => ("◐", "*"),
            MigrationState::Paused => ("‖", "="),
            MigrationState::Cancelling => ("◑", "*"),
            MigrationState::Interrupted => ("↯", "~"),
            MigrationState::Lost => ("?", "?"),
            MigrationState::Failed => ("✗", "x"),
            MigrationState::Cancelled => ("⊘", "-"),
            MigrationState::Applied => ("✓", "+"),
            MigrationState::Changed => ("≠", "#"),
            MigrationState::Missing => ("∅", "0"),
            MigrationState::Broken => ("!", "!"),
        };
        self.pick(unicode, ascii)
    }

    /// The Unicode text, or the ASCII one where only that may be used.
    pub(super) fn pick<T>(self, unicode: T, ascii: T) -> T {
        if self.ascii { ascii } else { unicode }
    }

    /// The style of a piece of log. A colour that the terminal is not trusted with becomes the nearest of the 16.
    pub(super) fn ink(self, ink: Ink) -> Style {
        let mut style = Style::new();
        if let Some(colour) = ink.foreground.and_then(|colour| self.convert(colour)) {
            style = style.fg(colour);
        }
        if let Some(colour) = ink.background.and_then(|colour| self.convert(colour)) {
            style = style.bg(colour);
        }
        for (wanted, modifier) in [
            (ink.bold, Modifier::BOLD),
            (ink.dim, Modifier::DIM),
            (ink.italic, Modifier::ITALIC),
            (ink.underline, Modifier::UNDERLINED),
            (ink.reverse, Modifier::REVERSED),
        ] {
            if wanted {
                style = style.add_modifier(modifier);
            }
        }
        style
    }

    fn convert(self, colour: Colour) -> Option<Color> {
        match (self.colour, colour) {
            (ColourDepth::None, _) => None,
            (_, Colour::Indexed(index @ 0..16)) => Some(PALETTE[usize::from(index)]),
            (ColourDepth::Ansi, Colour::Indexed(index)) => {
                let (red, green, blue) = xterm_rgb(index);
                Some(nearest_ansi(red, green, blue))
            }
            (_, Colour::Indexed(index)) => Some(Color::Indexed(index)),
            (ColourDepth::True, Colour::Rgb(red, green, blue)) => Some(Color::Rgb(red, green, blue)),
            (ColourDepth::Indexed, Colour::Rgb(red, green, blue)) => {
                let step = |value: u8| (u16::from(value) * 5 + 127) / 255;
                u8::try_from(16 + 36 * step(red) + 6 * step(green) + step(blue)).ok().map(Color::Indexed)
            }
            (ColourDepth::Ansi, Colour::Rgb(red, green, blue)) => Some(nearest_ansi(red, green, blue)),
        }
    }
}

/// The state of a migration whose latest run stands so: runs and migrations share glyphs and colours.
pub(super) fn as_state(standing: Standing) -> MigrationState {
    match standing {
        Standing::Queued | Standing::Running => MigrationState::Running,
        Standing::Pausing => MigrationState::Pausing,
        Standing::Cancelling => MigrationState::Cancelling,
        Standing::Lost => MigrationState::Lost,
        Standing::Paused => MigrationState::Paused,
        Standing::Interrupted => MigrationState::Interrupted,
        Standing::Failed => MigrationState::Failed,
        Standing::Cancelled => MigrationState::Cancelled,
        Standing::Succeeded => MigrationState::Applied,
    }
}

const PALETTE: [Color; 16] = [
    Color::Black,
    Color::Red,
    Color::Green,
    Color::Yellow,
    Color::Blue,
    Color::Magenta,
    Color::Cyan,
    Color::Gray,
    Color::DarkGray,
    Color::LightRed,
    Color::LightGreen,
    Color::LightYellow,
    Color::LightBlue,
    Color::LightMagenta,
    Color::LightCyan,
    Color::White,
];

/// What xterm shows for one of its upper 240 colours: a cube of six steps a side, then a ramp of greys.
fn xterm_rgb(index: u8) -> (u8, u8, u8) {
    if index >= 232 {
        let grey = 8 + (index - 232) * 10;
        return (grey, grey, grey);
    }
    let cube = index.saturating_sub(16);
    let level = |step: u8| if step == 0 { 0 } else { 55 + step * 40 };
    (level(cube / 36), level(cube / 6 % 6), level(cube % 6))
}

/// One bit per channel, and a bright form for strong colours.
fn nearest_ansi(red: u8, green: u8, blue: u8) -> Color {
    let highest = red.max(green).max(blue);
    if highest < 48 {
        return Color::Black;
    }
    let bit = |value: u8| usize::from(value > highest / 2);
    let index = bit(red) | bit(green) << 1 | bit(blue) << 2;
    PALETTE[if highest > 208 { index + 8 } else { index }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_glyph_of_its_own_unless_its_word_tells() {
        let plain = Appearance::default();
        let glyphs: std::collections::HashSet<_> =
            MigrationState::ALL.iter().map(|&state| plain.glyph(state)).collect();
        assert_eq!(glyphs.len(), MigrationState::ALL.len());
    }

    #[test]
    fn without_colour_no_style_has_one() {
        let plain = Appearance { colour: ColourDepth::None, ascii: false };
        for state in MigrationState::ALL {
            let style = plain.state(state);
            assert_eq!((style.fg, style.bg), (None, None), "{state}");
        }
        let ink = Ink { foreground: Some(Colour::Rgb(255, 0, 0)), ..Ink::default() };
        assert_eq!(plain.ink(ink).fg, None);
    }

    #[test]
    fn a_colour_beyond_the_depth_becomes_a_near_one() {
        let ansi = Appearance { colour: ColourDepth::Ansi, ascii: false };
        let of = |colour| ansi.ink(Ink { foreground: Some(colour), ..Ink::default() }).fg;
        assert_eq!(of(Colour::Rgb(200, 10, 10)), Some(Color::Red));
        assert_eq!(of(Colour::Rgb(255, 250, 240)), Some(Color::White));
        assert_eq!(of(Colour::Indexed(21)), Some(Color::LightBlue));
        assert_eq!(of(Colour::Indexed(2)), Some(Color::Green));
    }

    #[test]
    fn depths_have_names() {
        assert_eq!("256".parse(), Ok(ColourDepth::Indexed));
        assert!("many".parse::<ColourDepth>().unwrap_err().contains("truecolor"));
    }
}
