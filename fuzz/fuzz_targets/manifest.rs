//! Reading a manifest: whatever the bytes are, nothing panics, and every problem lies within the text.
//!
//! `cargo +nightly fuzz run manifest`

#![no_main]

use libfuzzer_sys::fuzz_target;
use stopover::catalog::check_manifest;

fuzz_target!(|text: &str| {
    // Lines as YAML counts them: a lone carriage return ends one, too.
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = unix.lines().collect();
    for problem in check_manifest(text) {
        assert!(!problem.message.is_empty() && !problem.remedy.is_empty());
        let Some((line, column)) = problem.position else { continue };
        let shown = lines.get(line as usize - 1).copied().unwrap_or_default();
        assert!((1..=lines.len().max(1)).contains(&(line as usize)), "{problem}");
        assert!((1..=shown.chars().count() + 1).contains(&(column as usize)), "{problem}");
    }
});
