//! HTTP/2 tests that use sockets directly: frames, stream states, header blocks and requests that
//! no library would send, each with the section that specifies the result; and floods, stalls and
//! other denial-of-service attacks.

mod closing;
mod connection;
mod credit;
mod exhaustion;
mod honest;
mod hpack;
mod injection;
mod kinds;
mod partial;
mod priority;
mod requests;
mod stalls;
mod states;
mod suite;
mod wire;
