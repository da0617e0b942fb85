//! Counts the keys that expire soon for the metrics, and warns of each once in the log. Removes
//! expired keys of the store from memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::keys::KeyService;
use super::metrics::Metrics;
use super::table::expired_at;
use crate::policy::{KeyRecord, Snapshot};

/// Shortest pause between two passes over all keys. With many keys the pause is longer, 100 times
/// the duration of a pass, so that the passes take at most a hundredth of a core.
const EVERY: Duration = Duration::from_secs(1);
const SHARE: u32 = 100;
/// Limit of keys that one pass names in the log. Further keys are only counted.
const NAMED: usize = 50;

/// How many keys are removed from memory before other tasks of the control thread, such as a
/// revocation, run.
const TURN: usize = 1000;

/// The result of one pass.
#[derive(Debug, Default)]
struct Found {
    /// Ids of the store's keys that have expired.
    expired: Vec<Box<str>>,
    /// The time of the pass, in Unix seconds.
    now: i64,
    /// The number of keys that expire soon, by API in the order of the configuration.
    counts: Vec<(Arc<str>, u64)>,
    soon: Vec<Arc<KeyRecord>>,
}

/// Passes over all keys again and again, off the control thread. Never returns.
pub(super) async fn run(metrics: Arc<Metrics>, keys: KeyService) {
    let mut warned: HashSet<Box<str>> = HashSet::new();
    // The latest time at which keys were removed from memory. At the start it is the start of the
    // process, because keys that had expired by then were not loaded.
    let mut latest = metrics.started_at;
    loop {
        let started = Instant::now();
        let shared = metrics.shared.clone();
        let looked = tokio::task::spawn_blocking(move || {
            look(&shared.published().snapshot, shared.clock.now().unix)
        })
        .await;
        if let Ok(found) = looked {
            metrics.set_expiring(found.counts);
            warn(&found.soon, &mut warned);
            // If the clock was set back, keys that have not expired after all are loaded again. A
            // failure is retried in the next pass.
            if found.now < latest && keys.revive(found.now, latest).await.is_ok() {
                latest = found.now;
            }
            for ids in found.expired.chunks(TURN) {
                latest = latest.max(found.now);
                keys.retire_expired(ids, found.now);
                tokio::task::yield_now().await;
            }
        }
        sleep(EVERY.max(started.elapsed() * SHARE)).await;
    }
}

/// Returns the keys that expire within `expiry_warning` of their APIs, and the keys that have
/// expired. `now` is in Unix seconds.
fn look(snapshot: &Snapshot, now: i64) -> Found {
    let apis = snapshot.routes.apis();
    let mut found = Found {
        counts: apis.iter().map(|api| (api.definition().name.clone(), 0)).collect(),
        now,
        ..Found::default()
    };
    for record in snapshot.keyring.records() {
        if expired_at(record, now).is_some() {
            found.expired.push(record.id().into());
        }
        let Some(end) = record.expires_at().filter(|end| *end > now && !record.is_revoked()) else {
            continue;
        };
        let left = u64::try_from(end - now).unwrap_or(u64::MAX);
        let grants = snapshot.grants.get(record.grants() as usize).map_or(&[][..], |grants| grants);
        let mut soon = false;
        for index in grants.iter().map(crate::policy::Grant::api) {
            if apis.get(index).is_some_and(|api| left <= api.definition().expiry_warning) {
                found.counts[index].1 += 1;
                soon = true;
            }
        }
        if soon {
            found.soon.push(record.clone());
        }
    }
    found
}

fn warn(keys: &[Arc<KeyRecord>], warned: &mut HashSet<Box<str>>) {
    let news: Vec<&Arc<KeyRecord>> = keys.iter().filter(|key| !warned.contains(key.id())).collect();
    for key in news.iter().take(NAMED) {
        let expires_at = key
            .expires_at()
            .and_then(|end| jiff::Timestamp::from_second(end).ok())
            .map(|end| end.to_string());
        let organization = key.organization().unwrap_or_default();
        tracing::warn!(
            key = key.id(),
            name = key.name(),
            organization,
            expires_at,
            "key expires soon"
        );
    }
    if news.len() > NAMED {
        tracing::warn!(keys = news.len() - NAMED, "more keys expire soon");
    }
    // A key whose expiry is postponed leaves this set, so the new expiry is reported again.
    *warned = keys.iter().map(|key| key.id().into()).collect();
}
