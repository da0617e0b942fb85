//! Reads `[server]`, `[admin]` and `[store]`.

use std::net::SocketAddr;
use std::time::Duration;

use super::context::{Context, DAY, TIMEOUTS, address_ranges, digest, organization};
use super::tls::tls;
use crate::config::document::{Section, Text};
use crate::config::kinds::{
    ADMIN, ADMIN_CERTIFICATE, ADMIN_TLS, ADMIN_TOKEN, SERVER, SERVER_CERTIFICATE, SERVER_TLS, STORE,
};
use crate::config::secret::quote;
use crate::config::{Admin, AdminToken, Role, Server, Store, Tls, names};
use crate::policy::Digest;

const SECOND: Duration = Duration::from_secs(1);

// Longer than 60 lines: each setting once.
pub(super) fn server<'t>(context: Context<'t>, root: Section<'t>) -> (Server, Option<Tls>) {
    let mut server = Server {
        listen: Vec::new(),
        trusted_proxies: Vec::new(),
        workers: 0,
        max_connections: 10_000,
        max_connections_per_address: 1000,
        handshake_timeout: 10 * SECOND,
        header_timeout: 30 * SECOND,
        idle_timeout: 75 * SECOND,
        body_timeout: 60 * SECOND,
        min_transfer_rate: 256,
        shutdown_delay: Duration::ZERO,
        drain_timeout: 30 * SECOND,
        upgrade_drain_timeout: 3600 * SECOND,
        max_header_size: 32 << 10,
        max_headers: 100,
        max_streams: 128,
        http2_frame_budget: 10_000,
        core_dumps: false,
    };
    if !root.require(
        "server",
        "`[server]` with `listen = \"127.0.0.1:8080\"` says where requests come in",
    ) {
        return (server, None);
    }
    let Some(section) = root.section("server", &SERVER) else { return (server, None) };
    if section.require("listen", "`listen = \"0.0.0.0:8443\"` says where requests come in") {
        let texts = section.text_or_texts("listen");
        if section.is_empty_list("listen") {
            section.report.error(section.at("listen"), "`listen` names no address");
        }
        for text in texts {
            let Some(address) = socket_address(section, text) else { continue };
            if address.port() != 0 && server.listen.contains(&address) {
                section.report.error(text.at, format!("`{address}` stands twice in `listen`"));
            }
            server.listen.push(address);
        }
    }
    server.trusted_proxies = address_ranges(section, "trusted_proxies");
    server.workers = section.number("workers", server.workers, 0..=1024);
    server.max_connections =
        section.number("max_connections", server.max_connections, 1..=10_000_000);
    let per_address = section.number(
        "max_connections_per_address",
        server.max_connections_per_address,
        0..=10_000_000,
    );
    server.max_connections_per_address = per_address;
    server.body_timeout = section.duration("body_timeout", server.body_timeout, TIMEOUTS);
    server.min_transfer_rate =
        section.size("min_transfer_rate", server.min_transfer_rate, 0..=1 << 30);
    server.handshake_timeout =
        section.duration("handshake_timeout", server.handshake_timeout, TIMEOUTS);
    server.header_timeout = section.duration("header_timeout", server.header_timeout, TIMEOUTS);
    server.idle_timeout = section.duration("idle_timeout", server.idle_timeout, TIMEOUTS);
    let from_zero = Duration::ZERO..=*TIMEOUTS.end();
    server.shutdown_delay =
        section.duration("shutdown_delay", server.shutdown_delay, from_zero.clone());
    server.drain_timeout =
        section.duration("drain_timeout", server.drain_timeout, from_zero.clone());
    server.upgrade_drain_timeout =
        section.duration("upgrade_drain_timeout", server.upgrade_drain_timeout, from_zero);
    server.max_header_size =
        section.size("max_header_size", server.max_header_size, 8 << 10..=1 << 20);
    server.max_headers = section.number("max_headers", server.max_headers, 10..=10_000);
    server.max_streams = u32::try_from(section.number("max_streams", 128, 1..=100_000))
        .unwrap_or(server.max_streams);
    server.core_dumps = section.boolean("core_dumps", server.core_dumps);
    server.http2_frame_budget =
        section.number("http2_frame_budget", server.http2_frame_budget, 1000..=1_000_000_000);
    (server, tls(context, section, &SERVER_TLS, &SERVER_CERTIFICATE))
}

