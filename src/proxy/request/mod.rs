//! One request, over any protocol: judged, answered, counted and logged.

pub(in crate::proxy) mod connection;
pub(in crate::proxy) mod judge;
pub(in crate::proxy) mod key_endpoint;
pub(in crate::proxy) mod log_entry;
pub(in crate::proxy) mod page;
pub(in crate::proxy) mod reply;
pub(in crate::proxy) mod respond;
pub(in crate::proxy) mod response;
pub(in crate::proxy) mod response_body;
pub(in crate::proxy) mod whole_body;
