//! Telling people what happens to runs, by the receivers of `notify:` in `stopover.yaml`.
//!
//! ```text
//! worker, recovery ── notice ──> sender ── a queue and a thread for each receiver ──> post ── HTTPS ──> receiver
//!                                  ^
//!        settings, environment ── receivers: addresses and headers with their secrets filled in
//! ```
//!
//! Whoever has something to tell hands it over and goes on: nobody waits for a receiver, a queue that is full takes no more, and what could not
//! be delivered in time is given up. A notice can come twice, and has the same id then; it is never waited for that it comes at all.

mod authorities;
mod behalf;
mod notice;
mod post;
mod receivers;
mod sender;
mod slack;

pub use behalf::Behalf;
pub use notice::Notice;
pub use post::{Again, Post, Trouble};
pub use receivers::{Ready, Receivers, Unusable, is_of_here, secrets};
pub use sender::{Sender, THREAD, Told};
