//! What the two processes say to each other. They may be different versions: members are only ever
//! added, with a default, and [`VERSION`] rises when that is not enough.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::control::registry::Change;
use crate::keystore::UseNote;
use crate::policy::{AccountState, Digest};
use crate::state::{KeyAnswer, KeyCall};

/// Of what is said here.
pub(super) const VERSION: u32 = 1;

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Requests.
    Data,
    /// The admin address.
    Admin,
}

/// From the running process to the one that is to take over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToSuccessor {
    /// The first. The listening sockets follow, one by one.
    Hello {
        version: u32,
        /// The zero of monotonic times, in nanoseconds of the system's monotonic clock.
        clock: u64,
        /// What each socket is for, and the address as the configuration named it.
        sockets: Vec<(Purpose, SocketAddr)>,
    },
    /// The store is closed. So many sockets of those follow whose requests are to be counted.
    Store { links: usize },
    /// A part of what is known of keys.
    Counts(Vec<(Box<str>, AccountState)>),
    /// That was all of it.
    Counted,
    /// Take over.
    Start,
    /// Uses of keys, to be written down.
    Uses(Vec<WireUse>),
    /// A request to key endpoints, and its number.
    KeyCall(u64, WireCall),
}

/// From the process that takes over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToPredecessor {
    /// The configuration is good, and all addresses are bound.
    Checked,
    /// The store is open, and all keys are known.
    Opened,
    /// The counts are known, and everything is ready to start.
    Loaded,
    /// Connections are accepted.
    Serving,
    /// This process ends, for this reason.
    Failed(String),
    /// Something about the keys has changed.
    Changed(Change),
    /// The answer to the request to key endpoints with this number; nothing: it cannot be answered.
    KeyAnswer(u64, Option<WireAnswer>),
}

/// A [`UseNote`]: the key's id, the secret and when it was last presented, the day, the requests.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireUse(String, Option<(Digest, i64)>, i64, u64);

impl From<UseNote> for WireUse {
    fn from(note: UseNote) -> Self {
        Self(note.key_id.as_ref().to_owned(), note.secret, note.day, note.requests)
    }
}

impl From<WireUse> for UseNote {
    fn from(WireUse(id, secret, day, requests): WireUse) -> Self {
        Self { key_id: id.into(), secret, day, requests }
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
    /// Nothing: the method is none.
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
    /// Nothing: the status is none.
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
