//! Divides the process's file descriptors between clients and upstreams.
//!
//! Every connection and every open file takes one. Without a free one the process can neither
//! accept, nor connect, nor read an edit that revokes a key. Clients and upstreams therefore get a
//! share each, and the rest is reserved.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Reserved for everything but clients and upstreams: the admin address, the store, files that are
/// read, the log.
const KEPT: usize = 160;
/// Reserved for each worker: its runtime and its listeners.
const KEPT_BY_WORKER: usize = 8;
/// Minimum for clients and for upstreams, so that some requests are always served.
const LEAST: usize = 8;

/// The limits of simultaneous connections.
#[derive(Debug)]
pub struct Descriptors {
    /// Limit of connections from clients.
    pub clients: usize,
    /// Limit of connections to upstreams.
    pub upstreams: usize,
    /// Connections to upstreams that are open or connecting.
    used: AtomicUsize,
}

/// A slot for one connection to an upstream, freed on drop.
#[derive(Debug)]
pub struct UpstreamPlace(Arc<Descriptors>);

impl Drop for UpstreamPlace {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Descriptors {
    /// Raises the limit of open files to the hard limit, and divides it up.
    #[must_use]
    pub fn claim(workers: usize) -> Self {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        let most = rustix::process::Rlimit { current: limit.maximum, ..limit };
        // If the system refuses, the current limit stays.
        if limit.current != limit.maximum && setrlimit(Resource::Nofile, most).is_ok() {
            limit.current = limit.maximum;
        }
        Self::of(
            limit.current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            workers,
        )
    }

    fn of(limit: usize, workers: usize) -> Self {
        let left = limit.saturating_sub(KEPT + KEPT_BY_WORKER * workers);
        // Connections beyond the clients' limit stay open for as long as their error response
        // takes.
        Self {
            clients: (left / 5 * 2).max(LEAST),
            upstreams: (left / 2).max(LEAST),
            used: AtomicUsize::new(0),
        }
    }

    /// Takes a slot for another connection to an upstream.
    ///
    /// # Errors
    /// Fails with [`io::ErrorKind::QuotaExceeded`] if no slot is free.
    pub fn take(self: &Arc<Self>) -> io::Result<UpstreamPlace> {
        let place = UpstreamPlace(self.clone());
        if self.used.fetch_add(1, Ordering::Relaxed) < self.upstreams {
            return Ok(place);
        }
        Err(io::Error::new(
            io::ErrorKind::QuotaExceeded,
            "there are as many connections to upstreams as the limit of open files allows",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_upstreams_together_leave_what_is_kept() {
        for limit in [512, 1024, 65_536, 1 << 20, usize::MAX] {
            for workers in [1, 2, 32] {
                let Descriptors { clients, upstreams, .. } = Descriptors::of(limit, workers);
                // The overflow is an eighth.
                let all = clients
                    .saturating_add(clients / 8)
                    .saturating_add(upstreams)
                    .saturating_add(KEPT + KEPT_BY_WORKER * workers);
                assert!(
                    all <= limit.max(KEPT + KEPT_BY_WORKER * workers + 3 * LEAST),
                    "{limit}, {workers}: {clients} {upstreams}"
                );
            }
        }
        let tiny = Descriptors::of(16, 2);
        assert_eq!((tiny.clients, tiny.upstreams), (LEAST, LEAST));
    }

    #[test]
    fn place_that_is_given_back_can_be_taken_again() {
        let descriptors = Arc::new(Descriptors::of(0, 1));
        let mut places: Vec<_> = (0..LEAST).map(|_| descriptors.take().unwrap()).collect();
        assert!(descriptors.take().is_err() && descriptors.take().is_err());
        places.pop();
        places.push(descriptors.take().unwrap());
        assert!(descriptors.take().is_err());
    }
}
