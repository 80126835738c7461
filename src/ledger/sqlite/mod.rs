//! The embedded ledger: one SQLite file in WAL mode, shared by many processes of one machine.
//!
//! A commit is on the disk when a call returns (`synchronous=FULL`). Every write is one transaction that takes the write
//! lock first (`BEGIN IMMEDIATE`), so that what it reads cannot change before it writes.

mod clock;
mod error;
mod file;
mod reader;
mod schema;
mod writer;

pub(super) use reader::SqliteReader;
pub(super) use writer::SqliteWriter;
