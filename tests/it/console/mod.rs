//! The console: its model and its pictures, and the real one in a real terminal.

mod connection;
mod native;
mod picture;
mod scenery;
mod shapes;
mod steps;
mod terminal;
mod wall;
mod watch;
