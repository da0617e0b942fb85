//! Requests in flight: forwarded, and their responses not yet complete.
//!
//! They are judged again when the keys change and as time passes. A request is cancelled if its key
//! would be refused now, if it has lasted too long, or if its response is idle.
//!
//! Cancelling takes two steps. First the request's task is woken, and ends the exchange as well as
//! its state allows: with a refusal, with a gRPC status or by truncating the response. A client
//! that does not read can prevent that, because the task then never polls the response. So after a
//! grace period [`Guard`](super::guard::Guard) drops the task.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::policy::{Digest, Now, Refusal, Snapshot};
use crate::proxy::worker::current::CurrentRuntime;
use crate::proxy::worker::request_state::RequestState;
use crate::stats::CutShort;

/// Longest time for a cancelled request to end by itself. Together with the interval between two
/// checks it stays under the promised second.
pub(in crate::proxy) const CANCEL_GRACE: Duration = Duration::from_millis(500);

/// Requests in flight on one worker.
#[derive(Default)]
pub(in crate::proxy) struct InFlight {
    entries: RefCell<Slab<InFlightRequest>>,
    /// The request added since the guard last looked. It belongs to the running task.
    entered: Cell<Option<Rc<RequestState>>>,
}

/// A request in flight, and what it was admitted by.
pub(in crate::proxy) struct InFlightRequest {
    /// Digest of the presented secret, or `None` if the request needs no key.
    pub(in crate::proxy) digest: Option<Digest>,
    pub(in crate::proxy) runtime: CurrentRuntime,
    /// Index of the API in the runtime.
    pub(in crate::proxy) api: usize,
    pub(in crate::proxy) state: Rc<RequestState>,
    pub(in crate::proxy) began: Instant,
}

impl InFlight {
    /// Adds a request and returns its slab key. Call it on the task that serves the request.
    pub(in crate::proxy) fn add(&self, entry: InFlightRequest) -> usize {
        self.entered.set(Some(entry.state.clone()));
        self.entries.borrow_mut().insert(entry)
    }

    /// Takes the request added since the last call.
    pub(in crate::proxy) fn take_entered(&self) -> Option<Rc<RequestState>> {
        self.entered.take()
    }

    /// Removes the request with this slab key when it has ended.
    pub(in crate::proxy) fn remove(&self, key: usize) {
        let _ended = self.entries.borrow_mut().try_remove(key);
    }

    /// Marks the responses of all requests as cut short, because the gateway no longer waits for
    /// them.
    pub(in crate::proxy) fn stop(&self) {
        for (_, entry) in &*self.entries.borrow() {
            entry.state.cut_short(CutShort::GatewayStopped);
        }
    }

    /// Cancels every request that would be refused now or is overdue, and calls `on_cancel` with
    /// each reason. `at` is the same instant as `now`.
    pub(in crate::proxy) fn cancel_where_due(
        &self,
        snapshot: &Snapshot,
        now: Now,
        at: Instant,
        mut on_cancel: impl FnMut(Refusal),
    ) {
        for (_, entry) in &*self.entries.borrow() {
            let InFlightRequest { digest, runtime, api, state, began } = entry;
            if state.cancelled().is_some() {
                continue;
            }
            let Some(api) = runtime.apis.get(*api) else { continue };
            let verdict = digest
                .and_then(|digest| snapshot.verdict_on(&digest, &api.config.definition.name, now));
            let overdue =
                || state.is_overdue(*began, at, &api.config).then_some(Refusal::UpstreamTimeout);
            if let Some(refusal) = verdict.or_else(overdue) {
                state.cancel(refusal);
                on_cancel(refusal);
            }
        }
    }
}
