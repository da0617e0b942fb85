//! The tables of the file and their settings.

/// A kind of table: its name in messages, and every setting that it may have.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) label: &'static str,
    pub(super) settings: &'static [&'static str],
}

macro_rules! kinds {
    ($($name:ident = $label:literal: [$($setting:literal),+];)+) => {
        $(pub(super) const $name: Kind = Kind { label: $label, settings: &[$($setting),+] };)+
        /// Every table whose settings have fixed names.
        #[cfg(test)]
        pub(super) const KINDS: &[&Kind] = &[$(&$name),+];
    };
}

kinds! {
    ROOT = "gateway.toml": [
        "server", "admin", "portal", "log", "store", "reload", "revoked", "api", "key"
    ];
    SERVER = "[server]": [
        "listen", "trusted_proxies", "workers", "max_connections", "handshake_timeout",
        "header_timeout", "idle_timeout", "shutdown_delay", "drain_timeout",
        "upgrade_drain_timeout", "max_header_size", "max_headers", "max_streams",
        "max_connections_per_address", "body_timeout", "min_transfer_rate",
        "http2_frame_budget", "core_dumps", "tls"
    ];
    SERVER_TLS = "[server.tls]": ["cert", "key", "profile", "certificate"];
    SERVER_CERTIFICATE = "[[server.tls.certificate]]": ["cert", "key"];
    ADMIN = "[admin]": ["listen", "hosts", "tls", "token"];
    ADMIN_TLS = "[admin.tls]": ["cert", "key", "profile", "certificate"];
    ADMIN_CERTIFICATE = "[[admin.tls.certificate]]": ["cert", "key"];
    ADMIN_TOKEN = "[[admin.token]]": ["name", "sha256", "role", "organization"];
    PORTAL = "[portal]": ["hosts", "return_origins", "texts"];
    LOG = "[log]": ["requests", "format"];
    STORE = "[store]": ["path", "audit_retention", "revoked_retention", "keys_per_organization"];
    RELOAD = "[reload]": ["max_removed_keys"];
    REVOKED = "[revoked]": ["keys", "organizations"];
    API = "[[api]]": [
        "name", "hosts", "base_path", "upstream", "upstream_ca", "host_header",
        "connect_timeout", "response_timeout", "keep_alive", "credentials", "environments",
        "rate_limit", "rate_limit_reset", "rate_limit_draft", "errors", "errors_distinguish",
        "empty_scopes", "case_insensitive_paths", "public", "pass_through",
        "pass_through_allows", "expiry_warning", "expiry_header", "upstream_headers",
        "proxy_headers", "scopes", "key_api", "cors", "idle_timeout", "request_timeout",
        "max_body_size", "max_requests"
    ];
    SCOPE = "[api.scopes]": ["description", "allows"];
    KEY_API = "[api.key_api]": ["path", "style", "scope", "create"];
    CORS = "[api.cors]": [
        "origins", "methods", "headers", "expose_headers", "max_age", "credentials"
    ];
    KEY = "[[key]]": [
        "id", "name", "organization", "apis", "environment", "sha256", "scopes", "expires_at",
        "allow_ips", "allow_referrers", "allow_endpoints", "rate_limit"
    ];
}
