//! The native engine, against real servers.

mod governor;
