//! Keys that expire soon: counted for the metrics, and warned once each in the log. Those that have
//! expired leave the memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::keys::KeyService;
use super::metrics::Metrics;
use super::table::expired_at;
use crate::policy::{KeyRecord, Snapshot};

/// The shortest time between two looks at all keys; with many keys it is longer, so that looking
/// costs a hundredth of a core.
const EVERY: Duration = Duration::from_secs(1);
const SHARE: u32 = 100;
/// Keys that are named in the log at once; the others are counted.
const NAMED: usize = 50;

/// Keys that leave the memory before others on the control thread, such as a revocation, have their
/// turn.
const TURN: usize = 1000;

/// What one look found.
#[derive(Debug, Default)]
struct Found {
    /// Ids of keys of the store that have expired.
    expired: Vec<Box<str>>,
    /// When this was, in seconds since the Unix epoch.
    now: i64,
    /// By API, in their order.
    counts: Vec<(Arc<str>, u64)>,
    soon: Vec<Arc<KeyRecord>>,
}

/// Looks at all keys again and again, off the control thread. Never ends.
pub(super) async fn run(metrics: Arc<Metrics>, keys: KeyService) {
    let mut warned: HashSet<Box<str>> = HashSet::new();
    // No key that has left the memory, or was not taken into it at the start, has expired later.
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
            // If the clock was set back, keys are taken back, the next time if it must be.
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

/// Keys that expire within the time that their APIs set, and have not yet.
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
    // Whoever is given more time is warned of anew when that ends.
    *warned = keys.iter().map(|key| key.id().into()).collect();
}
