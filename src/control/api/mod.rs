//! The admin API: HTTP and JSON for the key service, described by OpenAPI.
//!
//! A call is checked in this order. The path must exist. There must be an admin token at all.
//! `Host` and `Origin` must not be those of a foreign web page. The method must exist. The token
//! must be known and permit the call. Path, query and header fields must be valid. The body must be
//! valid. Then the key service is called.

mod call;
mod document;
mod gateway;
mod keys;
mod organizations;
mod problem;
mod proof;
mod record;
mod reload;
mod request;
mod router;
mod running;
mod sessions;
mod state;
mod uses;

pub(super) use reload::{ReloadReport, ReloadRequest};
pub(super) use request::{Arrival, BODY_TIMEOUT};
pub(super) use router::{finish, router};
pub(super) use state::{Settings, State};
