//! Persistence of a connection after a request (RFC 9112 §9.3).

use http::Version;

use crate::http1::keeps_alive;
use crate::policy::{Fields, accepts_trailers};
use crate::proxy::request::log_entry::LogEntry;
use crate::proxy::upstream::http1::Exchange;
use crate::proxy::worker::closing::Closing;

/// What follows a request on its connection.
pub(super) enum Next {
    Request,
    End(End),
}

/// How serving of requests on a connection ends.
pub(super) enum End {
    Close(Closing),
    /// The protocol is switched. Holds the upstream's side and the log entry.
    Switch(Box<Exchange>, LogEntry),
}

/// What a request says about its connection.
#[derive(Clone, Copy)]
pub(super) struct Persistence {
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    /// Whether the client accepts trailers (RFC 9110 §10.1.4).
    pub(super) trailers: bool,
}

impl Persistence {
    /// What counts for a head that cannot be parsed: the connection closes.
    pub(super) const CLOSE: Self =
        Self { version: Version::HTTP_11, keep_alive: false, trailers: false };

    /// Reads the connection options of a request.
    pub(super) fn of(version: Version, fields: &Fields<'_>) -> Self {
        Self {
            version,
            keep_alive: keeps_alive(version, fields),
            trailers: accepts_trailers(fields),
        }
    }
}
