//! A client's body on its way to the upstream, and what is kept of it as long as an upstream may
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
use crate::proxy::worker::current::CurrentSite;
use crate::proxy::worker::deadline::TransferTimeout;
use crate::proxy::worker::request_state::RequestState;

/// A client's body on its way to the upstream.
pub(in crate::proxy) struct RequestBody {
    /// What the request is served by, and its API's index: they say which trailers may pass. None
    /// where there is no body.
    api: Option<(CurrentSite, usize)>,
    /// How many bytes more the API takes.
    room: usize,
    state: Rc<RequestState>,
    /// What was given to an upstream that refused the request. It comes first.
    first: Option<Box<Given>>,
    /// What is given to the upstream, while it may refuse the request.
    kept: Option<Rc<RefCell<Kept>>>,
}

impl RequestBody {
    /// `messages`: whether it is a stream of them, which may have long pauses.
    pub(in crate::proxy) fn new(
        incoming: Option<Rc<dyn ClientBody>>,
        site: &CurrentSite,
        api: usize,
        messages: bool,
    ) -> Self {
        let incoming = incoming.filter(|incoming| !incoming.is_done());
        let room = site.apis.get(api).map_or(0, |api| api.config.max_body_size);
        let patience = if messages {
            TransferTimeout::with_messages(&site.server)
        } else {
            TransferTimeout::new(&site.server)
        };
        Self {
            api: incoming.is_some().then(|| (site.clone(), api)),
            room,
            state: RequestState::new(incoming, patience),
            first: None,
            kept: None,
        }
    }

    /// No body.
    pub(in crate::proxy) fn none() -> Self {
        let state = RequestState::new(None, TransferTimeout::default());
        Self { api: None, room: 0, state, first: None, kept: None }
    }

    pub(in crate::proxy) fn state(&self) -> &Rc<RequestState> {
        &self.state
    }

    /// Keeps what is given to the upstream until what is returned is dropped.
    pub(in crate::proxy) fn keep(&mut self) -> Resend {
        let kept = self.api.as_ref().map(|_| Rc::new(RefCell::new(Kept::Whole(Given::default()))));
        self.kept = kept.clone();
        Resend { api: self.api.clone(), room: self.room, state: self.state.clone(), kept }
    }

    /// The next part; `None` at its end.
    pub(in crate::proxy) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some((site, api)) = &self.api else { return Poll::Ready(None) };
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
                    (frame.trailers_mut(), site.routes.apis().get(*api))
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
        // Whoever may send it again still needs the rest.
        let is_needed = self
            .kept
            .as_ref()
            .is_some_and(|kept| matches!(&*kept.borrow(), Kept::Whole(_) | Kept::Resent));
        if !is_needed {
            stop_reading(&self.state);
        }
    }
}

/// What is not passed on any more is not read any more, but for a while behind the answer to a
/// request that was cut.
fn stop_reading(state: &RequestState) {
    if state.cancelled().is_none() {
        state.take_incoming();
    }
}

/// The most that is kept of a body for a request that an upstream may refuse, in bytes.
const MOST_KEPT: usize = 64 * 1024;

/// What has been given to an upstream of a body.
#[derive(Default)]
struct Given {
    data: VecDeque<Bytes>,
    size: usize,
    trailers: Option<HeaderMap>,
}

impl Given {
    /// Takes the next part.
    fn next(&mut self) -> Option<Frame<Bytes>> {
        let data = self.data.pop_front().map(Frame::data);
        data.or_else(|| self.trailers.take().map(Frame::trailers))
    }
}

/// What becomes of a body that an upstream is being given.
enum Kept {
    /// All of it so far.
    Whole(Given),
    /// It was too much.
    TooLarge,
    /// It is being sent again.
    Resent,
    /// It is not needed: the upstream has begun its answer, or the request is over.
    Over,
}

impl Kept {
    fn add(&mut self, frame: &Frame<Bytes>) {
        let Self::Whole(given) = self else { return };
        if let Some(data) = frame.data_ref() {
            given.size += data.len();
            if given.size > MOST_KEPT {
                *self = Self::TooLarge;
                return;
            }
            // A copy, because the client may send as much again as is let go of of the original.
            given.data.push_back(Bytes::copy_from_slice(data));
        }
        if let Some(trailers) = frame.trailers_ref() {
            given.trailers = Some(trailers.clone());
        }
    }
}

/// Sends a body again that an upstream has refused. While there is one, the body is kept.
pub(in crate::proxy) struct Resend {
    api: Option<(CurrentSite, usize)>,
    /// How many bytes the API takes in all.
    room: usize,
    state: Rc<RequestState>,
    /// None where there is no body.
    kept: Option<Rc<RefCell<Kept>>>,
}

impl Resend {
    /// The whole body once more, unless too much of it is gone or it may not go on.
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
