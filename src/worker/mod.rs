//! One run in its own process.
