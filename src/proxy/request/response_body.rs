//! A response's body as it passes through: nothing is kept, only watched.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::policy::{Refusal, grpc_trailers, prepare_answer_trailers};
use crate::proxy::request::log_entry::LogEntry;
use crate::proxy::upstream::http1::Exchange;
use crate::proxy::upstream::response::{Part, UpstreamBody};
use crate::proxy::worker::body::{Broken, cancelled};
use crate::stats::CutShort;

/// An answer's body on its way to the client.
pub(in crate::proxy) struct ResponseBody {
    content: Content,
    /// None after a protocol switch, which has a longer life than this body.
    entry: Option<LogEntry>,
    /// Whether a cut is told in trailers with a gRPC status.
    grpc: bool,
}

pub(in crate::proxy) enum Content {
    /// Keygate's own.
    Fixed(Bytes),
    Upstream(UpstreamBody),
}

impl ResponseBody {
    pub(in crate::proxy) fn new(content: Content, entry: LogEntry, grpc: bool) -> Self {
        Self { content, entry: Some(entry), grpc }
    }

    /// What an answer that is cut ends with: never an orderly end, which would make a part look
    /// like the whole.
    fn broken_off(&mut self) -> Option<Result<Part, Broken>> {
        let entry = self.entry.as_ref()?;
        if matches!(self.content, Content::Fixed(_)) {
            return None;
        }
        let refusal = entry.cancelled()?;
        let last = if self.grpc {
            Ok(Part::Trailers(grpc_trailers(refusal, entry.errors_distinguish())))
        } else {
            Err(cancelled())
        };
        // Dropping the upstream's side of the exchange ends it.
        self.content = Content::Fixed(Bytes::new());
        Some(last)
    }

    /// The next part; `None` at the end. `buffer` is for what is read from the upstream.
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
                prepare_answer_trailers(&mut trailers);
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
        if let Some(entry) = &mut self.entry {
            match &part {
                Ok(Part::Buffered(range)) => entry.add_bytes(range.len()),
                Ok(Part::Data(data)) => entry.add_bytes(data.len()),
                _ => {}
            }
        }
        Poll::Ready(Some(part))
    }

    /// Whether all of it has been given out.
    pub(in crate::proxy) fn is_done(&self) -> bool {
        match &self.content {
            Content::Fixed(bytes) => bytes.is_empty(),
            Content::Upstream(body) => body.is_done(),
        }
    }

    /// Sends what is left of the request to an HTTP/1.1 upstream; to an HTTP/2 one it is sent in
    /// any case.
    pub(in crate::proxy) fn send_on(&mut self, cx: &mut Context<'_>) {
        if let Content::Upstream(body) = &mut self.content {
            body.send_on(cx);
        }
    }

    fn cut_short(&self, why: CutShort) {
        if let Some(state) = self.entry.as_ref().and_then(LogEntry::state) {
            state.cut_short(why);
        }
    }

    /// Notes that the client has got all of it.
    pub(in crate::proxy) fn set_delivered(&self) {
        if let Some(entry) = &self.entry {
            entry.set_delivered();
        }
    }

    /// Notes that a part of it has reached the client.
    pub(in crate::proxy) fn note_taken(&self) {
        if let Some(entry) = &self.entry {
            entry.note_moved();
        }
    }

    /// Gives it up because of this.
    pub(in crate::proxy) fn give_up(&self, refusal: Refusal) {
        if let Some(entry) = &self.entry {
            entry.give_up(refusal);
        }
    }

    /// Whether the request was cut.
    pub(in crate::proxy) fn is_cancelled(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.cancelled().is_some())
    }

    /// Takes what the client still sends away from the upstream.
    pub(in crate::proxy) fn release(&self) {
        if let Content::Upstream(body) = &self.content {
            body.release();
        }
    }

    /// What the request was counted by, and the exchange, for a switch of protocols.
    pub(in crate::proxy) fn into_switch(self) -> Option<(Box<Exchange>, LogEntry)> {
        match (self.content, self.entry) {
            (Content::Upstream(UpstreamBody::Http1(exchange)), Some(entry)) => {
                Some((exchange, entry))
            }
            _ => None,
        }
    }
}
