//! What two processes of Keygate share while one takes over from the other: messages and open
//! sockets over a Unix socket, and one count of requests for both. Who says what and when is
//! `control/upgrade`'s.

mod ledger;
mod wire;

pub use ledger::{Link, Order, Outcome, serve};
pub use wire::{pass, read, receive, send, take, write};
