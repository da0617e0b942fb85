//! Shared by the benchmarks of the decision: an API with two scopes, its keys, and requests.

use std::sync::Arc;

use http::Method;
use keygate::policy::*;

pub(crate) const SECOND: u64 = 1_000_000_000;

/// Returns the key with this number. It is plainly not a real one.
pub(crate) fn key_text(number: u64) -> String {
    format!("sk_{}_{number:030}", "live")
}

/// Returns an API with one limit: this many requests per minute.
pub(crate) fn definition(count: u32) -> ApiDefinition {
    let scope = |name: &str, allows: &[&str]| Scope {
        name: name.into(),
        description: "".into(),
        allows: allows.iter().filter_map(|text| Pattern::parse(text).ok()).collect(),
    };
    ApiDefinition {
        name: "desk".into(),
        hosts: vec!["desk.example".into()],
        base_path: "/".into(),
        credentials: vec![CredentialPlace::Bearer],
        environments: vec![Environment {
            name: "live".into(),
            prefix: format!("sk_{}_", "live").into(),
        }],
        scopes: vec![
            scope("tickets:read", &["GET /api/v1/tickets", "GET /api/v1/tickets/**"]),
            scope("tickets:write", &["POST /api/v1/tickets", "PATCH /api/v1/tickets/*"]),
        ],
        public: Vec::new(),
        pass_through: Vec::new(),
        pass_through_allows: Vec::new(),
        errors: ErrorStyle::Problem,
        errors_distinguish: true,
        empty_scopes: EmptyScopes::None,
        case_insensitive_paths: false,
        rate_limit_reset: ResetStyle::Seconds,
        rate_limit_draft: false,
        rate_limit: Arc::new([Limit { count, window: 60 * SECOND }]),
        upstream_headers: Vec::new(),
        key_api: None,
        expiry_warning: 14 * 86_400,
        expiry_header: false,
        proxy_headers: Vec::new(),
        cors: None,
    }
}

pub(crate) fn key(number: u64) -> Arc<KeyRecord> {
    Arc::new(KeyRecord::new(KeyDefinition {
        id: KeyId::parse(&format!("key_{number}")).expect("an id"),
        name: "CRM Integration".into(),
        organization: None,
        secrets: vec![Secret { digest: Digest::of(key_text(number).as_bytes()), ends_at: None }],
        expires_at: None,
        revoked: false,
        paused: false,
        stored: true,
        restrictions: Restrictions::default(),
        grants: 0,
        account: Arc::default(),
    }))
}

/// Returns a keyring with this many keys.
pub(crate) fn keyring(size: u64) -> Keyring {
    Keyring::new((0..size).map(key))
}

/// Returns a snapshot with this many keys, which may read tickets within the API's limit.
pub(crate) fn snapshot(definition: ApiDefinition, size: u64) -> Snapshot {
    let grant = Grant::new(
        0,
        ScopeSet::default().with(0),
        false,
        &["tickets:read"],
        definition.rate_limit.clone(),
    );
    Snapshot {
        routes: Arc::new(Routes::new(vec![Api::new(definition)], Vec::new())),
        grants: Arc::new([Arc::new([grant])]),
        keyring: keyring(size),
        tombstones: Tombstones::default(),
        closed: Arc::default(),
    }
}

/// A request with a key.
pub(crate) struct Request {
    method: Method,
    path: &'static str,
    key: String,
    peer: Peer,
}

impl Request {
    pub(crate) fn new(method: Method, path: &'static str, key: &str) -> Self {
        Self {
            method,
            path,
            key: format!("Bearer {key}"),
            peer: Peer::new([127, 0, 0, 1].into(), true, None),
        }
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        let mut fields = Fields::new();
        fields.push("host", b"desk.example");
        fields.push("user-agent", b"bench");
        fields.push("accept", b"*/*");
        fields.push("authorization", self.key.as_bytes());
        fields
    }

    pub(crate) fn head<'h>(&'h self, fields: &'h Fields<'h>) -> Head<'h> {
        Head {
            method: &self.method,
            target: Target { authority: None, path: self.path, query: None },
            fields,
            peer: &self.peer,
        }
    }
}

/// Returns the header fields of an upstream's response.
pub(crate) fn upstream_answer() -> Fields<'static> {
    let mut answer = Fields::new();
    for (name, value) in [
        ("server", "bench"),
        ("date", "Sun, 22 Nov 2026 05:11:42 GMT"),
        ("content-type", "application/json"),
        ("content-length", "120"),
        ("connection", "keep-alive"),
    ] {
        answer.push(name, value.as_bytes());
    }
    answer
}
