//! `gateway.toml`: read, checked as a whole, and turned into what the two planes work with.
//!
//! [`load`] returns either a [`Config`] in which everything has been checked, or every mistake at
//! once.

mod diff;
mod document;
mod files;
mod kinds;
mod locate;
mod names;
mod nearest;
mod pieces;
mod report;
mod resolve;
mod revoked;
mod revoked_warnings;
mod rights;
mod secret;
#[cfg(test)]
mod tests;
mod tls;
mod units;

pub use diff::{Diff, diff, diff_beside, touched_keys};
pub use files::{PEM as MOST_PEM, TOML as MOST_TOML, read as read_file};
pub use locate::{Entry, locate};
pub use report::{Problem, Problems, Severity};
pub use resolve::{Mistaken, NotAlone, Reading, load, load_while_serving, parse, revoked_alone};
pub use revoked::{Hold, Mark, NamedBy, Revoked, RevokedKey};
pub use revoked_warnings::{Found, Known};
pub use rights::Rights;
pub use tls::{BadCertificate, Certificate, root_store};
pub use units::{MAX_LIMITS, parse_duration, parse_limit, show_duration};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::{AddressRange, ApiDefinition, Digest, KeyId, Limit, Restrictions};

/// A whole `gateway.toml`, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[server.tls]`; none: plain HTTP.
    pub tls: Option<Tls>,
    /// `[admin]`; none: no admin address.
    pub admin: Option<Admin>,
    /// `[log]`.
    pub log: Log,
    /// `[store]`; none: every key is in the file.
    pub store: Option<Store>,
    /// `[reload]`.
    pub reload: Reload,
    /// `[[api]]`, in file order. Never empty.
    pub apis: Vec<Arc<ApiConfig>>,
    /// `[[key]]`, in file order.
    pub keys: Vec<Arc<KeyConfig>>,
    /// `[revoked]`: none of what it names is good, wherever it is kept.
    pub revoked: Revoked,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Whether `[revoked]` names a key or its organization.
    #[must_use]
    pub fn revokes(&self, key: &KeyConfig) -> bool {
        let of_organization = || {
            let name = key.organization.as_deref();
            name.is_some_and(|name| self.revoked.organization(name).is_some())
        };
        self.revoked.key(&key.id, key.digests.iter().copied()).is_some() || of_organization()
    }
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Addresses to accept connections on. A change needs a restart.
    pub listen: Vec<SocketAddr>,
    /// Whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<AddressRange>,
    /// Worker threads; 0: one per core. A change needs a restart.
    pub workers: usize,
    /// Connections open at once, over all workers.
    pub max_connections: usize,
    /// Of these, from one address (IPv6: one /64 network) that is no trusted proxy's; 0: as many as
    /// there are.
    pub max_connections_per_address: usize,
    /// For the TLS handshake.
    pub handshake_timeout: Duration,
    /// For a whole request head.
    pub header_timeout: Duration,
    /// For a connection between two requests.
    pub idle_timeout: Duration,
    /// How long a client may keep a request waiting: for the next part of its body, or by not
    /// taking the answer.
    pub body_timeout: Duration,
    /// Bytes a second that a client is to send or to take while it is waited for; 0: any number
    /// will do.
    pub min_transfer_rate: usize,
    /// How long the gateway serves on after it was told to stop, while `/readyz` says that it will.
    pub shutdown_delay: Duration,
    /// For requests in flight when the gateway is told to stop.
    pub drain_timeout: Duration,
    /// For connections that are open when another process takes over.
    pub upgrade_drain_timeout: Duration,
    /// Size of a request head, in bytes.
    pub max_header_size: usize,
    /// Header fields in a request.
    pub max_headers: usize,
    /// Requests at once on one HTTP/2 connection.
    pub max_streams: u32,
    /// Frames that one HTTP/2 connection may send at once without asking for anything.
    pub http2_frame_budget: usize,
    /// Whether the process may leave its memory in a file when it crashes. A change needs a
    /// restart.
    pub core_dumps: bool,
}

/// `[server.tls]` and `[admin.tls]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Which versions are spoken.
    pub profile: TlsProfile,
    /// Served where none is for the name that a client asks for.
    pub default: TlsFiles,
    /// `[[server.tls.certificate]]`: further ones, in file order.
    pub further: Vec<TlsFiles>,
}

impl Tls {
    /// All of them, the default first.
    pub fn certificates(&self) -> impl Iterator<Item = &TlsFiles> {
        std::iter::once(&self.default).chain(&self.further)
    }
}

