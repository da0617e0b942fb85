//! Response bodies from an upstream, over either protocol.

use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;

use crate::http1::Piece;
use crate::proxy::upstream::http1::Exchange;
use crate::proxy::worker::body::Broken;
use crate::proxy::worker::request_state::RequestState;

/// Response body as the upstream sends it.
pub(in crate::proxy) enum UpstreamBody {
    Http1(Box<Exchange>),
    /// The request may still be in transfer to the upstream.
    Http2(Incoming, Rc<RequestState>),
}

/// Part of a response body.
pub(in crate::proxy) enum Part {
    /// Data in the buffer passed to `poll`.
    Buffered(Range<usize>),
    Data(Bytes),
    Trailers(HeaderMap),
}

impl UpstreamBody {
    /// Returns the next part, or `None` at the end of the body. `buffer` receives what is read from
    /// an HTTP/1.1 upstream.
    ///
    /// # Errors
    /// Returns an error if the body is truncated or malformed.
    pub(in crate::proxy) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Option<Result<Part, Broken>>> {
        Poll::Ready(match self {
            Self::Http1(exchange) => match ready!(exchange.poll_body(cx, buffer)) {
                Ok(Piece::Data(range)) => Some(Ok(Part::Buffered(range))),
                Ok(Piece::Trailers(trailers)) => Some(Ok(Part::Trailers(trailers))),
                Ok(Piece::End | Piece::More) => None,
                Err(error) => Some(Err(error.into())),
            },
            Self::Http2(incoming, state) => match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                None if is_torn(incoming, state) => {
                    Some(Err(h2::Error::from(h2::Reason::INTERNAL_ERROR).into()))
                }
                None => None,
                Some(Ok(frame)) => Some(Ok(part(frame))),
                Some(Err(error)) => Some(Err(error.into())),
            },
        })
    }

    /// Returns whether the whole body has been returned.
    pub(in crate::proxy) fn is_done(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_done(),
            Self::Http2(incoming, _) => incoming.is_end_stream(),
        }
    }

    /// Sends what is left of the request to an HTTP/1.1 upstream. To an HTTP/2 upstream, hyper
    /// sends it.
    pub(in crate::proxy) fn send_on(&mut self, cx: &mut Context<'_>) {
        if let Self::Http1(exchange) = self {
            exchange.send_on(cx);
        }
    }

    /// Stops sending the request body to an HTTP/2 upstream.
    pub(in crate::proxy) fn release(&self) {
        if let Self::Http2(_, state) = self
            && state.take_incoming().is_some()
        {
            state.wake_sender();
        }
    }
}

fn part(frame: Frame<Bytes>) -> Part {
    match frame.into_data() {
        Ok(data) => Part::Data(data),
        Err(frame) => Part::Trailers(frame.into_trailers().unwrap_or_default()),
    }
}

/// Returns whether a response that hyper reports as ended was in fact reset. hyper takes a reset
/// with NO_ERROR for an end. It is one only after a complete response to an incomplete request (RFC
/// 9113 §8.1).
fn is_torn(incoming: &Incoming, state: &RequestState) -> bool {
    let short = incoming.size_hint().exact().is_some_and(|left| left > 0);
    !incoming.is_end_stream() && (short || state.is_sent())
}
