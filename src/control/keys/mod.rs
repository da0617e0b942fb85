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
//! | `actor.rs`, `permission.rs`, `narrowing.rs` | callers, and what they may do |
//! | `model.rs`, `error.rs` | requests, responses and errors |
//! | `validate.rs`, `rights.rs`, `timestamp.rs` | validation of requests |
//! | `create.rs`, `change.rs`, `revoke.rs`, `organizations.rs` | changes |
//! | `found.rs`, `queries.rs`, `view.rs` | reading without changes |
//! | `uses.rs`, `use_model.rs` | how much keys are used |
//! | `sessions.rs`, `session_model.rs`, `session_checks.rs` | portal sessions |
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
mod narrowing;
mod operations;
mod organizations;
mod permission;
mod queries;
mod revoke;
mod rights;
mod service;
mod session_checks;
mod session_model;
mod sessions;
#[cfg(test)]
mod tests;
mod timestamp;
mod use_model;
mod uses;
mod validate;
mod view;

pub(in crate::control) use actor::Actor;
pub(in crate::control) use create::new_idempotency_key;
pub(in crate::control) use error::{Result, ServiceError, Violation};
pub(in crate::control) use model::*;
pub(in crate::control) use narrowing::Narrowing;
pub(in crate::control) use operations::KeyOperations;
pub(in crate::control) use permission::Permission;
pub(in crate::control) use service::KeyService;
pub(in crate::control) use session_model::*;
pub(in crate::control) use sessions::{Standing, Visitor};
pub(in crate::control) use timestamp::{format as format_time, parse as parse_time};
pub(in crate::control) use use_model::*;
