//! State shared by all requests on one client connection.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::policy::Peer;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::worker::context::Worker;

/// A client's connection.
pub(in crate::proxy) struct Connection {
    pub(in crate::proxy) worker: Rc<Worker>,
    /// Pool of the connections that its requests are forwarded on.
    pub(in crate::proxy) pool: Rc<Pool>,
    pub(in crate::proxy) peer: Peer,
    /// Whether this is an overflow connection, open only to receive the refusal that there are too
    /// many.
    pub(in crate::proxy) overflow: bool,
    /// Number of requests in flight: their responses are not complete.
    in_flight: Cell<usize>,
    /// When the last request ended, in monotonic nanoseconds.
    quiet_since: Cell<u64>,
}

impl Connection {
    /// Creates the state of a connection from `peer`, which has been quiet from now on.
    pub(in crate::proxy) fn new(pool: &Rc<Pool>, peer: Peer, overflow: bool) -> Rc<Self> {
        let worker = pool.worker();
        let quiet_since = Cell::new(worker.now().monotonic);
        Rc::new(Self {
            worker: worker.clone(),
            pool: pool.clone(),
            peer,
            overflow,
            in_flight: Cell::new(0),
            quiet_since,
        })
    }

    /// Counts a request as in flight.
    pub(in crate::proxy) fn request_started(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// Counts a request as ended at `now`, in monotonic nanoseconds.
    pub(in crate::proxy) fn request_ended(&self, now: u64) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.quiet_since.set(now);
    }

    /// Restarts the quiet time from now.
    pub(in crate::proxy) fn restart_quiet(&self) {
        self.quiet_since.set(self.worker.now().monotonic);
    }

    /// Returns how long no request has been in flight, or `None` if one is.
    pub(in crate::proxy) fn quiet(&self) -> Option<Duration> {
        let quiet = self.worker.now().monotonic.saturating_sub(self.quiet_since.get());
        (self.in_flight.get() == 0).then_some(Duration::from_nanos(quiet))
    }
}
