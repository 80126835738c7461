//! The native engine: executes the steps of a manifest against MongoDB, inside the worker.
//!
//! ```text
//! steps ──> walk (slices of `_id`s) ──> lanes ──> apply + checkpoint in one transaction
//!              ^ ranges                   ^ throttle <── governor <── the server's own figures
//! ```

pub mod apply;
pub mod fault;
pub mod json;
pub mod site;
pub mod slice;
pub mod transform;
