//! Lets another program take over from the running one without losing a request.
//!
//! The running process starts the program that is now at the path it was itself started from, and
//! continues to serve. The two communicate over a socket pair:
//!
//! 1. The running process sends its listening sockets. The new one reads `gateway.toml` and binds
//!    the new addresses.
//! 2. The running process stops accepting admin calls, which wait in the system's queue, and closes
//!    the store. The new one opens the store and builds its table of keys.
//! 3. The running process's workers switch to counting each request in the new process, and it
//!    sends the counts so far. The new one continues these counts.
//! 4. The new process accepts connections and handles admin calls.
//! 5. The running process accepts no more connections, and serves the open ones until their clients
//!    reconnect. The new one notifies it of revocations, and stores its key usage.
//!
//! Until the new process accepts connections, any failure ends it, and the running process
//! continues as before.
//!
//! | file | content |
//! |---|---|
//! | `attend.rs` | the running process: one upgrade after another, and what follows each |
//! | `hand_over.rs` | the running process: steps 1 to 4 |
//! | `state.rs` | the handover state |
//! | `request.rs` | requests for an upgrade, and errors |
//! | `program.rs` | the program to start |
//! | `message.rs`, `page_message.rs` | the messages between the two |
//! | `inherit.rs` | the new process |
//! | `relay.rs` | both processes after the takeover |

mod attend;
mod hand_over;
mod inherit;
mod message;
mod page_message;
mod program;
mod relay;
mod request;
mod state;

pub(super) use attend::attend;
pub use inherit::Inheritance;
pub use message::Purpose;
pub use program::Program;
pub(super) use relay::follow;
pub(super) use request::{Refused, UpgradeRequest};
pub use state::Handover;
pub(super) use state::HandoverState;
