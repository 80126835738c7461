//! Making what a program printed safe to show: colours stay, everything else that could steer a terminal goes.

/// A colour as a program asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Colour {
    /// One of the 16 of the terminal's own palette, or of the 256.
    Indexed(u8),
    /// 24 bits.
    Rgb(u8, u8, u8),
}

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent attribute of SGR")]
pub struct Ink {
    /// Foreground; `None` is the terminal's own.
    pub foreground: Option<Colour>,
    /// Background; `None` is the terminal's own.
    pub background: Option<Colour>,
    /// SGR 1.
    pub bold: bool,
    /// SGR 2.
    pub dim: bool,
    /// SGR 3.
    pub italic: bool,
    /// SGR 4.
    pub underline: bool,
    /// SGR 7.
    pub reverse: bool,
}

/// A piece of text of one look; it holds no control character of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// How it looks.
    pub ink: Ink,
    /// What it says.
    pub text: String,
}

/// Bytes of a line that are looked at for display; the rest is cut.
pub const DISPLAY_LIMIT: usize = 16 * 1024;

/// The displayable form of one line: colours stay as [`Ink`]; other control sequences, C0 and C1, bidirectional and
/// zero-width characters go; tabs expand to multiples of eight; a lone carriage return overwrites; bad UTF-8 becomes U+FFFD.
#[must_use]
pub fn sanitise(_line: &[u8]) -> Vec<Span> {
    todo!()
}

/// The same without any look: plain text for records, tables and pipes.
#[must_use]
pub fn plain(line: &[u8]) -> String {
    sanitise(line).into_iter().map(|span| span.text).collect()
}
