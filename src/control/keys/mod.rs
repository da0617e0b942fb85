//! The key service: the rules for creating, changing, rotating, revoking and listing keys.
//!
//! The admin API and the APIs' own key endpoints call it. It makes changes durable in the store and
//! puts them in force in the registry. A change that grants access is committed before it is
//! published. A change that only removes access is published before it is committed. Every
//! acknowledged change is therefore durable and in force, and no access is granted that is not
//! durable. A change that failed may have removed access nevertheless.
//!
//! | file | content |
//! |---|---|
//! | `service.rs` | the interface for the rest of the program |
//! | `operations.rs` | the state that the operations share |
//! | `actor.rs`, `model.rs`, `error.rs` | callers, requests, responses and errors |
//! | `validate.rs`, `rights.rs`, `timestamp.rs` | validation of requests |
//! | `create.rs`, `change.rs`, `revoke.rs`, `organizations.rs` | changes |
//! | `found.rs`, `queries.rs`, `view.rs` | reading without changes |
//! | `expired.rs` | restoring expired keys to memory |
//! | `key_endpoints.rs`, `key_bodies.rs` | the APIs' own key endpoints |

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
