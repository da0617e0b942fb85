//! Clients: connections and their protocols.

pub(in crate::proxy) mod accept;
pub(in crate::proxy) mod connection;
pub(in crate::proxy) mod http1;
pub(in crate::proxy) mod http2;
