//! Whatever a program prints, what is shown of it cannot steer a terminal, and is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopover::logs::sanitise::{DISPLAY_LIMIT, plain, sanitise};
use unicode_width::UnicodeWidthChar;

fuzz_target!(|line: &[u8]| {
    let spans = sanitise(line);
    for span in &spans {
        assert!(!span.text.is_empty());
        assert!(!span.text.chars().any(char::is_control));
        assert!(!span.text.chars().any(
            |c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        ));
    }
    let shown: String = spans.into_iter().map(|span| span.text).collect();
    assert!(shown.chars().filter_map(UnicodeWidthChar::width).sum::<usize>() <= DISPLAY_LIMIT);
    if shown.len() <= DISPLAY_LIMIT {
        assert_eq!(plain(shown.as_bytes()), shown);
    }
});
