//! Log chunks as they are stored: deflated, because logs shrink to a tenth and travel to a majority of servers.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

/// How long archived log is kept.
pub(super) const LOG_KEPT_DAYS: u64 = 90;

/// Compresses a chunk.
pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes every write")
}

/// Restores a chunk.
///
/// # Errors
/// When the bytes are not what [`pack`] made.
pub(super) fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_comes_back_as_it_was_and_repetition_costs_little() {
        let bytes = b"2026-11-04T02:13:55.041Z stdout F charge 8812 done\n".repeat(1_000);
        let packed = pack(&bytes);
        assert!(packed.len() * 10 < bytes.len());
        assert_eq!(unpack(&packed).unwrap(), bytes);
        assert_eq!(unpack(&pack(b"")).unwrap(), b"");
        assert!(unpack(b"not packed").is_err());
    }
}
