//! What becomes of a connection after a request (RFC 9112 §9.3).

use http::Version;

use crate::policy::{Fields, accepts_trailers};
use crate::proxy::request::log_entry::LogEntry;
use crate::proxy::upstream::http1::{Exchange, keeps_alive};
use crate::proxy::worker::closing::Closing;

/// What follows a request.
pub(super) enum Next {
    Request,
    End(End),
}

/// How serving requests ends.
pub(super) enum End {
    Close(Closing),
    /// The protocol is switched; the upstream's side.
    Switch(Box<Exchange>, LogEntry),
}

/// What a request says about the connection.
#[derive(Clone, Copy)]
pub(super) struct Persistence {
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    /// Whether the client takes trailers (RFC 9110 §10.1.4).
    pub(super) trailers: bool,
}

impl Persistence {
    pub(super) fn of(version: Version, fields: &Fields<'_>) -> Self {
        Self {
            version,
            keep_alive: keeps_alive(version, fields),
            trailers: accepts_trailers(fields),
        }
    }
}
