//! What all requests of one client's connection share.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::policy::Peer;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::worker::context::Worker;

/// A client's connection.
pub(in crate::proxy) struct Connection {
    pub(in crate::proxy) worker: Rc<Worker>,
    /// Where its requests go on.
    pub(in crate::proxy) pool: Rc<Pool>,
    pub(in crate::proxy) peer: Peer,
    /// Whether there are so many connections that this one is open only to be told so.
    pub(in crate::proxy) overflow: bool,
    /// Requests whose answer has not ended.
    in_flight: Cell<usize>,
    /// Since when there is none, in monotonic nanoseconds.
    quiet_since: Cell<u64>,
}

impl Connection {
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

    pub(in crate::proxy) fn request_started(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(in crate::proxy) fn request_ended(&self, now: u64) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.quiet_since.set(now);
    }

    /// Counts the time without a request from now.
    pub(in crate::proxy) fn restart_quiet(&self) {
        self.quiet_since.set(self.worker.now().monotonic);
    }

    /// Whether a request is in flight, and else for how long there has been none.
    pub(in crate::proxy) fn quiet(&self) -> Option<Duration> {
        let quiet = self.worker.now().monotonic.saturating_sub(self.quiet_since.get());
        (self.in_flight.get() == 0).then_some(Duration::from_nanos(quiet))
    }
}