/// What Mozilla's guidelines for servers call a configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsProfile {
    /// TLS 1.2 and 1.3.
    #[default]
    Intermediate,
    /// TLS 1.3 alone.
    Modern,
}

/// The PEM files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, the server's own first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// A change needs a restart.
    pub listen: SocketAddr,
    /// Required where the address is not loopback.
    pub tls: Option<Tls>,
    /// `[[admin.token]]`.
    pub tokens: Vec<AdminToken>,
    /// Host names, besides addresses and `localhost`, under which token-protected calls are
    /// accepted.
    pub hosts: Vec<String>,
}

/// `[[admin.token]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// For logs.
    pub name: String,
    /// Of the token.
    pub digest: Digest,
    /// Whether it may change anything (`role = "manage"`) or only look (`"read"`).
    pub may_manage: bool,
    /// Narrows it to one organisation.
    pub organization: Option<String>,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Whether each request is logged.
    pub requests: bool,
    /// How lines look. A change needs a restart.
    pub format: LogFormat,
}

/// `[log] format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The database file. A change needs a restart.
    pub path: PathBuf,
    /// How long entries of the audit log are kept.
    pub audit_retention: Duration,
    /// For how long memory can still say of a key that it was revoked or has expired; from then on
    /// it is one that nobody knows. The store refuses it for good.
    pub revoked_retention: Duration,
    /// How many keys an organization may have in the store, unless it has a number of its own.
    pub keys_per_organization: u32,
}

/// `[reload]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    /// Of the running file's keys, how many per cent an edit may drop; 100: all of them.
    pub max_removed_percent: u8,
}

/// `[[api]]`: what the decision needs, and how to reach what is behind it.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// For the decision.
    pub definition: ApiDefinition,
    /// Distinct upstreams; the first is for traffic without a key.
    pub upstreams: Vec<Upstream>,
    /// For each environment of the definition, an index into `upstreams`. Empty: always the first.
    pub upstream_by_environment: Vec<usize>,
    /// `host_header = "upstream"`: the upstream sees its own name instead of the client's.
    pub rewrite_host: bool,
    /// For a connection to the upstream, TLS included.
    pub connect_timeout: Duration,
    /// From the request's end, or from the last progress of its body, to the answer's head.
    pub response_timeout: Duration,
    /// How long an unused connection to the upstream is kept.
    pub keep_alive: Duration,
    /// How long an answer that has begun, or a WebSocket, may go on without a byte in either
    /// direction.
    pub idle_timeout: Duration,
    /// For a request from its head to the end of its answer.
    pub request_timeout: Duration,
    /// Size of a request's body, in bytes.
    pub max_body_size: usize,
    /// Requests at once that were sent on and whose answers have not ended, over all workers.
    pub max_requests: usize,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// How to speak to it.
    pub protocol: Protocol,
    /// Where it is.
    pub place: Place,
    /// What its `Host` is where the client's is not kept, and the name in its certificate.
    pub authority: Arc<str>,
    /// PEM file of the authorities that its certificate is checked against; none: the system's.
    pub ca: Option<PathBuf>,
}

/// How to speak to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `http://`, `unix:`: HTTP/1.1.
    Http1,
    /// `https://`: HTTP/1.1 over TLS.
    Http1Tls,
    /// `h2c://`: HTTP/2 without TLS, with prior knowledge.
    Http2,
    /// `h2://`: HTTP/2 over TLS.
    Http2Tls,
}

/// Where an upstream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A host name or address without brackets, and a port.
    Tcp(Arc<str>, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

/// `[[key]]`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyConfig {
    /// Unique.
    pub id: KeyId,
    /// For people.
    pub name: Box<str>,
    /// Whose it is.
    pub organization: Option<Arc<str>>,
    /// Indices into [`Config::apis`].
    pub apis: Vec<usize>,
    /// The world that it belongs to, for those who list keys: a digest does not tell. Requests are
    /// told by what they present.
    pub environment: Option<Box<str>>,
    /// One, or two while rotating.
    pub digests: Vec<Digest>,
    /// Names, as in the file.
    pub scopes: Arc<[Box<str>]>,
    /// Seconds since the Unix epoch.
    pub expires_at: Option<i64>,
    /// Addresses, referrers, endpoints.
    pub restrictions: Restrictions,
    /// Instead of the APIs'; empty: no limit.
    pub rate_limit: Option<Arc<[Limit]>>,
}
