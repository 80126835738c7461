//! One run in its own process.

mod framing;
mod mask;
mod protocol;
mod pump;
mod tail;
mod warnings;
