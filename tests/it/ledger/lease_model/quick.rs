//! A hash for many small states.

use std::hash::{BuildHasherDefault, Hasher};

/// Makes [`Quick`].
pub type BuildQuick = BuildHasherDefault<Quick>;

/// Multiply and turn: as good as the states need, and several times as fast as what resists an attacker.
#[derive(Default)]
pub struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u8(byte);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x517C_C1B7_2722_0A95);
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x517C_C1B7_2722_0A95);
    }

    fn write_isize(&mut self, number: isize) {
        self.0 = (self.0.rotate_left(5) ^ number.cast_unsigned() as u64).wrapping_mul(0x517C_C1B7_2722_0A95);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}
