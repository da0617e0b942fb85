//! Data plane: the path of a request from a client's connection to an upstream's, and back.
//!
//! Each worker is a thread with its own runtime, its own upstream connections and its own counters,
//! so a request writes to no memory that another core writes to. Workers never block, resolve a
//! name or touch the disk.
//!
//! There are four layers, and each imports only from those below it: `downstream` reads from and
//! writes to clients, `request` judges and answers, `upstream` forwards, `worker` runs all of it.

mod downstream;
mod request;
mod upstream;
mod worker;

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

use self::downstream::accept::accept;
use self::upstream::pool::Pool;
use self::worker::current::Current;
use self::worker::run::Serve;
use crate::policy::Now;
use crate::state::Shared;

pub use downstream::accept::bind;
pub use worker::log::{LogWriter, Logged};

/// Serves the listeners on the calling thread, from
/// [`Phase::Running`](crate::state::Phase::Running) until no more connections are accepted and the
/// last one has closed, or until the drain timeout has passed. `index` selects this worker's
/// counters.
///
/// # Errors
/// Returns an error if the worker or its runtime cannot be built.
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
