//! Everything that is tested from outside: real files, processes, terminals and databases. One binary, to link once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod catalog;
mod catalog_steps;
mod cli;
mod console;
mod diagnostics;
mod doctor;
mod engine;
mod faults;
mod keeper;
mod kibana;
mod ledger;
mod logs;
mod manifests;
mod metrics;
mod mongodb;
mod native;
mod notify;
mod plugin;
mod read_only;
mod readme;
mod recovery;
mod samples;
mod scaffold;
mod support;
mod telemetry;
mod transforms;
mod version;
mod worker;
