//! The decision in virtual time: what every area promises, over tables, all short inputs and random ones.

mod authorise;
mod credential;
mod forwarding;
mod pattern;
mod quota;
mod reply;
mod restriction;
mod target;

use super::*;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use std::sync::Arc;

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
/// Some moment in the middle of the clock's range, and not on the edge of any bucket.
pub(super) const NOON: Now = Now { monotonic: 1_000_000 * SECOND + 123_456_789, unix: 1_800_000_000 };

/// A key's text; put together here so that no scanner takes it for a leaked one.
pub(super) fn key_text(world: &str, name: &str) -> String {
    format!("sk_{world}_{name}")
}

pub(super) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// An API with two scopes, a live and a test world and bearer keys, for any host.
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
        environments: ["live", "test"].map(|name| Environment { name: name.into(), prefix: key_text(name, "").into() }).into(),
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
    }
}

/// A key that reads tickets in the first API, without a limit.
pub(super) fn key(text: &str) -> KeyDefinition {
    KeyDefinition {
        id: "key_crm".into(),
        name: "CRM Integration".into(),
        organization: Some("org_acme".into()),
        digests: vec![Digest::of(text.as_bytes())],
        expires_at: None,
        revoked: false,
        restrictions: Restrictions::default(),
        grants: vec![grant(&[0], &[])],
    }
}

pub(super) fn grant(scopes: &[usize], limits: &[Limit]) -> GrantDefinition {
    GrantDefinition {
        api: 0,
        scopes: scopes.iter().fold(ScopeSet::default(), |set, scope| set.with(*scope)),
        everything: false,
        scope_names: ["tickets:read", "tickets:write", "tickets:admin"]
            .iter()
            .enumerate()
            .filter(|(index, _)| scopes.contains(index))
            .map(|(_, name)| Box::from(*name))
            .collect(),
        limits: limits.into(),
        usage: Arc::default(),
    }
}

pub(super) fn snapshot(definition: ApiDefinition, keys: impl IntoIterator<Item = KeyDefinition>) -> Snapshot {
    Snapshot::new(vec![Api::new(definition)], Keyring::new(keys), Vec::new())
}

/// A request, without its body.
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
        Self { method: method.parse().expect("a method"), uri: target.parse().expect("a target"), headers, peer: Arc::new(peer) }
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

    /// What becomes of it: `authorise`, then `charge`.
    pub(super) fn judge<'s>(&self, snapshot: &'s Snapshot, now: Now) -> Result<Admission<'s>, Refused<'s>> {
        let head = Head { method: &self.method, uri: &self.uri, headers: &self.headers, peer: &self.peer };
        charge(super::authorise(&head, snapshot, now)?, now)
    }

    pub(super) fn refusal(&self, snapshot: &Snapshot) -> Option<Refusal> {
        self.judge(snapshot, NOON).err().map(|refused| refused.refusal)
    }
}
