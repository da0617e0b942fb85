//! Requests that were sent on, until their answers have ended. Those with a key live by its grace:
//! they are judged again when the keys change and when time passes, and what would be refused now
//! is cut; and so is what has lasted too long, or says nothing in the middle of its answer.
//!
//! A cut works in two steps. The request's task is woken and ends the exchange as well as its state
//! allows: with the refusal, with a gRPC status, or by breaking the answer off. A client that does
//! not read can keep that from happening, because nothing more is then asked for; so after a grace
//! [`Guard`] drops the task.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use slab::Slab;
use tokio::time::{Instant, Sleep};

use crate::policy::{Digest, Now, Refusal, Snapshot};
use crate::proxy::worker::context::{CurrentSite, Worker};
use crate::proxy::worker::request_state::Progress;
use crate::stats::CutShort;

/// How long a request that is cut may take to end well. With the time between two looks it stays
/// under the second that is promised.
pub(in crate::proxy) const GRACE: Duration = Duration::from_millis(500);

/// A worker's requests.
#[derive(Default)]
pub(in crate::proxy) struct Live {
    entries: RefCell<Slab<Entry>>,
    /// What was added since [`Guard`] last looked: it belongs to the task that is running.
    entered: Cell<Option<Rc<Progress>>>,
}

/// What a request was admitted by.
pub(in crate::proxy) struct Entry {
    /// Of the secret that was presented; none where no key is needed.
    pub(in crate::proxy) digest: Option<Digest>,
    pub(in crate::proxy) site: CurrentSite,
    /// The API's index in the site.
    pub(in crate::proxy) api: usize,
    pub(in crate::proxy) progress: Rc<Progress>,
    pub(in crate::proxy) began: Instant,
}

impl Live {
    /// Adds a request; returns its key. To be called on the task that serves it.
    pub(in crate::proxy) fn add(&self, entry: Entry) -> usize {
        self.entered.set(Some(entry.progress.clone()));
        self.entries.borrow_mut().insert(entry)
    }

    /// The request with this key has ended.
    pub(in crate::proxy) fn remove(&self, key: usize) {
        let _ended = self.entries.borrow_mut().try_remove(key);
    }

    /// The gateway waits for none of them any longer.
    pub(in crate::proxy) fn stop(&self) {
        for (_, entry) in &*self.entries.borrow() {
            entry.progress.cut_short(CutShort::GatewayStopped);
        }
    }

    /// Cuts every request that would be refused now or is overdue, and tells why. `at`: the same
    /// moment as `now`.
    pub(in crate::proxy) fn cut(
        &self,
        snapshot: &Snapshot,
        now: Now,
        at: Instant,
        mut tell: impl FnMut(Refusal),
    ) {
        for (_, entry) in &*self.entries.borrow() {
            let Entry { digest, site, api, progress, began } = entry;
            if progress.cut().is_some() {
                continue;
            }
            let Some(api) = site.apis.get(*api) else { continue };
            let verdict = digest
                .and_then(|digest| snapshot.verdict_on(&digest, &api.config.definition.name, now));
            let overdue =
                || progress.is_overdue(*began, at, &api.config).then_some(Refusal::UpstreamTimeout);
            if let Some(refusal) = verdict.or_else(overdue) {
                progress.cut_off(refusal);
                tell(refusal);
            }
        }
    }
}

/// Stands between the runtime and a task that serves a client: an HTTP/1.1 connection or an HTTP/2
/// stream.
pub(in crate::proxy) struct Guard {
    worker: Rc<Worker>,
    /// The task's latest request, if it was sent on.
    guarded: Option<Rc<Progress>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Guard {
    pub(in crate::proxy) fn new(worker: &Rc<Worker>) -> Self {
        Self { worker: worker.clone(), guarded: None, deadline: None }
    }

    /// Runs the task. `None`: its request was cut and is still not over, so the task is to be
    /// dropped, which closes the connection or resets the stream.
    pub(in crate::proxy) async fn run<F: Future>(
        &mut self,
        mut task: Pin<&mut F>,
    ) -> Option<F::Output> {
        std::future::poll_fn(|cx| self.poll(task.as_mut(), cx)).await
    }

    /// The same, step by step.
    pub(in crate::proxy) fn poll<F: Future>(
        &mut self,
        task: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        let polled = task.poll(cx);
        let entered = self.worker.live().entered.take();
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Some(output));
        }
        if let Some(progress) = entered {
            progress.wake_when_cut(cx);
            self.guarded = Some(progress);
        }
        let Some(progress) = &self.guarded else { return Poll::Pending };
        if progress.cut().is_none() {
            if Rc::strong_count(progress) == 1 {
                self.guarded = None; // over
            }
            return Poll::Pending;
        }
        ready!(
            self.deadline
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(GRACE)))
                .as_mut()
                .poll(cx)
        );
        Poll::Ready(None)
    }
}
