//! The governor.
