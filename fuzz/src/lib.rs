//! Shared by the fuzz targets: a configuration for decisions, and a real gateway.

pub mod gateway;

use std::path::Path;
use std::sync::Arc;

use keygate::policy::{
    Api, ApiDefinition, Digest, Fields, Grant, KeyDefinition, KeyId, KeyRecord, Keyring, Limit,
    Now, Organization, Peer, Restrictions, Routes, ScopeSet, Secret, Snapshot, Tombstones,
};

/// The time of all decisions.
pub const NOW: Now = Now { monotonic: 1_000_000_000, unix: 1_800_000_000 };

/// The prefix of the key.
pub const PREFIX: &str = "fuzz_live_";

/// Returns the only valid key.
pub fn key() -> String {
    format!("{PREFIX}{:030}", 7)
}

/// Three APIs, one of each kind.
const APIS: &str = r#"
[server]
listen = "127.0.0.1:0"

[[api]]
name = "desk"
hosts = ["desk.example"]
upstream = "http://127.0.0.1:1"
credentials = ["bearer", "header:X-API-Key"]
environments = { live = "PREFIX" }
rate_limit = ["100000/s", "1000000/min"]
public = ["GET /status"]
[api.upstream_headers]
X-Desk-Secret = "open sesame"
[api.scopes."tickets:read"]
allows = ["GET /api/v1/tickets", "GET /api/v1/tickets/**"]
[api.scopes."tickets:write"]
allows = ["POST /api/v1/tickets"]

[[api]]
name = "approvals"
hosts = ["approvals.example"]
base_path = "/approvals"
upstream = "http://127.0.0.1:1"
credentials = ["header:X-API-Key"]
case_insensitive_paths = true
pass_through = ["header:DeskToken", "cookie:sso_session"]
pass_through_allows = ["GET /approvals/**", "POST /approvals/**"]
errors = "envelope"
empty_scopes = "all"

[[api]]
name = "any"
upstream = "http://127.0.0.1:1"
errors = "detail"
errors_distinguish = false
"#;

/// Returns the definitions of the APIs of the file.
pub fn definitions() -> Vec<ApiDefinition> {
    let text = APIS.replace("PREFIX", PREFIX);
    let config = keygate::config::parse(&text, Path::new("gateway.toml")).expect("a sound file");
    config.apis.iter().map(|api| api.definition.clone()).collect()
}

/// Returns a snapshot with the APIs, and one key that has access to all of them.
pub fn snapshot() -> Snapshot {
    let definitions = definitions();
    let limits: Arc<[Limit]> = definitions[0].rate_limit.clone();
    let grants: Vec<Grant> = (0..definitions.len())
        .map(|index| {
            Grant::new(
                index,
                ScopeSet::default().with(0),
                index != 0,
                &["tickets:read"],
                limits.clone(),
            )
        })
        .collect();
    let key = KeyDefinition {
        id: KeyId::parse("key_7").expect("an id"),
        name: "Fuzz, \"the\" key\u{e9}".into(),
        organization: Some(Organization::new("org_acme")),
        secrets: vec![Secret { digest: Digest::of(key().as_bytes()), ends_at: None }],
        expires_at: None,
        revoked: false,
        paused: false,
        stored: true,
        restrictions: Restrictions::default(),
        grants: 0,
        account: Arc::default(),
    };
    Snapshot {
        routes: Arc::new(Routes::new(definitions.into_iter().map(Api::new).collect(), Vec::new())),
        grants: Arc::new([grants.into()]),
        keyring: Keyring::new([Arc::new(KeyRecord::new(key))]),
        tombstones: Tombstones::default(),
        closed: Arc::default(),
    }
}

/// Returns the peer that sends all requests.
pub fn peer() -> Peer {
    Peer::new([192, 0, 2, 1].into(), true, None)
}

/// Returns the values of the fields of this name.
pub fn all<'f>(fields: &'f Fields<'_>, name: &'f str) -> impl Iterator<Item = &'f [u8]> {
    fields.iter().filter(move |field| field.name == name).map(|field| field.value)
}
