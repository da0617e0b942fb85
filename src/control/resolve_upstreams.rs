//! Resolves the upstreams' names on the control thread: the system's resolver blocks.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::config::{Place, Upstream};
use crate::state::{Shared, UpstreamState};

/// How long the addresses of a name are used before it is resolved again.
const REFRESH: Duration = Duration::from_secs(30);
/// Delay before a failed lookup is repeated.
const RETRY: Duration = Duration::from_secs(2);
/// Timeout of one lookup, so that a hanging resolver does not delay the others.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the address of an upstream that is configured by IP address and needs no lookup.
pub(super) fn literal(upstream: &Upstream) -> Option<SocketAddr> {
    let Place::Tcp(host, port) = &upstream.place else { return None };
    host.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, *port))
}

/// Resolves all names of the published configuration, at once after each change. Never returns.
/// Sends `true` to `settled` when every name has been tried once.
pub(super) async fn run(shared: Arc<Shared>, settled: watch::Sender<bool>) {
    let mut publications = shared.publications();
    let mut due: HashMap<u64, Instant> = HashMap::new();
    let mut failing = HashSet::new();
    loop {
        publications.mark_unchanged();
        let published = shared.published();
        let upstreams: HashMap<u64, Arc<UpstreamState>> = published
            .runtime
            .apis
            .iter()
            .flat_map(|api| &api.upstreams)
            .filter(|upstream| {
                matches!(upstream.settings.place, Place::Tcp(..))
                    && literal(&upstream.settings).is_none()
            })
            .map(|upstream| (upstream.id, upstream.clone()))
            .collect();
        // Not kept while waiting: it would stay in memory after a reload.
        drop(published);
        due.retain(|id, _| upstreams.contains_key(id));
        failing.retain(|id| upstreams.contains_key(id));
        let now = Instant::now();
        let mut lookups = tokio::task::JoinSet::new();
        for (id, upstream) in &upstreams {
            if due.get(id).is_none_or(|due| *due <= now) {
                let upstream = upstream.clone();
                lookups.spawn(async move { (upstream.clone(), resolve(&upstream.settings).await) });
            }
        }
        while let Some(Ok((upstream, result))) = lookups.join_next().await {
            let pause = if result.is_ok() { REFRESH } else { RETRY };
            due.insert(upstream.id, Instant::now() + pause);
            let name = &upstream.settings.authority;
            match result {
                Ok(addresses) => {
                    let recovered = failing.remove(&upstream.id);
                    let before = upstream.addresses.load_full();
                    if *before != addresses {
                        tracing::info!(upstream = %name, ?addresses, "upstream resolved");
                        upstream.addresses.store(Arc::new(addresses));
                    } else if recovered {
                        tracing::info!(upstream = %name, "upstream can be resolved again");
                    }
                }
                // Keep the previous addresses: an old address is better than none.
                Err(error) if failing.insert(upstream.id) => {
                    tracing::warn!(upstream = %name, error, "upstream cannot be resolved");
                }
                Err(_) => {}
            }
        }
        settled.send_replace(true);
        let next = due.values().min().copied().unwrap_or_else(|| Instant::now() + REFRESH);
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            changed = publications.changed() => if changed.is_err() { return },
        }
    }
}

/// Returns the addresses of the name, sorted so that equal results compare equal.
async fn resolve(upstream: &Upstream) -> Result<Vec<SocketAddr>, String> {
    let Place::Tcp(host, port) = &upstream.place else { return Ok(Vec::new()) };
    let lookup = timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host.as_ref(), *port))).await;
    let found = lookup
        .map_err(|_| "the resolver does not answer".to_owned())?
        .map_err(|error| error.to_string())?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() { Err("the name has no address".to_owned()) } else { Ok(addresses) }
}
