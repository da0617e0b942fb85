//! Another program takes over from the running one, and no request is lost.
//!
//! The running process starts the program that now stands where it was itself started from, and
//! stays at work. Over a socket pair:
//!
//! | | the running process | the new one |
//! |---|---|---|
//! | 1 | passes its listening sockets on | reads `gateway.toml`, binds what addresses are new |
//! | 2 | takes no more admin calls (they wait in the system's queue), closes the store | opens it, builds its table of keys |
//! | 3 | has its workers ask the new process for each request's count, and sends what was counted so far | goes on counting |
//! | 4 | | accepts connections, answers admin calls |
//! | 5 | accepts none any more, serves those that are open until their clients go over | tells it of revocations, writes down its uses |
//!
//! Until the new process accepts connections, whatever goes wrong ends it, and the running one goes
//! on as if nothing had been.
//!
//! | file | what is there |
//! |---|---|
//! | `attend.rs` | the running process: one upgrade after the other, and what follows each |
//! | `hand_over.rs` | the running process: steps 1 to 4 |
//! | `state.rs` | what it hands over |
//! | `request.rs` | who asks for an upgrade, and why there was none |
//! | `program.rs` | what is started |
//! | `message.rs` | what the two say to each other |
//! | `inherit.rs` | the new process |
//! | `relay.rs` | both, once the new one has taken over |

mod attend;
mod hand_over;
mod inherit;
mod message;
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
