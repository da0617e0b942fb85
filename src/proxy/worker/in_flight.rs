//! Requests that were sent on, until their answers have ended. Those with a key live by its grace:
//! they are judged again when the keys change and when time passes, and what would be refused now
//! is cut; and so is what has lasted too long, or says nothing in the middle of its answer.
//!
//! A cut works in two steps. The request's task is woken and ends the exchange as well as its state
//! allows: with the refusal, with a gRPC status, or by breaking the answer off. A client that does
//! not read can keep that from happening, because nothing more is then asked for; so after a grace
//! [`Guard`](super::guard::Guard) drops the task.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::policy::{Digest, Now, Refusal, Snapshot};
use crate::proxy::worker::current::CurrentSite;
use crate::proxy::worker::request_state::RequestState;
use crate::stats::CutShort;

/// How long a request that is cut may take to end well. With the time between two looks it stays
/// under the second that is promised.
pub(in crate::proxy) const CANCEL_GRACE: Duration = Duration::from_millis(500);

/// A worker's requests.
#[derive(Default)]
pub(in crate::proxy) struct InFlight {
    entries: RefCell<Slab<Entry>>,
    /// What was added since the guard last looked: it belongs to the task that is running.
    entered: Cell<Option<Rc<RequestState>>>,
}

/// What a request was admitted by.
pub(in crate::proxy) struct Entry {
    /// Of the secret that was presented; none where no key is needed.
    pub(in crate::proxy) digest: Option<Digest>,
    pub(in crate::proxy) site: CurrentSite,
    /// The API's index in the site.
    pub(in crate::proxy) api: usize,
    pub(in crate::proxy) state: Rc<RequestState>,
    pub(in crate::proxy) began: Instant,
}

impl InFlight {
    /// Adds a request; returns its key. To be called on the task that serves it.
    pub(in crate::proxy) fn add(&self, entry: Entry) -> usize {
        self.entered.set(Some(entry.state.clone()));
        self.entries.borrow_mut().insert(entry)
    }

    /// Takes what was added since this was last called.
    pub(in crate::proxy) fn take_entered(&self) -> Option<Rc<RequestState>> {
        self.entered.take()
    }

    /// The request with this key has ended.
    pub(in crate::proxy) fn remove(&self, key: usize) {
        let _ended = self.entries.borrow_mut().try_remove(key);
    }

    /// The gateway waits for none of them any longer.
    pub(in crate::proxy) fn stop(&self) {
        for (_, entry) in &*self.entries.borrow() {
            entry.state.cut_short(CutShort::GatewayStopped);
        }
    }

    /// Cuts every request that would be refused now or is overdue, and tells why. `at`: the same
    /// moment as `now`.
    pub(in crate::proxy) fn cancel_where_due(
        &self,
        snapshot: &Snapshot,
        now: Now,
        at: Instant,
        mut tell: impl FnMut(Refusal),
    ) {
        for (_, entry) in &*self.entries.borrow() {
            let Entry { digest, site, api, state, began } = entry;
            if state.cancelled().is_some() {
                continue;
            }
            let Some(api) = site.apis.get(*api) else { continue };
            let verdict = digest
                .and_then(|digest| snapshot.verdict_on(&digest, &api.config.definition.name, now));
            let overdue =
                || state.is_overdue(*began, at, &api.config).then_some(Refusal::UpstreamTimeout);
            if let Some(refusal) = verdict.or_else(overdue) {
                state.cancel(refusal);
                tell(refusal);
            }
        }
    }
}
