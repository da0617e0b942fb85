//! `gateway.toml`: read, validated as a whole, and converted to what the data plane and the control
//! plane use.
//!
//! [`load`] returns either a fully validated [`Config`] or all errors at once.

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
use crate::words::Texts;

/// A whole `gateway.toml`, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[server.tls]`. `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// `[admin]`. `None`: no admin listener.
    pub admin: Option<Admin>,
    /// `[portal]`. `None`: no pages for an organisation's own people.
    pub portal: Option<Portal>,
    /// `[log]`.
    pub log: Log,
    /// `[store]`. `None`: every key is in the file.
    pub store: Option<Store>,
    /// `[reload]`.
    pub reload: Reload,
    /// `[[api]]`, in file order. Never empty.
    pub apis: Vec<Arc<ApiConfig>>,
    /// `[[key]]`, in file order.
    pub keys: Vec<Arc<KeyConfig>>,
    /// `[revoked]`: keys and organisations that are refused, whether they are in the file or in the
    /// store.
    pub revoked: Revoked,
    /// Warnings: settings that are valid but probably unintended.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Returns whether `[revoked]` names a key or its organisation.
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
    /// Proxies whose `X-Forwarded-*` fields are trusted.
    pub trusted_proxies: Vec<AddressRange>,
    /// The number of worker threads. 0: one per core. A change needs a restart.
    pub workers: usize,
    /// The most open connections of all workers.
    pub max_connections: usize,
    /// The most of these connections from one address (IPv6: one /64 network) that is not a trusted
    /// proxy. 0: no separate limit.
    pub max_connections_per_address: usize,
    /// The timeout of the TLS handshake.
    pub handshake_timeout: Duration,
    /// The timeout for a complete request head.
    pub header_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub idle_timeout: Duration,
    /// How long a client may delay a request: by not sending the next part of its body, or by not
    /// reading the response.
    pub body_timeout: Duration,
    /// The minimum rate in bytes per second at which a client must send or read while the gateway
    /// waits for it. 0: no minimum.
    pub min_transfer_rate: usize,
    /// How long the gateway continues to serve requests after it was told to stop, while `/readyz`
    /// reports that it is not ready.
    pub shutdown_delay: Duration,
    /// How long requests in flight may continue when the gateway is told to stop.
    pub drain_timeout: Duration,
    /// How long open connections may continue when another process takes over.
    pub upgrade_drain_timeout: Duration,
    /// The maximum size of a request head, in bytes.
    pub max_header_size: usize,
    /// The most header fields of a request.
    pub max_headers: usize,
    /// The most concurrent streams of an HTTP/2 connection.
    pub max_streams: u32,
    /// The budget of an HTTP/2 connection for frames that make no request. Half of it is refilled
    /// per second.
    pub http2_frame_budget: usize,
    /// Whether the process may write a core dump when it crashes. A change needs a restart.
    pub core_dumps: bool,
}

/// `[server.tls]` and `[admin.tls]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The supported TLS versions.
    pub profile: TlsProfile,
    /// The certificate for clients that send no server name (SNI), or one that no certificate
    /// matches.
    pub default: TlsFiles,
    /// `[[server.tls.certificate]]` or `[[admin.tls.certificate]]`: further certificates, in file
    /// order.
    pub further: Vec<TlsFiles>,
}

impl Tls {
    /// Returns all certificates, the default first.
    pub fn certificates(&self) -> impl Iterator<Item = &TlsFiles> {
        std::iter::once(&self.default).chain(&self.further)
    }
}

/// A configuration of Mozilla's Server Side TLS guidelines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsProfile {
    /// TLS 1.2 and 1.3.
    #[default]
    Intermediate,
    /// TLS 1.3 only.
    Modern,
}

/// The PEM files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the end-entity certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The address to listen on. A change needs a restart.
    pub listen: SocketAddr,
    /// TLS settings. Required if the address is not loopback.
    pub tls: Option<Tls>,
    /// `[[admin.token]]`.
    pub tokens: Vec<AdminToken>,
    /// Host names, besides addresses and `localhost`, under which requests with a token are
    /// accepted.
    pub hosts: Vec<String>,
}

/// `[[admin.token]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// The name, for logs.
    pub name: String,
    /// The SHA-256 digest of the token.
    pub digest: Digest,
    /// What the token permits.
    pub role: Role,
    /// The organisation to which the token is restricted. `None`: no restriction.
    pub organization: Option<String>,
}

/// `[[admin.token]] role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `read`: reading only.
    Read,
    /// `manage`: reading and changing.
    Manage,
    /// `portal`: only creating, listing and ending portal sessions.
    Portal,
}

