//! Colours on a terminal that follows the command line's output.

use std::fmt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::logs::record::Stream;
use crate::logs::sanitise::{Colour, Ink, Span};

/// A span with its ink as a control sequence around it. Text without a colour of its own has that of its stream.
pub struct Paint<'a> {
    /// What to paint.
    pub span: &'a Span,
    /// Where its line came from.
    pub stream: Stream,
}

impl fmt::Display for Paint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ink = self.span.ink;
        ink.foreground = ink.foreground.or(match self.stream {
            Stream::Stdout => None,
            Stream::Stderr => Some(Colour::Indexed(1)),
            Stream::System => Some(Colour::Indexed(6)),
        });
        if ink == Ink::default() {
            return f.write_str(&self.span.text);
        }
        f.write_str("\x1b[0")?;
        for (is_set, code) in [(ink.bold, 1), (ink.dim, 2), (ink.italic, 3), (ink.underline, 4), (ink.reverse, 7)] {
            if is_set {
                write!(f, ";{code}")?;
            }
        }
        colour(f, ink.foreground, 30)?;
        colour(f, ink.background, 40)?;
        write!(f, "m{}\x1b[0m", self.span.text)
    }
}

/// `base` is 30 for the foreground and 40 for the background.
fn colour(f: &mut fmt::Formatter<'_>, colour: Option<Colour>, base: u8) -> fmt::Result {
    match colour {
        None => Ok(()),
        Some(Colour::Indexed(number @ 0..=7)) => write!(f, ";{}", base + number),
        Some(Colour::Indexed(number @ 8..=15)) => write!(f, ";{}", base + 60 + number - 8),
        Some(Colour::Indexed(number)) => write!(f, ";{};5;{number}", base + 8),
        Some(Colour::Rgb(red, green, blue)) => write!(f, ";{};2;{red};{green};{blue}", base + 8),
    }
}

/// Whether nobody can read standard output any more: a write would say so, but there may be nothing to write.
pub fn is_stdout_closed() -> bool {
    let stdout = std::io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok()
        && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::sanitise::sanitise;
    use rstest::rstest;

    #[rstest]
    #[case("plain", "plain")]
    #[case("\x1b[1;31mred", "\x1b[0;1;31mred\x1b[0m")]
    #[case("\x1b[96;48;5;208mx", "\x1b[0;96;48;5;208mx\x1b[0m")]
    #[case("\x1b[38;2;1;2;3;107mx", "\x1b[0;38;2;1;2;3;107mx\x1b[0m")]
    fn colours_are_written_as_they_were_read(#[case] line: &str, #[case] painted: &str) {
        let spans = sanitise(line.as_bytes());
        let text: String = spans.iter().map(|span| Paint { span, stream: Stream::Stdout }.to_string()).collect();
        assert_eq!(text, painted);
        assert_eq!(sanitise(text.as_bytes()), spans);
    }

    #[test]
    fn what_is_not_standard_output_stands_out() {
        let span = &sanitise(b"x")[0];
        assert_eq!(Paint { span, stream: Stream::Stderr }.to_string(), "\x1b[0;31mx\x1b[0m");
        assert_eq!(Paint { span, stream: Stream::System }.to_string(), "\x1b[0;36mx\x1b[0m");
    }
}
