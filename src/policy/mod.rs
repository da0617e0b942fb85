//! The decision: who calls, what the caller may do, and how often.
//!
//! This module is pure and total. It does no I/O, has no async code and reads no clock: the caller
//! passes the time as [`Now`], so tests run in virtual time. There are two entry points.
//! [`authorise()`] decides without side effects. [`charge`] counts the request against its limit.
//!
//! Nothing is sent to an upstream without an [`Admission`], and only [`charge`] and [`charge_by`]
//! return one.

mod account;
mod address;
mod api;
mod authorise;
mod challenges;
mod check;
mod cors;
mod credential;
mod definition;
mod digest;
mod endpoints;
mod fields;
mod forwarding;
mod head;
mod header_kind;
mod hidden;
mod identity;
mod key;
mod key_api;
mod key_format;
mod key_id;
mod keyring;
mod outcome;
mod pattern;
mod peer;
mod quota;
mod refusal;
mod reply;
mod restriction;
mod scope;
mod shards;
mod snapshot;
mod target;
#[cfg(test)]
mod tests;
mod tombstones;
mod trailers;
mod visit;
mod withheld;

pub use account::{Account, AccountState, Collected, Departed};
pub use address::{AddressRange, BadAddressRange, client_address};
pub use api::Api;
pub use authorise::{
    Admission, Caller, Charge, Permit, Refused, Responder, StandIn, authorise, authorise_traced,
    charge, charge_by,
};
pub use check::{Check, Trace};
pub use cors::CorsDefinition;
pub use credential::{
    MalformedCredential, bearer_token, contains_key, digest_presented, query_holds_key,
};
pub use definition::{
    ApiDefinition, CredentialPlace, EmptyScopes, Environment, ErrorStyle, PassThrough, ResetStyle,
};
pub use digest::Digest;
pub use endpoints::{Claims, EndpointTable};
pub use fields::{Field, Fields, HeaderKind, Sink, Target, field_text, split_lines};
pub use forwarding::{accepts_trailers, prepare_request, prepare_response};
pub use head::Head;
pub use header_kind::hyphened;
pub use hidden::{Hidden, wipe};
pub use key::{Grant, Grants, KeyDefinition, KeyRecord, Organization, Secret};
pub use key_api::{KeyApi, KeyApiStyle};
pub use key_format::{is_new_key, new_key};
pub use key_id::{BadKeyId, KeyId};
pub use keyring::{Edit, Keyring};
pub use outcome::{HourCounts, Hours, OutcomeClass, add_hour};
pub use pattern::{BadPattern, Pattern};
pub use peer::Peer;
pub use quota::{Allowance, Exhausted, Limit, WindowCounts};
pub use refusal::Refusal;
pub use reply::{grpc_trailers, is_grpc, limit_headers, refuse};
pub use restriction::{BadReferrer, ReferrerPattern, Restrictions};
pub use scope::{Scope, ScopeSet};
pub use snapshot::{Closed, Routes, Snapshot};
pub use target::{BadTarget, Host, check_path, host_of};
pub use tombstones::{Cause, Tombstone, TombstoneEdit, Tombstones};
pub use trailers::{prepare_response_trailers, prepare_trailers};
pub use visit::{Visit, visit};
pub use withheld::{is_gateway_header, is_proxy_header};

/// The time at which a request is decided on, read once per request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds on a monotonic clock with an arbitrary zero. Limits use only this.
    pub monotonic: u64,
    /// Seconds since the Unix epoch. Expiry and absolute times in header fields use this.
    pub unix: i64,
}
