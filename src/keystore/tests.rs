//! Tests of the store with real files.

mod changes;
mod crash;
mod opening;
mod reading;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::policy::{Digest, HourCounts, Hours};

/// A store in its own temporary directory.
struct Fixture {
    folder: TempDir,
    store: KeyStore,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store =
            KeyStore::open(&folder.path().join("keys.db"), |_| ()).expect("a new store").store;
        Self { folder, store }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.db")
    }

    /// Closes the store and opens it again.
    async fn reopen(self) -> (Self, Vec<StoredKey>, Opened) {
        self.store.close().await;
        let mut keys = Vec::new();
        let opened = KeyStore::open(&self.folder.path().join("keys.db"), |key| keys.push(key))
            .expect("the same store");
        (Self { folder: self.folder, store: opened.store.clone() }, keys, opened)
    }

    async fn create(&self, key: StoredKey) -> Result<(), CommitError> {
        self.store
            .commit(
                Change::Create { key: Box::new(key), cap: None, idempotency: None },
                entry("key.create"),
            )
            .await
    }

    async fn update(&self, key: StoredKey) -> Result<(), CommitError> {
        self.store
            .commit(Change::Update { key: Box::new(key), idempotency: None }, entry("key.update"))
            .await
    }

    async fn revoke(&self, ids: &[&str], at: i64) -> Result<(), CommitError> {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        self.store
            .commit(
                Change::Revoke { ids, secrets: Vec::new(), revocation: revocation(at) },
                entry("key.revoke"),
            )
            .await
    }

    async fn key(&self, id: &str) -> StoredKey {
        self.store.key(id).await.expect("a readable store").expect("a key")
    }
}

const NOON: i64 = 1_800_000_000;

fn revocation(at: i64) -> Revocation {
    Revocation { at, by: "token ops".to_owned(), reason: Some("leaked".to_owned()) }
}

fn entry(action: &str) -> AuditEntry {
    AuditEntry {
        sequence: 0,
        at: NOON,
        actor: "token ops".to_owned(),
        action: action.to_owned(),
        subject: "somebody".to_owned(),
        organization: None,
        detail: "{}".to_owned(),
    }
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// Returns a key with few fields set. The digest of its secret is that of its id.
fn plain(id: &str) -> StoredKey {
    StoredKey {
        id: id.to_owned(),
        name: format!("name of {id}"),
        organization: None,
        apis: vec!["desk".to_owned()],
        prefix: "sk_live_".to_owned(),
        environment: None,
        scopes: Vec::new(),
        allow_ips: Vec::new(),
        allow_referrers: Vec::new(),
        allow_endpoints: Vec::new(),
        rate_limit: None,
        created_at: NOON,
        created_by: "token ops".to_owned(),
        parent: None,
        expires_at: None,
        paused: false,
        revision: 1,
        secrets: vec![secret(id)],
        revocation: None,
    }
}

fn secret(text: &str) -> StoredSecret {
    StoredSecret { digest: digest(text), created_at: NOON, ends_at: None, last_used: None }
}

/// Returns a key with every field set.
fn full(id: &str) -> StoredKey {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    StoredKey {
        name: "Ünïcode \"quoted\"".to_owned(),
        organization: Some("org_acme".to_owned()),
        apis: texts(&["desk", "approvals"]),
        environment: Some("live".to_owned()),
        scopes: texts(&["tickets:read", "tickets:write"]),
        allow_ips: texts(&["203.0.113.0/24"]),
        allow_referrers: texts(&["https://app.example.com/*"]),
        allow_endpoints: texts(&["GET /tickets/**"]),
        rate_limit: Some(texts(&["10/s", "100/min"])),
        parent: Some("key_maker".to_owned()),
        expires_at: Some(NOON + 1000),
        paused: true,
        secrets: vec![
            secret(&format!("{id}-new")),
            StoredSecret { ends_at: Some(NOON + 10), ..secret(&format!("{id}-old")) },
        ],
        ..plain(id)
    }
}

fn of_organization(id: &str, organization: &str) -> StoredKey {
    StoredKey { organization: Some(organization.to_owned()), ..plain(id) }
}

/// Returns requests in the first hour of a day, all of them `ok`. None if the number is 0.
pub(crate) fn hours(day: i64, requests: u32) -> Hours {
    let hour = u32::try_from(day * 24).expect("a day after 1970");
    let counted = HourCounts { hour, counts: [requests, 0, 0, 0, 0], highest_minute: 0 };
    Some(counted).filter(|_| requests > 0).into_iter().collect()
}

/// Returns what is read after these requests, which were noted at once.
fn day_use(day: i64, requests: u32) -> DayUse {
    let counts = [requests.into(), 0, 0, 0, 0];
    DayUse { day, counts, highest_minute: 0, hours: hours(day, requests) }
}
