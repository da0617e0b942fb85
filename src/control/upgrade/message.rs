//! The messages between the two processes, which may be different versions. Members are only added,
//! each with a default. [`VERSION`] rises for any other change.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::page_message::{WirePage, WirePageAnswer};
use crate::control::registry::KeyUpdate;
use crate::keystore::UseNote;
use crate::policy::{AccountState, Digest, HourCounts};
use crate::state::{KeyAnswer, KeyCall};

/// The version of this protocol.
pub(super) const VERSION: u32 = 1;

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Requests.
    Data,
    /// The admin address.
    Admin,
}

/// A message from the running process to the one that takes over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToSuccessor {
    /// The first message. The listening sockets follow, one by one.
    Hello {
        version: u32,
        /// The zero of monotonic times, in nanoseconds of the system's monotonic clock.
        clock: u64,
        /// The purpose of each socket, and its address as the configuration names it.
        sockets: Vec<(Purpose, SocketAddr)>,
    },
    /// The store is closed. This many sockets follow, over which requests are to be counted.
    Store { links: usize },
    /// A part of the state of the keys.
    Counts(Vec<(Box<str>, AccountState)>),
    /// All parts have been sent.
    Counted,
    /// Take over.
    Start,
    /// Key usage to be stored, from a process that does not count by hours.
    Uses(Vec<WireUse>),
    /// Key usage to be stored.
    Notes(Vec<WireNote>),
    /// A request to key endpoints, with its number.
    KeyCall(u64, WireCall),
    /// A request for a page, with its number.
    PageCall(u64, WirePage),
}

/// A message from the process that takes over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToPredecessor {
    /// The configuration is valid, and all addresses are bound.
    Checked,
    /// The store is open, and all keys are loaded.
    Opened,
    /// The counts are imported, and everything is ready to start.
    Loaded,
    /// Connections are accepted.
    Serving,
    /// This process ends for this reason.
    Failed(String),
    /// Keys have changed.
    Changed(KeyUpdate),
    /// The response to the key endpoints' request with this number, or `None` if there is none.
    KeyAnswer(u64, Option<WireAnswer>),
    /// The response to the request for a page with this number, or `None` if there is none.
    PageAnswer(u64, Option<WirePageAnswer>),
}

/// A [`UseNote`] of a process that does not count by hours: the key's id, the secret with the time
/// of its last use, the day, and the requests.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireUse(String, Option<(Digest, i64)>, i64, u64);

impl From<WireUse> for UseNote {
    fn from(WireUse(id, secret, day, requests): WireUse) -> Self {
        let ok = u32::try_from(requests).unwrap_or(u32::MAX);
        let hour = u32::try_from(day.saturating_mul(24)).unwrap_or(0);
        let counted = HourCounts { hour, counts: [ok, 0, 0, 0, 0], highest_minute: 0 };
        let hours = Some(counted).filter(|_| ok > 0).into_iter().collect();
        Self { key_id: id.into(), secret, day, hours }
    }
}

/// A [`UseNote`]: the key's id, the secret with the time of its last use, the day, and the hours.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireNote(String, Option<(Digest, i64)>, i64, Vec<HourCounts>);

impl From<UseNote> for WireNote {
    fn from(note: UseNote) -> Self {
        Self(note.key_id.as_ref().to_owned(), note.secret, note.day, note.hours.into_vec())
    }
}

impl From<WireNote> for UseNote {
    fn from(WireNote(id, secret, day, hours): WireNote) -> Self {
        Self { key_id: id.into(), secret, day, hours: hours.into() }
    }
}

/// A [`KeyCall`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireCall {
    api: String,
    key: String,
    environment: Option<String>,
    method: String,
    path: String,
    body: Vec<u8>,
    request_id: String,
}

impl From<KeyCall> for WireCall {
    fn from(call: KeyCall) -> Self {
        let KeyCall { api, key, environment, method, path, body, request_id } = call;
        Self {
            api: api.as_ref().to_owned(),
            key,
            environment,
            method: method.to_string(),
            path,
            body: body.into(),
            request_id,
        }
    }
}

impl WireCall {
    /// Returns the call, or `None` if the method is invalid.
    pub(super) fn read(self) -> Option<KeyCall> {
        let Self { api, key, environment, method, path, body, request_id } = self;
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        Some(KeyCall {
            api: api.into(),
            key,
            environment,
            method,
            path,
            body: body.into(),
            request_id,
        })
    }
}

/// A [`KeyAnswer`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireAnswer {
    status: u16,
    content_type: Option<String>,
    allow: Option<String>,
    body: Vec<u8>,
}

impl From<KeyAnswer> for WireAnswer {
    fn from(answer: KeyAnswer) -> Self {
        let KeyAnswer { status, content_type, allow, body } = answer;
        Self {
            status: status.as_u16(),
            content_type: content_type.map(Into::into),
            allow: allow.map(Into::into),
            body: body.into(),
        }
    }
}

impl WireAnswer {
    /// Returns the response, or `None` if the status is invalid.
    pub(super) fn read(self) -> Option<KeyAnswer> {
        let Self { status, content_type, allow, body } = self;
        let status = StatusCode::from_u16(status).ok()?;
        Some(KeyAnswer {
            status,
            content_type: content_type.map(Into::into),
            allow: allow.map(Into::into),
            body: body.into(),
        })
    }
}