impl Role {
    /// All roles, each with its name in the file.
    pub const ALL: [(&str, Self); 3] =
        [("read", Self::Read), ("manage", Self::Manage), ("portal", Self::Portal)];

    /// Returns the name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Manage => "manage",
            Self::Portal => "portal",
        }
    }
}

/// `[portal]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Portal {
    /// The host names under which the pages are served, in lower case and without port.
    pub hosts: Vec<Box<str>>,
    /// The origins that the `return_url` of a session may have.
    pub return_origins: Vec<Box<str>>,
    /// The words of the hosts that have words of their own.
    pub texts: Vec<(Box<str>, Arc<Texts>)>,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Whether each request is logged.
    pub requests: bool,
    /// The format of lines. A change needs a restart.
    pub format: LogFormat,
}

/// `[log] format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The database file. A change needs a restart.
    pub path: PathBuf,
    /// How long entries of the audit log are kept.
    pub audit_retention: Duration,
    /// How long a refusal can state that a key of the store was revoked or has expired. After that,
    /// the key counts as unknown. The store refuses it permanently.
    pub revoked_retention: Duration,
    /// The most keys that an organisation may have in the store, unless it has its own limit.
    pub keys_per_organization: u32,
}

/// `[reload]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    /// The most keys of the running file that an edit may remove, in per cent. 100: all of them.
    pub max_removed_percent: u8,
}

/// `[[api]]`: what the decision needs, and how to reach the upstream.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// What the decision needs.
    pub definition: ApiDefinition,
    /// Distinct upstreams. The first one receives requests without a key.
    pub upstreams: Vec<Upstream>,
    /// For each environment of the definition, an index into `upstreams`. Empty: always the first.
    pub upstream_by_environment: Vec<usize>,
    /// Whether the upstream receives its own name as `Host` instead of the client's
    /// (`host_header = "upstream"`).
    pub rewrite_host: bool,
    /// The timeout of connecting to the upstream, including TLS.
    pub connect_timeout: Duration,
    /// The timeout from the end of the request, or from the last progress of its body, to the
    /// response head.
    pub response_timeout: Duration,
    /// How long an idle connection to the upstream is kept.
    pub keep_alive: Duration,
    /// How long a response that has begun, or a WebSocket, may transfer no bytes in either
    /// direction.
    pub idle_timeout: Duration,
    /// The timeout of a request, from its head to the end of its response.
    pub request_timeout: Duration,
    /// The maximum size of a request body, in bytes.
    pub max_body_size: usize,
    /// The most concurrent forwarded requests of all workers. A request counts until its response
    /// has ended.
    pub max_requests: usize,
}

/// The destination of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The protocol.
    pub protocol: Protocol,
    /// The address.
    pub place: Place,
    /// The authority for `Host` if the client's is not kept. Its host is also the expected name in
    /// the certificate.
    pub authority: Arc<str>,
    /// The PEM file of the CA certificates that verify the upstream's certificate. `None`: those of
    /// the system.
    pub ca: Option<PathBuf>,
}

impl Upstream {
    /// Returns the upstream as it is written in the file.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.protocol {
            Protocol::Http1 => "http",
            Protocol::Http1Tls => "https",
            Protocol::Http2 => "h2c",
            Protocol::Http2Tls => "h2",
        };
        match &self.place {
            Place::Tcp(..) => format!("{scheme}://{}", self.authority),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// The protocol of an upstream.
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

/// The address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A host name or IP address without brackets, and a port.
    Tcp(Arc<str>, u16),
    /// The path of a Unix domain socket.
    Unix(PathBuf),
}

/// `[[key]]`, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyConfig {
    /// The unique id.
    pub id: KeyId,
    /// The display name.
    pub name: Box<str>,
    /// The organisation that owns the key.
    pub organization: Option<Arc<str>>,
    /// Indices into [`Config::apis`].
    pub apis: Vec<usize>,
    /// The environment, for lists of keys, because a digest does not reveal it. The environment of
    /// a request is determined by the key that it presents.
    pub environment: Option<Box<str>>,
    /// One digest, or two during a rotation.
    pub digests: Vec<Digest>,
    /// Names of the scopes, as in the file.
    pub scopes: Arc<[Box<str>]>,
    /// The time from which the key is refused, in seconds since the Unix epoch. `None`: it does not
    /// expire.
    pub expires_at: Option<i64>,
    /// Permitted addresses, referrers and endpoints.
    pub restrictions: Restrictions,
    /// Rate limits that replace those of the APIs. `None`: the APIs' limits apply. Empty: no limit.
    pub rate_limit: Option<Arc<[Limit]>>,
}
