//! Request bodies on their way to the upstream, and the copy kept as long as the upstream may
//! refuse the request.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::policy::{Refusal, prepare_trailers};
use crate::proxy::worker::body::{Broken, ClientBody, cancelled};
use crate::proxy::worker::current::CurrentRuntime;
use crate::proxy::worker::deadline::TransferTimeout;
use crate::proxy::worker::request_state::RequestState;

/// A client's body on its way to the upstream.
pub(in crate::proxy) struct RequestBody {
    /// The runtime and the index of the API in it, which decide which trailers may pass. `None` if
    /// there is no body.
    api: Option<(CurrentRuntime, usize)>,
    /// Number of bytes that the API still accepts.
    room: usize,
    state: Rc<RequestState>,
    /// Parts that were sent to an upstream that refused the request. They are sent first.
    first: Option<Box<Given>>,
    /// Copy of the parts sent, as long as the upstream may refuse the request.
    kept: Option<Rc<RefCell<Kept>>>,
}

impl RequestBody {
    /// Creates the body of a request to the API with the index `api`. `messages`: it is a stream of
    /// messages, which may have long pauses.
    pub(in crate::proxy) fn new(
        incoming: Option<Rc<dyn ClientBody>>,
        runtime: &CurrentRuntime,
        api: usize,
        messages: bool,
    ) -> Self {
        let incoming = incoming.filter(|incoming| !incoming.is_done());
        let room = runtime.apis.get(api).map_or(0, |api| api.config.max_body_size);
        let timeout = if messages {
            TransferTimeout::with_messages(&runtime.server)
        } else {
            TransferTimeout::new(&runtime.server)
        };
        Self {
            api: incoming.is_some().then(|| (runtime.clone(), api)),
            room,
            state: RequestState::new(incoming, timeout),
            first: None,
            kept: None,
        }
    }

    /// Creates an empty body.
    pub(in crate::proxy) fn none() -> Self {
        let state = RequestState::new(None, TransferTimeout::default());
        Self { api: None, room: 0, state, first: None, kept: None }
    }

    /// Returns the state of the request.
    pub(in crate::proxy) fn state(&self) -> &Rc<RequestState> {
        &self.state
    }

    /// Keeps a copy of what is sent to the upstream until the returned value is dropped.
    pub(in crate::proxy) fn keep(&mut self) -> Resend {
        let kept = self.api.as_ref().map(|_| Rc::new(RefCell::new(Kept::Whole(Given::default()))));
        self.kept = kept.clone();
        Resend { api: self.api.clone(), room: self.room, state: self.state.clone(), kept }
    }

