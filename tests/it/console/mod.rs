//! The console: its model and its pictures, and the real one in a real terminal.

mod native;
mod picture;
mod scenery;
mod steps;
mod terminal;
mod wall;
mod watch;
