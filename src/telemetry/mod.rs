//! What others see of runs from outside: figures about them, for whoever collects such.
//!
//! ```text
//! engine, heart, mirror ──> figures ──> meters ──> OTLP
//!                              └──> keeping (thread) ──> metrics/MIGRATION.json ──┐
//! histories ──> census ──> meters ──> OTLP                                        │
//!         └───────────────────────────────> page ──> `stopover metrics` ──> Prometheus
//! ```
//!
//! One rule holds for all of it: it never slows, blocks or fails a run. Who counts is told in passing; what may wait, for a disk or for
//! somebody else's server, waits on a thread of its own.

pub mod census;
pub mod distribution;
pub mod figures;
pub mod keeping;
pub mod meters;
pub mod page;
