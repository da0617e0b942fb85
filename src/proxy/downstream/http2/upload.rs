//! Body of an HTTP/2 request: received data, until the reader takes it. The stream's window bounds
//! it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;

use crate::http2::Credit;
use crate::proxy::worker::body::{Broken, ClientBody, cancelled};

/// Creates both ends of a request's body. `length` is the declared length. `waits`: the client
/// waits for `100 Continue`. `server` is the stream's waker.
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

/// The connection's end. Dropping it discards data that has not been taken.
pub(in crate::proxy) struct Upload(Rc<Shared>);

/// The end of the task that sends the body to the upstream. Dropping it discards data received
/// later.
pub(in crate::proxy) struct UploadReader(Rc<Shared>);

struct Shared {
    inner: RefCell<Inner>,
    /// Whether the connection's task is polling the reader, and will check afterwards what it took.
    attended: Cell<bool>,
    /// Waker of the stream.
    server: Waker,
}

struct Inner {
    data: BytesMut,
    /// Flow-control credit for `data`.
    credit: Option<Credit>,
    state: State,
    /// Number of bytes still to be taken, or `None` if it is unknown.
    left: Option<u64>,
    expects: Continue,
    reader: Option<Waker>,
}

enum State {
    Open,
    /// The client has ended the body. Holds trailers that have not been taken.
    Ended(Option<HeaderMap>),
    /// The stream was closed before the whole body was taken.
    Broken,
    /// The reader was dropped.
    Unwanted,
}

/// Whether the client waits for `100 Continue` (RFC 9110 §10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Continue {
    /// The client waits for it.
    Awaited,
    /// The reader waits for the body, so it is to be sent.
    Wanted,
    /// It was sent, or the client does not wait for it.
    Sent,
}

impl Upload {
    /// Appends received data with its credit. `ended`: it was the last.
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

    /// Ends the body with trailers, which may be empty.
    pub(in crate::proxy) fn end(&self, trailers: HeaderMap) {
        let inner = &mut *self.0.inner.borrow_mut();
        if let State::Open = inner.state {
            inner.state = State::Ended((!trailers.is_empty()).then_some(trailers));
        }
        inner.wake();
    }

    /// Returns the number of bytes, as flow control counts them, that were received and not taken.
    pub(in crate::proxy) fn held(&self) -> usize {
        self.0.inner.borrow().credit.as_ref().map_or(0, Credit::bytes)
    }

    /// Returns whether the client still waits for `100 Continue`.
    pub(in crate::proxy) fn awaits_continue(&self) -> bool {
        self.0.inner.borrow().expects != Continue::Sent
    }

    /// Returns whether `100 Continue` is to be sent now, and marks it as sent.
    pub(in crate::proxy) fn take_continue(&self) -> bool {
        let inner = &mut *self.0.inner.borrow_mut();
        let wanted = inner.expects == Continue::Wanted;
        if wanted {
            inner.expects = Continue::Sent;
        }
        wanted
    }

    /// Sets whether the connection's task will check what was taken before it waits.
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
            self.0.wake_server();
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
            self.0.wake_server();
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
            self.0.wake_server();
        }
    }
}

impl Shared {
    /// Wakes the connection's task, unless it is polling the reader.
    fn wake_server(&self) {
        if !self.attended.get() {
            self.server.wake_by_ref();
        }
    }
}

impl Inner {
    /// Returns whether the whole body has been taken.
    fn is_taken(&self) -> bool {
        matches!(self.state, State::Ended(None)) && self.data.is_empty()
    }

    /// Discards the data and enters `state`.
    fn throw_away(&mut self, state: State) {
        self.state = state;
        self.data = BytesMut::new();
        self.credit = None;
    }

    /// Wakes the reader.
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
