//! Everything that is tested from outside: real files, processes, terminals and databases. One binary, to link once.

mod catalog;
mod cli;
mod ledger;
mod readme;
mod support;
