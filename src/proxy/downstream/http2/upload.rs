//! The body of a request over HTTP/2: what has come, until somebody takes it. The stream's window
//! bounds how much that is.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;

use crate::http2::Credit;
use crate::proxy::worker::body::{Broken, ClientBody, cancelled};

/// Makes both ends of a request's body. `length`: as the head says. `waits`: for `100 Continue`.
/// `server`: the waker of the stream.
pub(in crate::proxy) fn upload(
    length: Option<u64>,
    waits: bool,
    server: Waker,
) -> (Upload, Rc<UploadReader>) {
    let inner = Inner {
        data: BytesMut::new(),
        credit: None,
        state: State::Open,
        left: length,
        expects: if waits { Continue::Awaited } else { Continue::Sent },
        reader: None,
    };
    let shared = Rc::new(Shared { inner: RefCell::new(inner), attended: Cell::new(true), server });
    (Upload(shared.clone()), Rc::new(UploadReader(shared)))
}

/// The connection's end. When it is dropped, what nobody has taken is lost.
pub(in crate::proxy) struct Upload(Rc<Shared>);

/// The end of whoever sends the body to the upstream. When it is dropped, what comes is thrown
/// away.
pub(in crate::proxy) struct UploadReader(Rc<Shared>);

struct Shared {
    inner: RefCell<Inner>,
    /// Whether the connection's task is running the reader, and looks at what it did afterwards.
    attended: Cell<bool>,
    /// Of the stream.
    server: Waker,
}

struct Inner {
    data: BytesMut,
    /// The room that the data takes up.
    credit: Option<Credit>,
    state: State,
    /// How much of it is to be taken, where that is known.
    left: Option<u64>,
    expects: Continue,
    reader: Option<Waker>,
}

enum State {
    Open,
    /// The client has ended it, perhaps with trailers that nobody has taken.
    Ended(Option<HeaderMap>),
    /// The stream was closed before all of it was taken.
    Broken,
    /// The reader was dropped.
    Unwanted,
}

/// Whether the client waits for `100 Continue` (RFC 9110 §10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Continue {
    Awaited,
    /// The reader waits for the client.
    Wanted,
    /// Or it is not waited for.
    Sent,
}

impl Upload {
    /// Appends what has come.
    pub(in crate::proxy) fn add(&self, data: &[u8], credit: Credit, ended: bool) {
        let inner = &mut *self.0.inner.borrow_mut();
        inner.expects = Continue::Sent;
        if let State::Unwanted = inner.state {
            return;
        }
        inner.data.extend_from_slice(data);
        match &mut inner.credit {
            Some(held) => held.add(credit),
            None => inner.credit = Some(credit),
        }
        if ended {
            inner.state = State::Ended(None);
        }
        inner.wake();
    }

    /// Ends it with trailers.
    pub(in crate::proxy) fn end(&self, trailers: HeaderMap) {
        let inner = &mut *self.0.inner.borrow_mut();
        if let State::Open = inner.state {
            inner.state = State::Ended((!trailers.is_empty()).then_some(trailers));
        }
        inner.wake();
    }

    /// How many bytes have come and are not taken.
    pub(in crate::proxy) fn held(&self) -> usize {
        self.0.inner.borrow().credit.as_ref().map_or(0, Credit::bytes)
    }

    /// Whether the client sends only when it is told to, and was not.
    pub(in crate::proxy) fn awaits_continue(&self) -> bool {
        self.0.inner.borrow().expects != Continue::Sent
    }

    /// Whether the client is to be told now to send.
    pub(in crate::proxy) fn take_continue(&self) -> bool {
        let inner = &mut *self.0.inner.borrow_mut();
        let wanted = inner.expects == Continue::Wanted;
        if wanted {
            inner.expects = Continue::Sent;
        }
        wanted
    }

    /// Whether the connection's task looks at what was taken before it waits.
    pub(in crate::proxy) fn set_attended(&self, attended: bool) {
        self.0.attended.set(attended);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let inner = &mut *self.0.inner.borrow_mut();
        if !inner.is_taken() {
            inner.throw_away(State::Broken);
        }
        inner.wake();
    }
}

impl ClientBody for UploadReader {
    fn is_done(&self) -> bool {
        self.0.inner.borrow().is_taken()
    }

    fn length(&self) -> Option<u64> {
        let inner = self.0.inner.borrow();
        match inner.state {
            State::Ended(None) => Some(inner.data.len() as u64),
            _ => inner.left,
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let inner = &mut *self.0.inner.borrow_mut();
        if !inner.data.is_empty() {
            let data = std::mem::take(&mut inner.data).freeze();
            inner.credit.take().into_iter().for_each(Credit::pass_on);
            inner.left = inner.left.map(|left| left.saturating_sub(data.len() as u64));
            self.0.tell();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match &mut inner.state {
            State::Broken | State::Unwanted => return Poll::Ready(Some(Err(cancelled()))),
            State::Ended(trailers) => {
                return Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            State::Open => {}
        }
        if inner.expects == Continue::Awaited {
            inner.expects = Continue::Wanted;
            self.0.tell();
        }
        if !inner.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            inner.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for UploadReader {
    fn drop(&mut self) {
        let inner = &mut *self.0.inner.borrow_mut();
        if !inner.is_taken() {
            inner.throw_away(State::Unwanted);
            self.0.tell();
        }
    }
}

impl Shared {
    fn tell(&self) {
        if !self.attended.get() {
            self.server.wake_by_ref();
        }
    }
}

impl Inner {
    fn is_taken(&self) -> bool {
        matches!(self.state, State::Ended(None)) && self.data.is_empty()
    }

    fn throw_away(&mut self, state: State) {
        self.state = state;
        self.data = BytesMut::new();
        self.credit = None;
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
