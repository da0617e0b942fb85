//! Selects where requests are counted: in this process, or in the one that takes over from it.
//!
//! Workers and clerks switch one by one, each between two requests. Once all have switched, the
//! counts of this process no longer change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Shared;
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
    clerks: Mutex<Vec<Arc<Clerk>>>,
}

impl Counting {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            links: Mutex::new((0..workers).map(|_| None).collect()),
            switches: watch::Sender::new(0),
            switched: watch::Sender::new(workers),
            clerks: Mutex::default(),
        }
    }

    /// Returns the number of links that a switch needs.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.links().len() + self.clerks().len()
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
        for clerk in self.clerks().iter() {
            *clerk.link() = links.next();
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

    /// Registers a clerk, which counts for another process.
    #[must_use]
    pub fn employ(&self) -> Arc<Clerk> {
        let clerk = Arc::new(Clerk::default());
        self.clerks().push(clerk.clone());
        clerk
    }

    /// Removes a clerk whose process has ended.
    pub fn dismiss(&self, clerk: &Arc<Clerk>) {
        self.clerks().retain(|known| !Arc::ptr_eq(known, clerk));
    }

    fn links(&self) -> MutexGuard<'_, Vec<Option<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clerks(&self) -> MutexGuard<'_, Vec<Arc<Clerk>>> {
        self.clerks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts requests of one worker of the process before this one.
#[derive(Debug, Default)]
pub struct Clerk {
    /// The link to the process that takes over from this one in turn. Locked while a request is
    /// counted.
    link: Mutex<Option<Link>>,
}

impl Clerk {
    /// Counts a request. Returns `None` if the key or the API is unknown.
    pub fn count(&self, order: &Order, shared: &Shared) -> Option<Outcome> {
        Link::count(&mut self.link(), order, || {
            let published = shared.published();
            let record = published.snapshot.keyring.find(&order.digest)?;
            let api = published
                .snapshot
                .routes
                .apis()
                .iter()
                .find(|api| *api.definition().name == *order.api)?;
            let now = shared.clock.now().monotonic;
            Some(record.account().charge(&api.definition().name, &order.digest, &order.limits, now))
        })
    }

    fn link(&self) -> MutexGuard<'_, Option<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
