//! The terminal console: what an operator attaches to.
//!
//! Model, message, update, view. [`app::App`] is the model; [`update::update`] is pure and never waits; [`ui::view`] only reads.
//! What the model wants of the outside is an [`effect::Effect`], which the runtime carries out and answers with messages:
//!
//! ```text
//!   keys, feed, log, answers --> Message --> update --> Effect --> runtime --> Message ...
//!                                              |
//!                                             App --> view --> frame --> thread that writes the terminal
//! ```
//!
//! A wall display ([`wall`]) is the same console in which turns take the place of the cursor, and keys do nothing but leave.
//!
//! The console owns nothing: closing it, or losing it, never touches a run.

mod access;
mod actions;
pub mod app;
pub mod clock;
pub mod dialog;
pub mod effect;
mod feed;
pub mod filter;
pub mod form;
mod inspector;
pub mod keymap;
pub mod link;
pub mod log_pane;
mod log_reader;
pub mod message;
mod runtime;
pub mod table;
pub mod terminal;
mod theme;
pub mod ui;
pub mod update;
pub mod wall;

pub use runtime::{Ending, run, watch};
pub use theme::{Appearance, ColourDepth};
