//! Tests of the decision in virtual time, with tables, with all short inputs and with random ones.

mod authorise;
mod credential;
mod fields;
mod forwarding;
mod handover;
mod keyring;
mod pattern;
mod quota;
mod readings;
mod reply;
mod restriction;
mod target;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::*;

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
/// A time in the middle of the clock's range that is not at the edge of a bucket.
pub(super) const NOON: Now =
    Now { monotonic: 1_000_000 * SECOND + 123_456_789, unix: 1_800_000_000 };

/// Returns the text of a key. It is composed at run time, so that no secret scanner reports it.
pub(super) fn key_text(world: &str, name: &str) -> String {
    format!("sk_{world}_{name}")
}

pub(super) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// Returns an API for any host, with bearer keys, two scopes, and the environments live and test.
pub(super) fn definition() -> ApiDefinition {
    let scope = |name: &str, allows: &[&str]| Scope {
        name: name.into(),
        description: "".into(),
        allows: allows.iter().map(|text| pattern(text)).collect(),
    };
    ApiDefinition {
        name: "desk".into(),
        hosts: Vec::new(),
        base_path: "/".into(),
        credentials: vec![CredentialPlace::Bearer],
        environments: ["live", "test"]
            .map(|name| Environment { name: name.into(), prefix: key_text(name, "").into() })
            .into(),
        scopes: vec![
            scope("tickets:read", &["GET /api/v1/tickets", "GET /api/v1/tickets/**"]),
            scope("tickets:write", &["POST /api/v1/tickets", "PATCH /api/v1/tickets/*"]),
            scope("tickets:admin", &["POST /api/v1/tickets", "DELETE /api/v1/tickets/*"]),
        ],
        public: vec![pattern("GET /status")],
        pass_through: Vec::new(),
        pass_through_allows: Vec::new(),
        errors: ErrorStyle::Problem,
        errors_distinguish: true,
        empty_scopes: EmptyScopes::None,
        case_insensitive_paths: false,
        rate_limit_reset: ResetStyle::Seconds,
        rate_limit_draft: false,
        rate_limit: Arc::new([]),
        upstream_headers: Vec::new(),
        key_api: None,
        expiry_warning: 14 * 86_400,
        expiry_header: false,
        proxy_headers: Vec::new(),
        cors: None,
    }
}

/// A key, with its own grants.
#[derive(Debug, Clone)]
pub(super) struct TestKey {
    pub(super) id: Box<str>,
    pub(super) name: Box<str>,
    pub(super) organization: Option<Box<str>>,
    pub(super) digests: Vec<Digest>,
    pub(super) expires_at: Option<i64>,
    pub(super) revoked: bool,
    pub(super) paused: bool,
    pub(super) restrictions: Restrictions,
    pub(super) grants: Vec<Grant>,
}

impl TestKey {
    pub(super) fn record(&self, grants: u32) -> Arc<KeyRecord> {
        Arc::new(KeyRecord::new(KeyDefinition {
            id: KeyId::parse(&self.id).expect("an id"),
            name: self.name.clone(),
            organization: self.organization.as_deref().map(Organization::new),
            secrets: self
                .digests
                .iter()
                .map(|digest| Secret { digest: *digest, ends_at: None })
                .collect(),
            expires_at: self.expires_at,
            revoked: self.revoked,
            paused: self.paused,
            stored: false,
            restrictions: self.restrictions.clone(),
            grants,
            account: Arc::default(),
        }))
    }
}

/// Returns a key that may read tickets in the first API, without a limit.
pub(super) fn key(text: &str) -> TestKey {
    TestKey {
        id: "key_crm".into(),
        name: "CRM Integration".into(),
        organization: Some("org_acme".into()),
        digests: vec![Digest::of(text.as_bytes())],
        expires_at: None,
        revoked: false,
        paused: false,
        restrictions: Restrictions::default(),
        grants: vec![grant(&[0], &[])],
    }
}

pub(super) fn grant(scopes: &[usize], limits: &[Limit]) -> Grant {
    let names: Vec<&str> = scopes
        .iter()
        .map(|scope| ["tickets:read", "tickets:write", "tickets:admin"][*scope])
        .collect();
    Grant::new(
        0,
        scopes.iter().fold(ScopeSet::default(), |set, scope| set.with(*scope)),
        false,
        &names,
        limits.into(),
    )
}

pub(super) fn snapshot(
    definition: ApiDefinition,
    keys: impl IntoIterator<Item = TestKey>,
) -> Snapshot {
    snapshot_of(vec![definition], keys)
}

pub(super) fn snapshot_of(
    definitions: Vec<ApiDefinition>,
    keys: impl IntoIterator<Item = TestKey>,
) -> Snapshot {
    let keys: Vec<TestKey> = keys.into_iter().collect();
    Snapshot {
        routes: Arc::new(Routes::new(definitions.into_iter().map(Api::new).collect(), Vec::new())),
        grants: keys.iter().map(|key| key.grants.clone().into()).collect(),
        keyring: Keyring::new(keys.iter().enumerate().map(|(index, key)| key.record(index as u32))),
        tombstones: Tombstones::default(),
        closed: Arc::default(),
    }
}

/// A request without a body.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) peer: Arc<Peer>,
}

impl Call {
    pub(super) fn new(method: &str, target: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::HOST, HeaderValue::from_static("desk.example"));
        let peer = Peer::new([198, 51, 100, 7].into(), false, None);
        Self {
            method: method.parse().expect("a method"),
            uri: target.parse().expect("a target"),
            headers,
            peer: Arc::new(peer),
        }
    }

    pub(super) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
        self.headers.append(name, HeaderValue::from_bytes(value.as_ref()).expect("a field value"));
        self
    }

    pub(super) fn bearer(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    pub(super) fn from(mut self, address: &str) -> Self {
        self.peer = Arc::new(Peer::new(address.parse().expect("an address"), false, None));
        self
    }

    pub(super) fn over_tls_to(mut self, name: &str) -> Self {
        self.peer = Arc::new(Peer::new(self.peer.address, true, Some(name.into())));
        self
    }

    /// Returns the head of the request. `fields`: the fields of this request.
    pub(super) fn head<'h>(&'h self, fields: &'h Fields<'h>) -> Head<'h> {
        Head { method: &self.method, target: Target::from(&self.uri), fields, peer: &self.peer }
    }

    /// Judges the request with `authorise` and `charge`.
    pub(super) fn judge<'s>(
        &self,
        snapshot: &'s Snapshot,
        now: Now,
    ) -> Result<Admission<'s>, Refused<'s>> {
        let fields = Fields::from(&self.headers);
        charge(super::authorise(&self.head(&fields), snapshot, now)?, now)
    }

    pub(super) fn refusal(&self, snapshot: &Snapshot) -> Option<Refusal> {
        self.judge(snapshot, NOON).err().map(|refused| refused.refusal)
    }
}
