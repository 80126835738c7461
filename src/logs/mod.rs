//! What runs print: written by the worker, mirrored to PID 1, archived in the ledger, and read back a page at a time.
//!
//! The log file of a run is the buffer between them all: nobody keeps lines in memory. It consists of records in the
//! format of the Kubernetes container runtime interface (CRI), so that the tools people have can read it:
//!
//! ```text
//! 2026-11-04T02:13:55.041Z stdout F charge 8812 done
//! 2026-11-04T02:13:55.042Z stderr P a very long line, cut into pieces of at most 16 KiB ...
//! 2026-11-04T02:13:55.042Z stderr F ... of which the last is marked F
//! 2026-11-04T02:13:56.120Z system F attempt 2 started
//! ```

pub mod archive;
pub mod ecs;
pub mod file;
pub mod mirror;
pub mod reader;
pub mod record;
pub mod sanitise;
