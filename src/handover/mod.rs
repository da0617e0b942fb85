//! The transport between two processes of Keygate while one takes over from the other: messages,
//! open sockets over a Unix socket, and one request count for both. The protocol itself is in
//! `control/upgrade`.

mod ledger;
mod wire;

pub use ledger::{Link, Order, Outcome, serve};
pub use wire::{pass, read, receive, send, take, write};
