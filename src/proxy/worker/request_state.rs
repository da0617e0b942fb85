//! Request state: how far the body and the response have been transferred, and whether the request
//! was cancelled. All parties to the request share it.

use std::cell::{Cell, RefCell, RefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::config::ApiConfig;
use crate::policy::Refusal;
use crate::proxy::worker::body::ClientBody;
use crate::proxy::worker::deadline::TransferTimeout;
use crate::stats::CutShort;

/// State of the request body on its way to the upstream.
#[derive(Clone, Copy)]
enum Sending {
    /// The client's body is being forwarded. `timeout`: the timeout for its next part. `passed`:
    /// when a part was last forwarded.
    Body { timeout: TransferTimeout, passed: Option<Instant> },
    /// The upstream has been sent the whole body.
    Done { passed: Option<Instant> },
    /// Forwarding has stopped because of the client.
    Failed { refusal: Refusal, passed: Option<Instant> },
}

impl Sending {
    /// Returns when a part of the body was last forwarded, or `None` if no part was.
    fn passed(self) -> Option<Instant> {
        let (Self::Body { passed, .. } | Self::Done { passed } | Self::Failed { passed, .. }) =
            self;
        passed
    }
}

/// State of the response on its way to the client.
#[derive(Clone, Copy)]
enum Receiving {
    /// The response has not begun.
    Head,
    /// The response is being forwarded. `moved`: when bytes were last transferred.
    Body { moved: Instant },
    /// The client has received the whole response.
    Whole,
    /// The response was truncated.
    CutShort(CutShort),
}

/// How a forwarded request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum RequestOutcome {
    Whole,
    /// Ended during its response, for a reason that has a response of its own.
    Cancelled(Refusal),
    /// Truncated, for a reason that has no response of its own.
    CutShort(CutShort),
}

/// State of one forwarded request.
pub(in crate::proxy) struct RequestState {
    sending: Cell<Sending>,
    receiving: Cell<Receiving>,
    /// Why the request was cancelled: nothing more is forwarded in either direction.
    cancelled: Cell<Option<Refusal>>,
    /// Source of the client's body, until it is released.
    incoming: RefCell<Option<Rc<dyn ClientBody>>>,
    /// Wakers of the tasks to wake on cancellation: the one that serves the client, and the one
    /// that sends the body to the upstream.
    server: RefCell<Option<Waker>>,
    sender: RefCell<Option<Waker>>,
}

impl RequestState {
    /// Creates the state of a request. `incoming` is its body, or `None` if it has none. `timeout`
    /// is the timeout for the client to send it.
    pub(in crate::proxy) fn new(
        incoming: Option<Rc<dyn ClientBody>>,
        timeout: TransferTimeout,
    ) -> Rc<Self> {
        let sending = match incoming {
            Some(_) => Sending::Body { timeout, passed: None },
            None => Sending::Done { passed: None },
        };
        Rc::new(Self {
            sending: Cell::new(sending),
            receiving: Cell::new(Receiving::Head),
            cancelled: Cell::new(None),
            incoming: RefCell::new(incoming),
            server: RefCell::default(),
            sender: RefCell::default(),
        })
    }

    /// Returns how the request ended, if nothing more happens to it.
    pub(in crate::proxy) fn outcome(&self) -> RequestOutcome {
        match (self.cancelled.get(), self.sending.get(), self.receiving.get()) {
            (Some(refusal), ..) => RequestOutcome::Cancelled(refusal),
            (None, _, Receiving::Whole) => RequestOutcome::Whole,
            // The upstream will not get the rest of the body, so we do not wait for its response
            // either.
            (None, Sending::Failed { refusal, .. }, _) => RequestOutcome::Cancelled(refusal),
            (None, _, Receiving::CutShort(why)) => RequestOutcome::CutShort(why),
            (None, _, Receiving::Head | Receiving::Body { .. }) => {
                RequestOutcome::CutShort(CutShort::ClientLeft)
            }
        }
    }

    /// Starts the timeout for the client's next bytes.
    pub(in crate::proxy) fn wait(&self) {
        if let Sending::Body { mut timeout, passed } = self.sending.get() {
            timeout.wait(Instant::now);
            self.sending.set(Sending::Body { timeout, passed });
        }
    }

    /// Notes that `bytes` bytes of the body were forwarded. `done`: they were the last.
    pub(in crate::proxy) fn passed(&self, bytes: usize, done: bool) {
        let Sending::Body { mut timeout, .. } = self.sending.get() else { return };
        let now = Instant::now();
        timeout.moved(bytes, now);
        let passed = Some(now);
        self.sending.set(if done {
            Sending::Done { passed }
        } else {
            Sending::Body { timeout, passed }
        });
    }

    /// Returns whether the upstream has been sent the whole body.
    pub(in crate::proxy) fn is_sent(&self) -> bool {
        matches!(self.sending.get(), Sending::Done { .. })
    }

