//! Keys that expire soon: counted for the metrics, and told once each in the log.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::metrics::Metrics;
use crate::policy::{KeyRecord, Snapshot};

/// The shortest time between two looks at all keys; with many keys it is longer, so that looking
/// costs a hundredth of a core.
const EVERY: Duration = Duration::from_secs(1);
const SHARE: u32 = 100;
/// Keys that are named in the log at once; the others are counted.
const NAMED: usize = 50;

/// What one look found.
#[derive(Debug, Default)]
struct Found {
    /// By API, in their order.
    counts: Vec<(Arc<str>, u64)>,
    keys: Vec<Arc<KeyRecord>>,
}

/// Looks at all keys again and again, off the control thread. Never ends.
pub(super) async fn run(metrics: Arc<Metrics>) {
    let mut told: HashSet<Box<str>> = HashSet::new();
    loop {
        let started = Instant::now();
        let shared = metrics.shared.clone();
        let looked = tokio::task::spawn_blocking(move || {
            look(&shared.published().snapshot, shared.clock.now().unix)
        })
        .await;
        if let Ok(found) = looked {
            metrics.set_expiring(found.counts);
            tell(&found.keys, &mut told);
        }
        sleep(EVERY.max(started.elapsed() * SHARE)).await;
    }
}

/// Keys that expire within the time that their APIs set, and have not yet.
fn look(snapshot: &Snapshot, now: i64) -> Found {
    let apis = snapshot.routes.apis();
    let mut found = Found {
        counts: apis.iter().map(|api| (api.definition().name.clone(), 0)).collect(),
        keys: Vec::new(),
    };
    for record in snapshot.keyring.records() {
        let Some(end) = record.expires_at().filter(|end| *end > now && !record.is_revoked()) else {
            continue;
        };
        let left = u64::try_from(end - now).unwrap_or(u64::MAX);
        let grants = snapshot.terms.get(record.terms() as usize).map_or(&[][..], |grants| grants);
        let mut soon = false;
        for index in grants.iter().map(crate::policy::Grant::api) {
            if apis.get(index).is_some_and(|api| left <= api.definition().expiry_warning) {
                found.counts[index].1 += 1;
                soon = true;
            }
        }
        if soon {
            found.keys.push(record.clone());
        }
    }
    found
}

fn tell(keys: &[Arc<KeyRecord>], told: &mut HashSet<Box<str>>) {
    let news: Vec<&Arc<KeyRecord>> = keys.iter().filter(|key| !told.contains(key.id())).collect();
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
    // Whoever is given more time is told of anew when that ends.
    *told = keys.iter().map(|key| key.id().into()).collect();
}
