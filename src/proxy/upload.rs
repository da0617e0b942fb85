//! The body of a request over HTTP/2: what has come, until somebody takes it. The stream's window
//! bounds how much that is.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;

use super::body::{Broken, cancelled};

/// Shared by the connection's task and whoever sends the body to the upstream.
pub(super) struct Upload {
    inner: RefCell<Inner>,
    /// Whether the connection's task is running the one who reads, and looks at what was taken
    /// afterwards.
    attended: Cell<bool>,
    /// Of the stream.
    server: Waker,
}

struct Inner {
    data: BytesMut,
    trailers: Option<HeaderMap>,
    /// How much of it is to come, where that is known.
    left: Option<u64>,
    ended: bool,
    /// Whether the stream was reset before its end.
    broken: bool,
    /// What was taken since the connection's task last asked.
    taken: usize,
    continues: Continues,
    reader: Option<Waker>,
}

/// Whether the client waits for `100 Continue` (RFC 9110 §10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Continues {
    No,
    Waits,
    /// It is to be told.
    Wanted,
}

impl Upload {
    /// `length`: as the head says. `waits`: for `100 Continue`. `server`: the waker of the stream.
    pub(super) fn new(length: Option<u64>, waits: bool, server: Waker) -> Self {
        let continues = if waits { Continues::Waits } else { Continues::No };
        let data = BytesMut::new();
        let inner = Inner {
            data,
            trailers: None,
            left: length,
            ended: false,
            broken: false,
            taken: 0,
            continues,
            reader: None,
        };
        Self { inner: RefCell::new(inner), attended: Cell::new(true), server }
    }

    /// Whether all of it was taken.
    pub(super) fn is_done(&self) -> bool {
        let inner = self.inner.borrow();
        inner.ended && inner.data.is_empty() && inner.trailers.is_none()
    }

    /// How many bytes are still to be taken, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        let inner = self.inner.borrow();
        if inner.ended && inner.trailers.is_none() {
            Some(inner.data.len() as u64)
        } else {
            inner.left
        }
    }

    /// The next part; `None` at its end.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let inner = &mut *self.inner.borrow_mut();
        if inner.broken {
            return Poll::Ready(Some(Err(cancelled())));
        }
        if !inner.data.is_empty() {
            let data = std::mem::take(&mut inner.data).freeze();
            inner.taken += data.len();
            inner.left = inner.left.map(|left| left.saturating_sub(data.len() as u64));
            self.tell();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if inner.ended {
            return Poll::Ready(
                inner.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            );
        }
        if inner.continues == Continues::Waits {
            inner.continues = Continues::Wanted;
            self.tell();
        }
        if !inner.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            inner.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn tell(&self) {
        if !self.attended.get() {
            self.server.wake_by_ref();
        }
    }

    /// Appends what has come.
    pub(super) fn add(&self, data: &[u8], ended: bool) {
        let inner = &mut *self.inner.borrow_mut();
        inner.data.extend_from_slice(data);
        inner.ended = ended;
        inner.continues = Continues::No;
        inner.wake();
    }

    /// Ends it with trailers.
    pub(super) fn end(&self, trailers: HeaderMap) {
        let inner = &mut *self.inner.borrow_mut();
        inner.trailers = (!trailers.is_empty()).then_some(trailers);
        inner.ended = true;
        inner.wake();
    }

    /// Notes that nothing more of it is passed on. Returns how much was still to be given back.
    pub(super) fn break_off(&self) -> usize {
        let inner = &mut *self.inner.borrow_mut();
        inner.broken = !(inner.ended && inner.data.is_empty() && inner.trailers.is_none());
        inner.wake();
        std::mem::take(&mut inner.data).len() + std::mem::take(&mut inner.taken)
    }

    /// Whether the client sends only when it is told to, and was not.
    pub(super) fn waits(&self) -> bool {
        self.inner.borrow().continues != Continues::No
    }

    /// What was taken since this was last asked, and whether the client is to be told to send.
    pub(super) fn take_news(&self) -> (usize, bool) {
        let inner = &mut *self.inner.borrow_mut();
        let wanted = inner.continues == Continues::Wanted;
        if wanted {
            inner.continues = Continues::No;
        }
        (std::mem::take(&mut inner.taken), wanted)
    }

    /// Whether the connection's task looks at what was taken before it waits.
    pub(super) fn set_attended(&self, attended: bool) {
        self.attended.set(attended);
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
