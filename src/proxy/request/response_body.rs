//! Bodies as they pass through: nothing is kept, only watched.

use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;

use crate::http1::Piece;
use crate::policy::{Refusal, grpc_trailers, prepare_answer_trailers};
use crate::proxy::downstream::http1::client::Client;
use crate::proxy::downstream::http2::upload::UploadReader;
use crate::proxy::request::log_entry::Record;
use crate::proxy::upstream::http1::Exchange;
use crate::proxy::worker::request_state::Progress;
use crate::stats::CutShort;

/// What a body that ends badly ends with. An [`h2::Error`] in it says what an HTTP/2 stream is
/// reset with.
pub(in crate::proxy) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Where a client's body comes from.
pub(in crate::proxy) enum ClientBody {
    Http1(Rc<Client>),
    Http2(UploadReader),
    /// There is none, or it is read by somebody else.
    None,
}

impl ClientBody {
    /// Whether there is nothing more.
    pub(in crate::proxy) fn is_done(&self) -> bool {
        match self {
            Self::Http1(client) => client.is_read(),
            Self::Http2(upload) => upload.is_done(),
            Self::None => true,
        }
    }

    /// How many bytes are to come, where that is known.
    pub(in crate::proxy) fn length(&self) -> Option<u64> {
        match self {
            Self::Http1(client) => client.body_length(),
            Self::Http2(upload) => upload.length(),
            Self::None => Some(0),
        }
    }

    /// The next part; `None` at its end.
    pub(in crate::proxy) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Http1(client) => client.poll_body(cx).map_err(Into::into),
            Self::Http2(upload) => upload.poll(cx),
            Self::None => Poll::Ready(None),
        }
    }
}

/// RFC 9113 §7: the stream is no longer needed.
pub(in crate::proxy) fn cancelled() -> Broken {
    h2::Error::from(h2::Reason::CANCEL).into()
}

/// An answer's body on its way to the client.
pub(in crate::proxy) struct AnswerBody {
    content: Content,
    /// None after a protocol switch, which has a longer life than this body.
    record: Option<Record>,
    /// Whether a cut is told in trailers with a gRPC status.
    grpc: bool,
}

pub(in crate::proxy) enum Content {
    /// Keygate's own.
    Fixed(Bytes),
    /// From an HTTP/1.1 upstream.
    Http1(Box<Exchange>),
    /// From an HTTP/2 upstream, which may still be taking the request.
    Http2(Incoming, Rc<Progress>),
}

/// A part of an answer.
pub(in crate::proxy) enum Part {
    /// Data in the buffer that was given.
    Buffered(Range<usize>),
    Data(Bytes),
    Trailers(HeaderMap),
}

impl AnswerBody {
    pub(in crate::proxy) fn new(content: Content, record: Record, grpc: bool) -> Self {
        Self { content, record: Some(record), grpc }
    }

    /// What an answer that is cut ends with: never an orderly end, which would make a part look
    /// like the whole.
    fn broken_off(&mut self) -> Option<Result<Part, Broken>> {
        let record = self.record.as_ref()?;
        if matches!(self.content, Content::Fixed(_)) {
            return None;
        }
        let refusal = record.cut()?;
        let last = if self.grpc {
            Ok(Part::Trailers(grpc_trailers(refusal, record.errors_distinguish())))
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
            Content::Http1(exchange) => match ready!(exchange.poll_body(cx, buffer)) {
                Ok(Piece::Data(range)) => Ok(Part::Buffered(range)),
                Ok(Piece::Trailers(trailers)) => Ok(Part::Trailers(trailers)),
                Ok(Piece::End | Piece::More) => return Poll::Ready(None),
                Err(error) => Err(error.into()),
            },
            Content::Http2(incoming, progress) => {
                match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                    None if is_torn(incoming, progress) => {
                        Err(h2::Error::from(h2::Reason::INTERNAL_ERROR).into())
                    }
                    None => return Poll::Ready(None),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => Ok(Part::Data(data)),
                        Err(frame) => Ok(Part::Trailers(frame.into_trailers().unwrap_or_default())),
                    },
                    Some(Err(error)) => Err(error.into()),
                }
            }
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
        if let Some(record) = &mut self.record {
            match &part {
                Ok(Part::Buffered(range)) => record.add_bytes(range.len()),
                Ok(Part::Data(data)) => record.add_bytes(data.len()),
                _ => {}
            }
        }
        Poll::Ready(Some(part))
    }

    /// Whether all of it has been given out.
    pub(in crate::proxy) fn is_done(&self) -> bool {
        match &self.content {
            Content::Fixed(bytes) => bytes.is_empty(),
            Content::Http1(exchange) => exchange.is_done(),
            Content::Http2(incoming, _) => incoming.is_end_stream(),
        }
    }

    /// Sends what is left of the request to an HTTP/1.1 upstream; to an HTTP/2 one it is sent in
    /// any case.
    pub(in crate::proxy) fn send_on(&mut self, cx: &mut Context<'_>) {
        if let Content::Http1(exchange) = &mut self.content {
            exchange.send_on(cx);
        }
    }

    fn cut_short(&self, why: CutShort) {
        if let Some(progress) = self.record.as_ref().and_then(Record::progress) {
            progress.cut_short(why);
        }
    }

    /// Notes that the client has got all of it.
    pub(in crate::proxy) fn set_delivered(&self) {
        if let Some(record) = &self.record {
            record.set_delivered();
        }
    }

    /// Notes that a part of it has reached the client.
    pub(in crate::proxy) fn note_taken(&self) {
        if let Some(record) = &self.record {
            record.note_moved();
        }
    }

    /// Gives it up because of this.
    pub(in crate::proxy) fn give_up(&self, refusal: Refusal) {
        if let Some(record) = &self.record {
            record.give_up(refusal);
        }
    }

    /// Whether the request was cut.
    pub(in crate::proxy) fn is_cut(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.cut().is_some())
    }

    /// Takes what the client still sends away from the upstream.
    pub(in crate::proxy) fn release(&self) {
        if let Content::Http2(_, progress) = &self.content
            && progress.take_incoming().is_some()
        {
            progress.wake_sender();
        }
    }

    /// What the request was counted by, and the exchange, for a switch of protocols.
    pub(in crate::proxy) fn into_switch(self) -> Option<(Box<Exchange>, Record)> {
        match (self.content, self.record) {
            (Content::Http1(exchange), Some(record)) => Some((exchange, record)),
            _ => None,
        }
    }
}

/// Whether an answer whose end the engine reports was in truth reset in its middle: hyper takes a
/// reset with NO_ERROR for an end, which it is only behind a whole answer to a request that was not
/// (RFC 9113 §8.1).
fn is_torn(incoming: &Incoming, progress: &Progress) -> bool {
    let short = incoming.size_hint().exact().is_some_and(|left| left > 0);
    !incoming.is_end_stream() && (short || progress.is_sent())
}
