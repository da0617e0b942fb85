//! Selects where requests are counted: in this process, or in the one that takes over from it.
//!
//! Workers and relays switch one by one, each between two requests. Once all have switched, the
//! counts of this process no longer change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::handover::{Link, Order, Outcome};

/// The state of a switch.
#[derive(Debug)]
pub struct Counting {
    /// Links for the workers, by index. Each worker takes its own.
    links: Mutex<Vec<Option<Link>>>,
    /// Incremented at each switch.
    switches: watch::Sender<u64>,
    /// The number of workers that have taken their link since the last switch.
    switched: watch::Sender<usize>,
    relays: Mutex<Vec<Arc<CountRelay>>>,
}

impl Counting {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            links: Mutex::new((0..workers).map(|_| None).collect()),
            switches: watch::Sender::new(0),
            switched: watch::Sender::new(workers),
            relays: Mutex::default(),
        }
    }

    /// Returns the number of links that a switch needs.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.links().len() + self.relays().len()
    }

    /// Counts requests over these links from now on, and in this process where links are missing.
    ///
    /// Resolves when every worker has switched. Never resolves if a worker has died.
    pub async fn switch(&self, links: Vec<Link>) {
        let mut links = links.into_iter();
        self.switched.send_replace(0);
        let workers = {
            let mut places = self.links();
            places.iter_mut().for_each(|place| *place = links.next());
            places.len()
        };
        self.switches.send_modify(|switches| *switches += 1);
        for relay in self.relays().iter() {
            *relay.link() = links.next();
        }
        let mut switched = self.switched.subscribe();
        // The sender lives in `self`, so there is no error.
        let _ = switched.wait_for(|switched| *switched >= workers).await;
    }

    /// Returns a receiver that is notified at each switch.
    #[must_use]
    pub fn switches(&self) -> watch::Receiver<u64> {
        self.switches.subscribe()
    }

    /// Switches a worker. Returns the link to count over, or `None` to count in this process.
    #[must_use]
    pub fn take(&self, worker: usize) -> Option<Link> {
        let link = self.links().get_mut(worker).and_then(Option::take);
        self.switched.send_modify(|switched| *switched += 1);
        link
    }

    /// Registers a relay, which counts for another process.
    #[must_use]
    pub fn add_relay(&self) -> Arc<CountRelay> {
        let relay = Arc::new(CountRelay::default());
        self.relays().push(relay.clone());
        relay
    }

    /// Removes a relay whose process has ended.
    pub fn remove_relay(&self, relay: &Arc<CountRelay>) {
        self.relays().retain(|known| !Arc::ptr_eq(known, relay));
    }

    fn links(&self) -> MutexGuard<'_, Vec<Option<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn relays(&self) -> MutexGuard<'_, Vec<Arc<CountRelay>>> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts requests of one worker of the process before this one.
#[derive(Debug, Default)]
pub struct CountRelay {
    /// The link to the process that takes over from this one in turn. Locked while a request is
    /// counted.
    link: Mutex<Option<Link>>,
}

impl CountRelay {
    /// Counts a request over the link, or by `here` without one. Returns `None` if the key or the
    /// API is unknown.
    pub fn count(&self, order: &Order, here: impl FnOnce() -> Option<Outcome>) -> Option<Outcome> {
        Link::count(&mut self.link(), order, here)
    }

    fn link(&self) -> MutexGuard<'_, Option<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
