//! The ledger in MongoDB, shared by every pod of an environment.
//!
//! - Writes wait for a majority of the servers and their journals, and each is one document: it needs no transaction, so a
//!   standalone server will do, and the driver repeats it safely when a connection breaks.
//! - Reads ask the primary, with read concern `local`: the newest there is. (`majority` would stand still for as long as a member
//!   of a three-member set with an arbiter is away, and show an operator the past as the present.)
//! - Time is the server's: `$$NOW`, or `hello` where there is no document to read it with.
//! - A run and its events are one document, `_id` the run's id. [`Run::updated_at`](super::Run::updated_at) is its revision: a change is a compare-and-set
//!   on it, so that the rules of [`Run::apply`](super::Run::apply) decide here as they do in the embedded store.

mod connection;
mod error;
mod reader;
mod record;
mod schema;
mod writer;

pub(super) use reader::MongoReader;
pub(super) use writer::MongoWriter;
