//! Response bodies, which are watched on their way through but not kept.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::policy::{Refusal, grpc_trailers, prepare_response_trailers};
use crate::proxy::request::log_entry::LogEntry;
use crate::proxy::upstream::http1::Exchange;
use crate::proxy::upstream::response::{Part, UpstreamBody};
use crate::proxy::worker::body::{Broken, cancelled};
use crate::stats::CutShort;

/// A response body on its way to the client.
pub(in crate::proxy) struct ResponseBody {
    content: Content,
    /// The request's log entry, dropped with the body.
    entry: LogEntry,
    /// Whether cancellation is reported in trailers with a gRPC status.
    grpc: bool,
}

/// Source of a response body.
pub(in crate::proxy) enum Content {
    /// Keygate's own body.
    Fixed(Bytes),
    Upstream(UpstreamBody),
}

impl ResponseBody {
    /// Creates a body. `grpc`: cancellation is reported in trailers with a gRPC status.
    pub(in crate::proxy) fn new(content: Content, entry: LogEntry, grpc: bool) -> Self {
        Self { content, entry, grpc }
    }

    /// Returns the last part of a cancelled response, or `None` if it is not cancelled. It is never
    /// an orderly end, which would make a truncated body look complete.
    fn broken_off(&mut self) -> Option<Result<Part, Broken>> {
        if matches!(self.content, Content::Fixed(_)) {
            return None;
        }
        let refusal = self.entry.cancelled()?;
        let last = if self.grpc {
            Ok(Part::Trailers(grpc_trailers(refusal, self.entry.errors_distinguish())))
        } else {
            Err(cancelled())
        };
        // Dropping the upstream's body ends the exchange.
        self.content = Content::Fixed(Bytes::new());
        Some(last)
    }

    /// Returns the next part, or `None` at the end of the body. `buffer` receives what is read from
    /// an HTTP/1.1 upstream.
    ///
    /// # Errors
    /// Returns an error if the body was truncated or cancelled.
    pub(in crate::proxy) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Option<Result<Part, Broken>>> {
        if let Some(last) = self.broken_off() {
            return Poll::Ready(Some(last));
        }
        let part = match &mut self.content {
            Content::Fixed(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Content::Fixed(bytes) => Ok(Part::Data(std::mem::take(bytes))),
            Content::Upstream(body) => match ready!(body.poll(cx, buffer)) {
                Some(part) => part,
                None => return Poll::Ready(None),
            },
        };
        let part = match part {
            Ok(Part::Trailers(mut trailers)) => {
                prepare_response_trailers(&mut trailers);
                if trailers.is_empty() {
                    return Poll::Ready(None);
                }
                Ok(Part::Trailers(trailers))
            }
            part => part,
        };
        if part.is_err() {
            self.cut_short(CutShort::UpstreamTruncated);
        }
        match &part {
            Ok(Part::Buffered(range)) => self.entry.add_bytes(range.len()),
            Ok(Part::Data(data)) => self.entry.add_bytes(data.len()),
            _ => {}
        }
        Poll::Ready(Some(part))
    }

    /// Returns whether the whole body has been returned.
    pub(in crate::proxy) fn is_done(&self) -> bool {
        match &self.content {
            Content::Fixed(bytes) => bytes.is_empty(),
            Content::Upstream(body) => body.is_done(),
        }
    }

    /// Sends what is left of the request to an HTTP/1.1 upstream. To an HTTP/2 upstream, hyper
    /// sends it.
    pub(in crate::proxy) fn send_on(&mut self, cx: &mut Context<'_>) {
        if let Content::Upstream(body) = &mut self.content {
            body.send_on(cx);
        }
    }

    fn cut_short(&self, why: CutShort) {
        if let Some(state) = self.entry.state() {
            state.cut_short(why);
        }
    }

    /// Notes that the client has received the whole body.
    pub(in crate::proxy) fn set_delivered(&self) {
        self.entry.set_delivered();
    }

    /// Notes that the client has taken a part of the body.
    pub(in crate::proxy) fn note_taken(&self) {
        self.entry.note_moved();
    }

    /// Cancels the request after its response has begun, and counts the reason.
    pub(in crate::proxy) fn give_up(&self, refusal: Refusal) {
        self.entry.give_up(refusal);
    }

    /// Returns whether the request was cancelled.
    pub(in crate::proxy) fn is_cancelled(&self) -> bool {
        self.entry.cancelled().is_some()
    }

    /// Stops sending the request body to the upstream.
    pub(in crate::proxy) fn release(&self) {
        if let Content::Upstream(body) = &self.content {
            body.release();
        }
    }

    /// Returns the exchange and the log entry for a protocol switch, or `None` if the upstream's
    /// connection is not HTTP/1.1.
    pub(in crate::proxy) fn into_switch(self) -> Option<(Box<Exchange>, LogEntry)> {
        match self.content {
            Content::Upstream(UpstreamBody::Http1(exchange)) => Some((exchange, self.entry)),
            _ => None,
        }
    }
}
