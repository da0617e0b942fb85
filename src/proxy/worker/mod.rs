//! Worker thread: its clock, counters, buffers and requests in flight.

pub(in crate::proxy) mod body;
pub(in crate::proxy) mod charge_over;
pub(in crate::proxy) mod closing;
pub(in crate::proxy) mod context;
pub(in crate::proxy) mod current;
pub(in crate::proxy) mod deadline;
pub(in crate::proxy) mod guard;
pub(in crate::proxy) mod in_flight;
pub(in crate::proxy) mod log;
pub(in crate::proxy) mod request_id;
pub(in crate::proxy) mod request_state;
pub(in crate::proxy) mod run;
pub(in crate::proxy) mod stream;
