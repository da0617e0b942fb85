//! Tests of the rules, each with a real store in a folder of its own and with virtual time.

mod change;
mod create;
mod key_endpoints;
mod organizations;
mod queries;
mod revoke;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;

use super::error::Conflict;
use super::*;
use crate::config::{AdminToken, Role, parse};
use crate::control::registry::Registry;
use crate::control::runtime::RuntimeBuilder;
use crate::control::table::Loader;
use crate::keystore::tests::hours;
use crate::keystore::{self, Change, KeyStore, Revocation, StoredKey};
use crate::policy::{Digest, Now, Refusal};
use crate::state::{Clock, Descriptors, KeyAnswer, KeyCall, Published, Shared};

/// 2026-11-22T00:00:00Z.
const START: i64 = 1_795_305_600;
const HOUR: i64 = 3600;

/// Two APIs: one with scopes and two environments, one whose keys have full access.
const FILE: &str = r#"
[server]
listen = "127.0.0.1:0"

[store]
path = "keygate.db"
keys_per_organization = 4

[[api]]
name = "desk"
hosts = ["desk.example.com"]
upstream = "http://127.0.0.1:3000"
environments = { live = "kl_", test = "kt_" }

[api.scopes."tickets:read"]
allows = ["GET /tickets"]

[api.scopes."tickets:write"]
allows = ["POST /tickets"]

[api.key_api]
path = "/keys"
style = "envelope"
scope = "keys:manage"

[[api]]
name = "relay"
hosts = ["relay.example.com"]
upstream = "http://127.0.0.1:3000"
environments = { live = "rl_live_" }
credentials = ["header:X-API-Key"]
empty_scopes = "all"
errors = "detail"
errors_distinguish = false

[api.key_api]
path = "/api/keys"
style = "bare"
"#;

/// A key service without the rest of a gateway.
struct Fixture {
    service: KeyService,
    operations: Arc<KeyOperations>,
    registry: Arc<Registry>,
    store: KeyStore,
    now: Arc<AtomicI64>,
    folder: TempDir,
    file: String,
}

impl Fixture {
    fn open() -> Self {
        Self::with_file(FILE)
    }

    /// Starts with `more` appended to the file.
    fn with(more: &str) -> Self {
        Self::with_file(&format!("{FILE}{more}"))
    }

    fn with_file(file: &str) -> Self {
        Self::start(TempDir::new().expect("a folder"), Arc::new(AtomicI64::new(START)), file)
    }

    fn start(folder: TempDir, now: Arc<AtomicI64>, file: &str) -> Self {
        let config =
            Arc::new(parse(file, &folder.path().join("gateway.toml")).expect("a good file"));
        let runtime = RuntimeBuilder::new(1, usize::MAX).build(
            &config,
            Arc::new(config.routes()),
            None,
            None,
        );
        let runtime = Arc::new(runtime.expect("no authorities"));
        let unix = now.load(Ordering::Relaxed);
        let mut loader = Loader::new(&config, runtime.routes.clone(), unix);
        let opened = KeyStore::open(&folder.path().join("keygate.db"), |key| loader.add(&key))
            .expect("a store");
        loader.add_state(opened.found);
        let table = loader.finish().expect("no clashes");
        let (shared, _) = Shared::new(
            Published { snapshot: table.snapshot(), runtime: runtime.clone() },
            1,
            Clock::default(),
            Arc::new(Descriptors::claim(1)),
        );
        let registry = Arc::new(Registry::new(shared, table, runtime));
        let clock = now.clone();
        let service = KeyService::new(registry.clone(), Some(opened.store.clone()), move || {
            clock.load(Ordering::Relaxed)
        });
        let operations = service.operations();
        Self {
            service,
            operations,
            registry,
            store: opened.store,
            now,
            folder,
            file: file.to_owned(),
        }
    }

    /// Simulates a restart.
    async fn restart(self) -> Self {
        self.store.close().await;
        Self::start(self.folder, self.now, &self.file)
    }

    /// Simulates a disk that fails while `when` is true: `INSERT`s into or `UPDATE`s of a table
    /// fail.
    async fn fail_writes(self, table: &str, statement: &str, when: &str) -> Self {
        self.store.close().await;
        let file =
            rusqlite::Connection::open(self.folder.path().join("keygate.db")).expect("the file");
        let trigger = format!(
            "CREATE TRIGGER broken BEFORE {statement} ON {table} WHEN {when} BEGIN SELECT \
                RAISE(ABORT, 'the disk is broken'); END"
        );
        file.execute_batch(&trigger).expect("a trigger");
        drop(file);
        Self::start(self.folder, self.now, &self.file)
    }

    /// Simulates a disk that fails: from now on the store accepts nothing.
    async fn break_store(&self) {
        self.store.clone().close().await;
    }

    fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    fn unix(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Returns why a request with this key would be refused, or `None` if it would not.
    fn refusal(&self, key: &str, api: &str) -> Option<Refusal> {
        let now = Now { monotonic: 0, unix: self.unix() };
        self.registry.look(|table| table.snapshot()).verdict_on(
            &Digest::of(key.as_bytes()),
            api,
            now,
        )
    }

    /// Looks at all tombstones, which takes the gateway about a minute.
    fn forget_dead(&self) {
        (0..64).for_each(|_| self.registry.forget_dead(self.unix()));
    }

    /// Returns whether a key is refused permanently. One of the store need not be in memory then.
    fn is_revoked(&self, id: &str) -> bool {
        self.registry.key(id).is_none_or(|key| key.is_revoked())
    }

    async fn make(&self, new: NewKey) -> (KeyView, String) {
        let created = self.operations.create(&operator(), new, None).await.expect("a key");
        (created.record, created.key.expect("its text"))
    }

    async fn actions(&self) -> Vec<String> {
        let page = self
            .operations
            .audit(&operator(), AuditFilter::default(), None, 100)
            .await
            .expect("a log");
        page.entries
            .into_iter()
            .map(|entry| format!("{} {} {}", entry.actor, entry.action, entry.subject))
            .collect()
    }
}

fn operator() -> Actor {
    token("ops", None)
}

fn acme() -> Actor {
    token("acme", Some("org_acme"))
}

/// Returns the owner of a token that may change keys.
fn token(name: &str, organization: Option<&str>) -> Actor {
    Actor::of_token(&AdminToken {
        name: name.to_owned(),
        digest: Digest::of(name.as_bytes()),
        role: Role::Manage,
        organization: organization.map(str::to_owned),
    })
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Returns a key for the API with scopes.
fn desk_key(name: &str) -> NewKey {
    NewKey { name: name.into(), apis: Some(texts(&["desk"])), ..NewKey::default() }
}

fn of_acme(name: &str) -> NewKey {
    NewKey { organization: Some("org_acme".into()), ..desk_key(name) }
}

/// Returns the members that have faults.
fn members<T: fmt::Debug>(answer: Result<T>) -> Vec<String> {
    match answer {
        Err(ServiceError::Invalid(violations)) => {
            violations.into_iter().map(|violation| violation.member).collect()
        }
        other => panic!("not invalid: {other:?}"),
    }
}

/// Returns what a request conflicts with.
fn conflict<T: fmt::Debug>(answer: Result<T>) -> (Conflict, String) {
    match answer {
        Err(ServiceError::Conflict(conflict, detail)) => (conflict, detail),
        other => panic!("no conflict: {other:?}"),
    }
}