pub(super) fn admin<'t>(
    context: Context<'t>,
    root: Section<'t>,
    data: &[SocketAddr],
) -> Option<Admin> {
    let section = root.section("admin", &ADMIN)?;
    let tls = tls(context, section, &ADMIN_TLS, &ADMIN_CERTIFICATE);
    let tokens = tokens(section);
    let mut hosts = Vec::new();
    for text in section.texts("hosts") {
        hosts.extend(names::host(section.report, text).map(String::from));
    }
    section.require(
        "listen",
        "`listen = \"127.0.0.1:9190\"` is where /metrics, /healthz and /readyz answer",
    );
    let text = section.text("listen")?;
    let listen = socket_address(section, text)?;
    if listen.port() != 0 && data.contains(&listen) {
        section.report.error(text.at, "`[admin]` and `[server]` cannot listen on the same address");
    }
    if !listen.ip().to_canonical().is_loopback() {
        let others = "listen on `127.0.0.1`, or";
        if tokens.is_empty() {
            let hint = format!(
                "{others} add `[[admin.token]]` with the digest of a token: `keygate keys hash` \
                    makes it"
            );
            section.report.error_with_hint(
                text.at,
                "an admin address that is not loopback needs a token",
                hint,
            );
        }
        if !section.has("tls") {
            let hint = format!("{others} add `[admin.tls]` with `cert` and `key`");
            section.report.error_with_hint(
                text.at,
                "an admin address that is not loopback needs `[admin.tls]`",
                hint,
            );
        }
    }
    Some(Admin { listen, tls, tokens, hosts })
}

fn tokens(admin: Section<'_>) -> Vec<AdminToken> {
    let mut tokens: Vec<AdminToken> = Vec::new();
    for section in admin.sections("token", &ADMIN_TOKEN) {
        let report = section.report;
        section.require("name", "a name that logs can show, such as `name = \"ops\"`");
        let name = section.text("name").map_or("", |text| names::free_text(report, "name", text));
        if !name.is_empty() && tokens.iter().any(|token| token.name == name) {
            report.error(section.at("name"), format!("two admin tokens are named {}", quote(name)));
        }
        let role = section.choice("role", Role::Read, &Role::ALL);
        let organization = organization(section).map(str::to_owned);
        section.require("sha256", "the digest of the token: `keygate keys hash` makes it");
        let Some(digest) = section.text("sha256").and_then(|text| digest(report, text)) else {
            continue;
        };
        if digest == Digest::of(name.as_bytes()) {
            let hint = "make a new token: this one stands in the file now, and names are logged";
            report.error_with_hint(section.at("name"), "`name` is the token itself", hint);
        }
        if tokens.iter().any(|token| token.digest == digest) {
            report.error(section.at("sha256"), "two admin tokens have the same digest");
        }
        tokens.push(AdminToken { name: name.to_owned(), digest, role, organization });
    }
    tokens
}

pub(super) fn store<'t>(context: Context<'t>, root: Section<'t>) -> Option<Store> {
    let section = root.section("store", &STORE)?;
    let audit_retention = section.duration("audit_retention", 365 * DAY, DAY..=3650 * DAY);
    let revoked_retention = section.duration("revoked_retention", 90 * DAY, DAY..=3650 * DAY);
    let keys_per_organization = section.number("keys_per_organization", 1000, 1..=1_000_000);
    section.require("path", "`path = \"keygate.db\"`");
    let path = section.text("path")?;
    if path.value.is_empty() || path.value.contains('\0') {
        section.report.error(path.at, "`path` is not the path of a file");
    }
    Some(Store {
        path: context.folder.join(path.value),
        audit_retention,
        revoked_retention,
        keys_per_organization: u32::try_from(keys_per_organization).unwrap_or(u32::MAX),
    })
}

fn socket_address(section: Section<'_>, text: Text<'_>) -> Option<SocketAddr> {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    let address = text.value.parse().ok();
    if address.is_none() {
        let hint = match text.value.rsplit_once(':') {
            Some(("", port)) if is_port(port) => format!(
                "write `0.0.0.0:{port}` for every IPv4 address or `[::]:{port}` for every address"
            ),
            Some(("localhost", port)) if is_port(port) => format!("write `127.0.0.1:{port}`"),
            _ => "write an address and a port: `127.0.0.1:8080`, `[::1]:8080`".to_owned(),
        };
        section.report.error_with_hint(
            text.at,
            format!("{} is not an address with a port", quote(text.value)),
            hint,
        );
    }
    address
}
