//! The admin API: HTTP and JSON around the key service, described by OpenAPI.
//!
//! A call passes these in their order: there is an admin token at all; `Host` and `Origin` are no
//! foreign web page's; the path and the method are known; the token is known and may do this; path,
//! query and header fields can be read; the body can be read. Then the key service is asked.

mod call;
mod document;
mod gateway;
mod keys;
mod organizations;
mod problem;
mod proof;
mod proof_rate;
mod record;
mod reload;
mod request;
mod router;
mod running;
mod state;

pub(super) use proof_rate::ProofRate;
pub(super) use reload::{ReloadReport, ReloadRequest};
pub(super) use request::{Arrival, BODY_TIMEOUT};
pub(super) use router::{finish, router};
pub(super) use state::{Settings, State};
