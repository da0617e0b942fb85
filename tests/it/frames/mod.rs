//! HTTP/2 on bare sockets: frames, states, header blocks and requests as no library would send
//! them, each with the section that says what must happen; and floods, stalls and other ways to
//! wear a server out.

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
