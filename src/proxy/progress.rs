//! How far a request has come: its body, its answer, and whether it was cut. Shared by all who work
//! on it.

use std::cell::{Cell, RefCell, RefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::body::ClientBody;
use super::deadline::Patience;
use crate::config::ApiConfig;
use crate::policy::Refusal;

pub(super) struct Progress {
    /// Whether the upstream has been given all of the body.
    pub(super) done: Cell<bool>,
    /// Why the body is not passed on to its end: the client's fault.
    failed: Cell<Option<Refusal>>,
    /// How long the client may take for the next part of the body.
    patience: Cell<Patience>,
    /// When a part of the body was last passed on.
    passed: Cell<Option<Instant>>,
    /// When a part of the answer last moved; none before it has begun.
    moved: Cell<Option<Instant>>,
    /// Where the client's body comes from, while there is more of it to pass on.
    incoming: RefCell<Option<ClientBody>>,
    cut: Cell<Option<Refusal>>,
    /// The tasks that a cut must wake: the one that serves the client, and the one that sends the
    /// body to the upstream.
    server: RefCell<Option<Waker>>,
    sender: RefCell<Option<Waker>>,
}

impl Progress {
    pub(super) fn new(incoming: Option<ClientBody>, patience: Patience) -> Rc<Self> {
        Rc::new(Self {
            done: Cell::new(incoming.is_none()),
            failed: Cell::new(None),
            patience: Cell::new(patience),
            passed: Cell::new(None),
            moved: Cell::new(None),
            incoming: RefCell::new(incoming),
            cut: Cell::new(None),
            server: RefCell::default(),
            sender: RefCell::default(),
        })
    }

    /// The client's next bytes are waited for from now on.
    pub(super) fn wait(&self) {
        let mut patience = self.patience.get();
        patience.wait(Instant::now);
        self.patience.set(patience);
    }

    /// A part of the body has been passed on.
    pub(super) fn passed(&self, bytes: usize) {
        let now = Instant::now();
        let mut patience = self.patience.get();
        patience.moved(bytes, now);
        self.patience.set(patience);
        self.passed.set(Some(now));
    }

    /// Until when the client's next bytes are waited for, if they are. Else the upstream is the one
    /// that does not take them.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        self.patience.get().ends()
    }

    /// When a part of the body was last passed on, if one was.
    pub(super) fn last_passed(&self) -> Option<Instant> {
        self.passed.get()
    }

    /// A part of the answer has moved.
    pub(super) fn moved(&self, now: Instant) {
        self.moved.set(Some(now));
    }

    /// Whether a request that began at this moment has lasted too long, or says nothing in the
    /// middle of its answer.
    pub(super) fn is_overdue(&self, began: Instant, now: Instant, api: &ApiConfig) -> bool {
        let idle = self.moved.get().map(|moved| {
            now.saturating_duration_since(
                self.passed.get().map_or(moved, |passed| passed.max(moved)),
            )
        });
        idle.is_some_and(|idle| idle >= api.idle_timeout)
            || now.saturating_duration_since(began) >= api.request_timeout
    }

    /// Nothing more of the body is passed on, because of this.
    pub(super) fn fail(&self, refusal: Refusal) {
        self.failed.set(Some(refusal));
    }

    /// Why the body is not passed on to its end.
    pub(super) fn failed(&self) -> Option<Refusal> {
        self.failed.get()
    }

    /// Why the request was cut, if it was.
    pub(super) fn cut(&self) -> Option<Refusal> {
        self.cut.get()
    }

    /// Cuts the request: nothing more of it is passed on in either direction.
    pub(super) fn cut_off(&self, refusal: Refusal) {
        self.cut.set(Some(refusal));
        [&self.server, &self.sender]
            .into_iter()
            .filter_map(|task| task.borrow_mut().take())
            .for_each(Waker::wake);
    }

    /// The running task is the one that serves the client.
    pub(super) fn wake_when_cut(&self, cx: &Context<'_>) {
        remember(&self.server, cx);
    }

    /// The running task is the one that sends the body.
    pub(super) fn wake_sender_when_cut(&self, cx: &Context<'_>) {
        remember(&self.sender, cx);
    }

    /// Resolves when the request is cut. One task at a time can wait for it.
    pub(super) async fn until_cut(&self) -> Refusal {
        std::future::poll_fn(|cx| {
            self.wake_when_cut(cx);
            self.cut().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The outcome of what is done for the request, unless it is cut before.
    pub(super) async fn unless_cut<T>(
        &self,
        mut work: Pin<&mut impl Future<Output = Result<T, Refusal>>>,
    ) -> Result<T, Refusal> {
        std::future::poll_fn(|cx| {
            self.cut().map_or_else(|| work.as_mut().poll(cx), |refusal| Poll::Ready(Err(refusal)))
        })
        .await
    }

    /// Where the client's body comes from.
    pub(super) fn incoming(&self) -> RefMut<'_, Option<ClientBody>> {
        self.incoming.borrow_mut()
    }

    /// Takes what the client still sends away from the upstream.
    pub(super) fn take_incoming(&self) -> Option<ClientBody> {
        self.incoming.take()
    }

    /// Has whoever sends the body notice that.
    pub(super) fn wake_sender(&self) {
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
    }
}

fn remember(place: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut known = place.borrow_mut();
    if !known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *known = Some(cx.waker().clone());
    }
}
