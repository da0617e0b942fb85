//! The key service: the rules by which keys are made, changed, rotated, revoked and accounted for.
//!
//! It stands between those who ask (the admin API, the documents' key endpoints), the store, which
//! makes a change durable, and the registry, which puts it in force. A change that gives access is
//! committed before it is published; one that only takes access away is published before it is
//! committed. So what was acknowledged is both durable and in force, and nothing is in force that
//! was not acknowledged, but that something may be refused already.
//!
//! | file | what is there |
//! |---|---|
//! | `service.rs` | how the rest of the program calls it |
//! | `operations.rs` | what the operations work with |
//! | `actor.rs`, `model.rs`, `error.rs` | who asks, what is asked, and what is answered |
//! | `validate.rs`, `rights.rs`, `timestamp.rs` | whether it makes sense, and what it means |
//! | `create.rs`, `change.rs`, `revoke.rs`, `organizations.rs` | the changes |
//! | `found.rs`, `queries.rs`, `view.rs` | reading without changing |
//! | `expired.rs` | what memory keeps of keys that have expired |
//! | `key_endpoints.rs`, `key_bodies.rs` | the documents' own key endpoints |

mod actor;
mod change;
mod create;
mod error;
mod expired;
mod found;
mod key_bodies;
mod key_endpoints;
mod model;
mod operations;
mod organizations;
mod queries;
mod revoke;
mod rights;
mod service;
#[cfg(test)]
mod tests;
mod timestamp;
mod validate;
mod view;

pub(in crate::control) use actor::Actor;
pub(in crate::control) use error::{Result, ServiceError, Violation};
pub(in crate::control) use model::*;
pub(in crate::control) use operations::KeyOperations;
pub(in crate::control) use service::KeyService;
