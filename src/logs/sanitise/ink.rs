//! How text looks, as programs ask for it by "select graphic rendition" (SGR, ECMA-48 8.3.117).

use vte::Params;

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

impl Ink {
    /// Takes up one SGR sequence. Blinking and concealment are left out: they would keep text from being read.
    pub(super) fn apply(&mut self, params: &Params) {
        let mut params = params.iter();
        while let Some(param) = params.next() {
            let Some((&code, details)) = param.split_first() else { continue };
            match code {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underline = details.first() != Some(&0),
                7 => self.reverse = true,
                21 => self.underline = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                27 => self.reverse = false,
                30..=37 => self.foreground = indexed(code - 30),
                38 => self.foreground = extended(details, &mut params).or(self.foreground),
                39 => self.foreground = None,
                40..=47 => self.background = indexed(code - 40),
                48 => self.background = extended(details, &mut params).or(self.background),
                49 => self.background = None,
                // The underline's colour is not kept, but its parameters must not be taken for something else.
                58 => drop(extended(details, &mut params)),
                90..=97 => self.foreground = indexed(code - 90 + 8),
                100..=107 => self.background = indexed(code - 100 + 8),
                _ => {}
            }
        }
    }
}

fn indexed(number: u16) -> Option<Colour> {
    u8::try_from(number).ok().map(Colour::Indexed)
}

/// The colour after a 38, 48 or 58: `5:n`, `2:r:g:b` or `2:space:r:g:b` within the same parameter, or `5;n` or `2;r;g;b` in
/// those that follow.
fn extended<'a>(details: &[u16], params: &mut impl Iterator<Item = &'a [u16]>) -> Option<Colour> {
    let mut following = || params.next().and_then(|param| param.first().copied());
    let rgb = |red: u16, green: u16, blue: u16| {
        Some(Colour::Rgb(u8::try_from(red).ok()?, u8::try_from(green).ok()?, u8::try_from(blue).ok()?))
    };
    match *details {
        [5, number] => indexed(number),
        [2, red, green, blue] | [2, _, red, green, blue, ..] => rgb(red, green, blue),
        [] => match following()? {
            5 => indexed(following()?),
            2 => {
                let (red, green, blue) = (following()?, following()?, following()?);
                rgb(red, green, blue)
            }
            _ => None,
        },
        _ => None,
    }
}
