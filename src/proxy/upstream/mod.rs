//! Upstreams: connections, forwarded requests, responses.

pub(in crate::proxy) mod failed;
pub(in crate::proxy) mod forward;
pub(in crate::proxy) mod http1;
pub(in crate::proxy) mod outbound;
pub(in crate::proxy) mod pool;
pub(in crate::proxy) mod request_body;
pub(in crate::proxy) mod response;
pub(in crate::proxy) mod websocket;
