//! Stopover: the safest way to run data migrations in production.
//!
//! The map of the house; arrows point downwards only, and nothing below `console` knows of a screen.
//!
//! ```text
//! cli       console          what people and scripts touch
//!   \       /
//!   recovery    |            what a pod does about runs without an operator
//!       |       |
//!    launch   worker  keeper how a run comes to be; one run in its own process; PID 1 of the pod
//!        \    /
//!    notify  telemetry       who is told what happens to runs; what backends and scrapers see of them
//!          |     |
//!          |   engine        executes steps against MongoDB
//!          |     |
//!         logs  voice        what runs print: file, mirror, archive, reading; what the pod says
//!          |
//!  trace_context  events  diagnostics   which trace a run is; what happens, for `tracing`; where the console notes it
//!          |
//!        ledger              what was run: MongoDB or SQLite
//!          |
//!        catalog             what can be run: stopover.yaml and its migrations
//!          |
//!   config http_client http_trouble lease place pod private process reading secret time
//! ```

#![forbid(unsafe_code)]

pub mod catalog;
pub mod cli;
pub mod config;
pub mod console;
pub mod diagnostics;
pub mod engine;
pub mod events;
mod http_client;
mod http_trouble;
pub mod keeper;
pub mod launch;
pub mod lease;
pub mod ledger;
pub mod logs;
pub mod notify;
pub mod place;
pub mod pod;
mod private;
pub mod process;
mod reading;
pub mod recovery;
pub mod secret;
pub mod telemetry;
pub mod time;
pub mod trace_context;
pub mod voice;
pub mod worker;
