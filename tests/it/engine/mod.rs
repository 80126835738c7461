//! The native engine, on real databases.

mod backfill;
mod governor;
mod rig;
