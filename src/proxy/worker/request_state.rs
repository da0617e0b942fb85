//! How far a request has come: its body, its answer, and whether it was cut. Shared by all who work
//! on it.

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

/// How far a request has come on its way to the upstream.
#[derive(Clone, Copy)]
enum Sending {
    /// The client's body is passed on as it comes. `patience`: how long the client may take for the
    /// next part of it.
    Body { patience: TransferTimeout, passed: Option<Instant> },
    /// The upstream has been given all of it.
    Done { passed: Option<Instant> },
    /// Nothing more of it is passed on: the client's fault.
    Failed { refusal: Refusal, passed: Option<Instant> },
}

impl Sending {
    /// When a part of the body was last passed on, if one was.
    fn passed(self) -> Option<Instant> {
        let (Self::Body { passed, .. } | Self::Done { passed } | Self::Failed { passed, .. }) =
            self;
        passed
    }
}

/// How far the answer has come on its way to the client.
#[derive(Clone, Copy)]
enum Receiving {
    /// It has not begun.
    Head,
    /// It is passed back as it comes. `moved`: when a part of it last did.
    Body { moved: Instant },
    /// The client has got all of it.
    Whole,
    /// It has ended in its middle.
    CutShort(CutShort),
}

/// How a request that was answered has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Outcome {
    Whole,
    /// In the middle of its answer, for a reason that would have refused it.
    Cut(Refusal),
    /// The same, for a reason that has no answer.
    CutShort(CutShort),
}

pub(in crate::proxy) struct RequestState {
    sending: Cell<Sending>,
    receiving: Cell<Receiving>,
    /// Why nothing more is passed on in either direction.
    cancelled: Cell<Option<Refusal>>,
    /// Where the client's body comes from, while there is more of it to pass on.
    incoming: RefCell<Option<Rc<dyn ClientBody>>>,
    /// The tasks that a cut must wake: the one that serves the client, and the one that sends the
    /// body to the upstream.
    server: RefCell<Option<Waker>>,
    sender: RefCell<Option<Waker>>,
}

impl RequestState {
    pub(in crate::proxy) fn new(
        incoming: Option<Rc<dyn ClientBody>>,
        patience: TransferTimeout,
    ) -> Rc<Self> {
        let sending = match incoming {
            Some(_) => Sending::Body { patience, passed: None },
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

    /// How the request has ended, if nothing more happens to it.
    pub(in crate::proxy) fn outcome(&self) -> Outcome {
        match (self.cancelled.get(), self.sending.get(), self.receiving.get()) {
            (Some(refusal), ..) => Outcome::Cut(refusal),
            (None, _, Receiving::Whole) => Outcome::Whole,
            // The upstream waits for the rest in vain, so its answer is not waited for either.
            (None, Sending::Failed { refusal, .. }, _) => Outcome::Cut(refusal),
            (None, _, Receiving::CutShort(why)) => Outcome::CutShort(why),
            (None, _, Receiving::Head | Receiving::Body { .. }) => {
                Outcome::CutShort(CutShort::ClientLeft)
            }
        }
    }

    /// The client's next bytes are waited for from now on.
    pub(in crate::proxy) fn wait(&self) {
        if let Sending::Body { mut patience, passed } = self.sending.get() {
            patience.wait(Instant::now);
            self.sending.set(Sending::Body { patience, passed });
        }
    }

    /// A part of the body has been passed on. `done`: the last one.
    pub(in crate::proxy) fn passed(&self, bytes: usize, done: bool) {
        let Sending::Body { mut patience, .. } = self.sending.get() else { return };
        let now = Instant::now();
        patience.moved(bytes, now);
        let passed = Some(now);
        self.sending.set(if done {
            Sending::Done { passed }
        } else {
            Sending::Body { patience, passed }
        });
    }

    /// Whether the upstream has been given all of the body.
    pub(in crate::proxy) fn is_sent(&self) -> bool {
        matches!(self.sending.get(), Sending::Done { .. })
    }

    /// Until when the client's next bytes are waited for, if they are. Else the upstream is the one
    /// that does not take them.
    pub(in crate::proxy) fn waits_until(&self) -> Option<Instant> {
        if let Sending::Body { patience, .. } = self.sending.get() { patience.ends() } else { None }
    }

    /// When a part of the body was last passed on, if one was.
    pub(in crate::proxy) fn last_passed(&self) -> Option<Instant> {
        self.sending.get().passed()
    }

    /// A part of the answer has moved.
    pub(in crate::proxy) fn moved(&self, now: Instant) {
        if let Receiving::Head | Receiving::Body { .. } = self.receiving.get() {
            self.receiving.set(Receiving::Body { moved: now });
        }
    }

    /// The client has got all of the answer.
    pub(in crate::proxy) fn set_delivered(&self) {
        if let Receiving::Head | Receiving::Body { .. } = self.receiving.get() {
            self.receiving.set(Receiving::Whole);
        }
    }

    /// The answer ends in its middle, because of this.
    pub(in crate::proxy) fn cut_short(&self, why: CutShort) {
        if let Receiving::Head | Receiving::Body { .. } = self.receiving.get() {
            self.receiving.set(Receiving::CutShort(why));
        }
    }

    /// Whether a request that began at this moment has lasted too long, or says nothing in the
    /// middle of its answer.
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

    /// Nothing more of the body is passed on, because of this.
    pub(in crate::proxy) fn fail(&self, refusal: Refusal) {
        let passed = self.sending.get().passed();
        self.sending.set(Sending::Failed { refusal, passed });
    }

    /// Why the body is not passed on to its end.
    pub(in crate::proxy) fn failed(&self) -> Option<Refusal> {
        if let Sending::Failed { refusal, .. } = self.sending.get() { Some(refusal) } else { None }
    }

    /// Why the request was cut, if it was.
    pub(in crate::proxy) fn cancelled(&self) -> Option<Refusal> {
        self.cancelled.get()
    }

    /// Cuts the request: nothing more of it is passed on in either direction.
    pub(in crate::proxy) fn cancel(&self, refusal: Refusal) {
        self.cancelled.set(Some(refusal));
        [&self.server, &self.sender]
            .into_iter()
            .filter_map(|task| task.borrow_mut().take())
            .for_each(Waker::wake);
    }

    /// The running task is the one that serves the client.
    pub(in crate::proxy) fn wake_when_cancelled(&self, cx: &Context<'_>) {
        remember(&self.server, cx);
    }

    /// The running task is the one that sends the body.
    pub(in crate::proxy) fn wake_sender_when_cancelled(&self, cx: &Context<'_>) {
        remember(&self.sender, cx);
    }

    /// Resolves when the request is cut. One task at a time can wait for it.
    pub(in crate::proxy) async fn until_cancelled(&self) -> Refusal {
        std::future::poll_fn(|cx| {
            self.wake_when_cancelled(cx);
            self.cancelled().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The outcome of what is done for the request, unless it is cut before.
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

    /// Where the client's body comes from.
    pub(in crate::proxy) fn incoming(&self) -> RefMut<'_, Option<Rc<dyn ClientBody>>> {
        self.incoming.borrow_mut()
    }

    /// Takes what the client still sends away from the upstream.
    pub(in crate::proxy) fn take_incoming(&self) -> Option<Rc<dyn ClientBody>> {
        self.incoming.take()
    }

    /// Has whoever sends the body notice that.
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
