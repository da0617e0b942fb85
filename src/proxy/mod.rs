//! The data plane: what happens between a client's connection and the upstream's.
//!
//! Each worker is a thread with a runtime of its own, its own connections to upstreams and its own
//! counters, so that a request touches nothing that another core writes. Workers never block,
//! resolve a name or touch the disk.
//!
//! There are four floors, and each imports only what is below it: `downstream` reads and writes
//! clients, `request` judges and answers, `upstream` sends on, `worker` runs all of it.

mod downstream;
mod request;
mod upstream;
mod worker;

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

use downstream::accept::accept;
use upstream::pool::Pool;
use worker::current::Current;
use worker::run::Serve;

use crate::policy::Now;
use crate::state::Shared;

pub use downstream::accept::bind;
pub use worker::log::{LogWriter, Logged};

/// Serves the listeners on the calling thread from [`Phase::Running`](crate::state::Phase::Running)
/// until the phase is a later one and the last connection has ended, or the drain deadline has
/// passed. `index` says which worker's counters are its own.
///
/// # Errors
/// Where the runtime cannot be made.
pub fn run(
    index: usize,
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    log: &LogWriter,
) -> io::Result<()> {
    worker::run::run(index, shared, listeners, log, Pool::new)
}

impl Serve for Rc<Pool> {
    fn accept(&self, listener: tokio::net::TcpListener) -> impl Future<Output = ()> + 'static {
        accept(self.clone(), listener)
    }

    fn tick(&self, current: &Current, now: Now) {
        self.close_unused(current, now.monotonic);
        self.worker().stats().upstream_idle.set(self.idle() as u64);
    }
}