    /// Returns when the timeout for the client's next bytes expires. `None`: the peer we are
    /// waiting for is the upstream.
    pub(in crate::proxy) fn waits_until(&self) -> Option<Instant> {
        if let Sending::Body { timeout, .. } = self.sending.get() { timeout.ends() } else { None }
    }

    /// Returns when a part of the body was last forwarded, or `None` if no part was.
    pub(in crate::proxy) fn last_passed(&self) -> Option<Instant> {
        self.sending.get().passed()
    }

    /// Notes that bytes of the response were transferred at `now`.
    pub(in crate::proxy) fn moved(&self, now: Instant) {
        if let Receiving::Head | Receiving::Body { .. } = self.receiving.get() {
            self.receiving.set(Receiving::Body { moved: now });
        }
    }

    /// Notes that the client has received the whole response.
    pub(in crate::proxy) fn set_delivered(&self) {
        if let Receiving::Head | Receiving::Body { .. } = self.receiving.get() {
            self.receiving.set(Receiving::Whole);
        }
    }

    /// Notes that the response is truncated, and why.
    pub(in crate::proxy) fn cut_short(&self, why: CutShort) {
        if let Receiving::Head | Receiving::Body { .. } = self.receiving.get() {
            self.receiving.set(Receiving::CutShort(why));
        }
    }

    /// Returns whether a request that began at `began` has exceeded `request_timeout`, or whether,
    /// since its response began, no bytes were transferred in either direction for `idle_timeout`.
    pub(in crate::proxy) fn is_overdue(
        &self,
        began: Instant,
        now: Instant,
        api: &ApiConfig,
    ) -> bool {
        let since = |moment| now.saturating_duration_since(moment);
        let is_idle = match self.receiving.get() {
            Receiving::Body { moved } => {
                since(self.last_passed().map_or(moved, |passed| passed.max(moved)))
                    >= api.idle_timeout
            }
            Receiving::Head | Receiving::Whole | Receiving::CutShort(_) => false,
        };
        is_idle || since(began) >= api.request_timeout
    }

    /// Stops forwarding the body because of the client.
    pub(in crate::proxy) fn fail(&self, refusal: Refusal) {
        let passed = self.sending.get().passed();
        self.sending.set(Sending::Failed { refusal, passed });
    }

    /// Returns why forwarding of the body was stopped, or `None` if it was not.
    pub(in crate::proxy) fn failed(&self) -> Option<Refusal> {
        if let Sending::Failed { refusal, .. } = self.sending.get() { Some(refusal) } else { None }
    }

    /// Returns why the request was cancelled, or `None` if it was not.
    pub(in crate::proxy) fn cancelled(&self) -> Option<Refusal> {
        self.cancelled.get()
    }

    /// Cancels the request: nothing more is forwarded in either direction. Wakes both tasks.
    pub(in crate::proxy) fn cancel(&self, refusal: Refusal) {
        self.cancelled.set(Some(refusal));
        [&self.server, &self.sender]
            .into_iter()
            .filter_map(|task| task.borrow_mut().take())
            .for_each(Waker::wake);
    }

    /// Registers the running task as the one that serves the client.
    pub(in crate::proxy) fn wake_when_cancelled(&self, cx: &Context<'_>) {
        remember(&self.server, cx);
    }

    /// Registers the running task as the one that sends the body.
    pub(in crate::proxy) fn wake_sender_when_cancelled(&self, cx: &Context<'_>) {
        remember(&self.sender, cx);
    }

    /// Resolves with the reason when the request is cancelled. Only one task at a time can wait for
    /// it.
    pub(in crate::proxy) async fn until_cancelled(&self) -> Refusal {
        std::future::poll_fn(|cx| {
            self.wake_when_cancelled(cx);
            self.cancelled().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Runs `work` until it resolves or the request is cancelled. Registers no waker: `Guard::poll`
    /// has done so.
    ///
    /// # Errors
    /// Returns the error of `work`, or the reason for the cancellation.
    pub(in crate::proxy) async fn unless_cancelled<T>(
        &self,
        mut work: Pin<&mut impl Future<Output = Result<T, Refusal>>>,
    ) -> Result<T, Refusal> {
        std::future::poll_fn(|cx| {
            self.cancelled()
                .map_or_else(|| work.as_mut().poll(cx), |refusal| Poll::Ready(Err(refusal)))
        })
        .await
    }

    /// Borrows the source of the client's body.
    pub(in crate::proxy) fn incoming(&self) -> RefMut<'_, Option<Rc<dyn ClientBody>>> {
        self.incoming.borrow_mut()
    }

    /// Takes the source of the client's body, so that the upstream is sent no more of it.
    pub(in crate::proxy) fn take_incoming(&self) -> Option<Rc<dyn ClientBody>> {
        self.incoming.take()
    }

    /// Wakes the task that sends the body, so that it notices a body that was taken away.
    pub(in crate::proxy) fn wake_sender(&self) {
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