    /// Returns the next frame, or `None` at the end of the body.
    ///
    /// # Errors
    /// Returns an error if the body is truncated or too large, or if the request was cancelled.
    pub(in crate::proxy) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some((runtime, api)) = &self.api else { return Poll::Ready(None) };
        let state = &self.state;
        let incoming = state.incoming();
        let Some(incoming) =
            incoming.as_ref().filter(|_| state.cancelled().is_none() && state.failed().is_none())
        else {
            // An orderly end would tell the upstream that it has the whole body.
            return Poll::Ready(Some(Err(cancelled())));
        };
        if let Some(frame) = self.first.as_mut().and_then(|first| first.next()) {
            return Poll::Ready(Some(Ok(frame)));
        }
        self.first = None;
        state.wake_sender_when_cancelled(cx);
        let Poll::Ready(mut part) = incoming.poll(cx) else {
            state.wait();
            return Poll::Pending;
        };
        let length =
            part.as_ref().and_then(|part| part.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        let done = match &part {
            None => true,
            Some(Ok(_)) => incoming.is_done(),
            Some(Err(_)) => false,
        };
        state.passed(length, done);
        match &mut part {
            Some(Ok(frame)) => {
                match self.room.checked_sub(length) {
                    Some(room) => self.room = room,
                    None => {
                        state.fail(Refusal::BodyTooLarge);
                        return Poll::Ready(Some(Err(cancelled())));
                    }
                }
                if let (Some(trailers), Some(api)) =
                    (frame.trailers_mut(), runtime.routes.apis().get(*api))
                {
                    prepare_trailers(trailers, api);
                }
                if let Some(kept) = &self.kept {
                    kept.borrow_mut().add(frame);
                }
            }
            Some(Err(_)) => state.fail(Refusal::ClientAborted),
            None => {}
        }
        Poll::Ready(part)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        match &*self.state.incoming() {
            Some(incoming) => self.first.is_none() && incoming.is_done(),
            None => self.api.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = match &*self.state.incoming() {
            Some(_) if self.first.is_some() => None,
            Some(incoming) => incoming.length(),
            None => self.api.is_none().then_some(0),
        };
        length.map(SizeHint::with_exact).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // A body that may be sent again still needs the rest.
        let is_needed = self
            .kept
            .as_ref()
            .is_some_and(|kept| matches!(&*kept.borrow(), Kept::Whole(_) | Kept::Resent));
        if !is_needed {
            stop_reading(&self.state);
        }
    }
}

/// Stops reading a body that is no longer forwarded. The body of a cancelled request is still read
/// for a while after the response.
fn stop_reading(state: &RequestState) {
    if state.cancelled().is_none() {
        state.take_incoming();
    }
}

/// Most bytes of a body that are kept for a request that an upstream may refuse.
const MOST_KEPT: usize = 64 * 1024;

/// The parts of a body that were sent to an upstream.
#[derive(Default)]
struct Given {
    data: VecDeque<Bytes>,
    size: usize,
    trailers: Option<HeaderMap>,
}

impl Given {
    /// Takes the next part, or returns `None` after the last.
    fn next(&mut self) -> Option<Frame<Bytes>> {
        let data = self.data.pop_front().map(Frame::data);
        data.or_else(|| self.trailers.take().map(Frame::trailers))
    }
}

/// State of the copy of a body.
enum Kept {
    /// Complete so far.
    Whole(Given),
    /// Discarded, because it was larger than [`MOST_KEPT`].
    TooLarge,
    /// Being sent again.
    Resent,
    /// Not needed: the upstream has begun its response, or the request is over.
    Over,
}

impl Kept {
    /// Appends a frame to the copy.
    fn add(&mut self, frame: &Frame<Bytes>) {
        let Self::Whole(given) = self else { return };
        if let Some(data) = frame.data_ref() {
            given.size += data.len();
            if given.size > MOST_KEPT {
                *self = Self::TooLarge;
                return;
            }
            // Copied, because the client may send as many bytes again as are released of the
            // original.
            given.data.push_back(Bytes::copy_from_slice(data));
        }
        if let Some(trailers) = frame.trailers_ref() {
            given.trailers = Some(trailers.clone());
        }
    }
}

/// Handle to send a body again that an upstream has refused. The copy is kept while the handle
/// exists.
pub(in crate::proxy) struct Resend {
    api: Option<(CurrentRuntime, usize)>,
    /// Number of bytes that the API accepts in total.
    room: usize,
    state: Rc<RequestState>,
    /// `None` if there is no body.
    kept: Option<Rc<RefCell<Kept>>>,
}

impl Resend {
    /// Returns the whole body again. Returns `None` if the copy is incomplete or the request was
    /// cancelled or has failed.
    pub(in crate::proxy) fn body(self) -> Option<RequestBody> {
        if self.state.cancelled().is_some() || self.state.failed().is_some() {
            return None;
        }
        let (mut first, mut room) = (None, self.room);
        if let Some(kept) = &self.kept {
            let Kept::Whole(given) = &mut *kept.borrow_mut() else { return None };
            room = room.saturating_sub(given.size);
            first = Some(Box::new(std::mem::take(given)));
        }
        if let Some(kept) = &self.kept {
            kept.replace(Kept::Resent);
        }
        let (api, state) = (self.api.clone(), self.state.clone());
        Some(RequestBody { api, room, state, first, kept: None })
    }
}

impl Drop for Resend {
    fn drop(&mut self) {
        let Some(kept) = &self.kept else { return };
        if !matches!(&*kept.borrow(), Kept::Resent) {
            kept.replace(Kept::Over);
            if Rc::strong_count(kept) == 1 {
                stop_reading(&self.state);
            }
        }
    }
}
