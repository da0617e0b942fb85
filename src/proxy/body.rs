//! Bodies as they pass through: nothing is kept, only watched.

use super::pool::Lease;
use super::record::Record;
use super::worker::CurrentSite;
use crate::policy::prepare_trailers;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// How far a request's body has come.
#[derive(Debug)]
pub(super) struct Progress {
    /// Whether the upstream has been given all of it.
    pub(super) done: Cell<bool>,
    /// Whether the client broke off.
    pub(super) failed: Cell<bool>,
    /// Whether the client's next bytes are waited for. Else the upstream is the one that does not take them.
    pub(super) waiting: Cell<bool>,
    /// When something was last passed on, if there is a body.
    pub(super) last: Cell<Option<Instant>>,
}

impl Progress {
    fn new(done: bool) -> Rc<Self> {
        Rc::new(Self { done: Cell::new(done), failed: Cell::new(false), waiting: Cell::new(false), last: Cell::new(None) })
    }
}

/// A client's body on its way to the upstream.
pub(super) struct RequestBody {
    /// None where there is no body.
    source: Option<Source>,
    progress: Rc<Progress>,
}

struct Source {
    incoming: Incoming,
    /// What the request is served by, and its API's index.
    site: CurrentSite,
    api: usize,
}

impl RequestBody {
    /// The site and the index of the API that the request is for say which trailers may pass.
    pub(super) fn new(incoming: Incoming, site: &CurrentSite, api: usize) -> Self {
        let empty = incoming.is_end_stream();
        let source = (!empty).then(|| Source { incoming, site: site.clone(), api });
        Self { source, progress: Progress::new(empty) }
    }

    /// An empty body, for a request that is sent a second time.
    pub(super) fn empty() -> Self {
        Self { source: None, progress: Progress::new(true) }
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        self.progress.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(source) = &mut this.source else { return Poll::Ready(None) };
        let polled = Pin::new(&mut source.incoming).poll_frame(cx);
        this.progress.waiting.set(polled.is_pending());
        let mut polled = std::task::ready!(polled);
        this.progress.last.set(Some(Instant::now()));
        if let Some(Ok(frame)) = &mut polled
            && let (Some(trailers), Some(api)) = (frame.trailers_mut(), source.site.routes.apis().get(source.api))
        {
            prepare_trailers(trailers, api);
        }
        match &polled {
            Some(Ok(_)) => this.progress.done.set(source.incoming.is_end_stream()),
            Some(Err(_)) => this.progress.failed.set(true),
            None => this.progress.done.set(true),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.source.as_ref().is_none_or(|source| source.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.source.as_ref().map_or_else(|| SizeHint::with_exact(0), |source| source.incoming.size_hint())
    }
}

/// An answer's body on its way to the client.
pub(super) struct ResponseBody {
    content: Content,
    /// None after a protocol switch, which has a longer life than this body.
    record: Option<Record>,
}

enum Content {
    /// Keygate's own.
    Fixed(Bytes),
    /// The upstream's, and the connection that it comes on.
    Upstream(Incoming, Option<Lease>),
}

impl ResponseBody {
    pub(super) fn fixed(bytes: Bytes, record: Record) -> Self {
        Self { content: Content::Fixed(bytes), record: Some(record) }
    }

    pub(super) fn empty() -> Self {
        Self { content: Content::Fixed(Bytes::new()), record: None }
    }

    pub(super) fn upstream(incoming: Incoming, lease: Option<Lease>, record: Record) -> Self {
        let mut body = Self { content: Content::Upstream(incoming, lease), record: Some(record) };
        body.settle();
        body
    }

    /// Gives the connection back once the body has ended.
    fn settle(&mut self) {
        if let Content::Upstream(incoming, lease) = &mut self.content
            && incoming.is_end_stream()
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = match &mut this.content {
            Content::Fixed(bytes) if bytes.is_empty() => None,
            Content::Fixed(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Content::Upstream(incoming, lease) => match std::task::ready!(Pin::new(incoming).poll_frame(cx)) {
                Some(Ok(frame)) => Some(Ok(frame)),
                None => {
                    if let Some(lease) = lease.take() {
                        lease.give_back();
                    }
                    None
                }
                Some(Err(error)) => {
                    // Dropping the lease ends the connection.
                    lease.take();
                    Some(Err(error))
                }
            },
        };
        if let Some(Ok(frame)) = &frame
            && let (Some(data), Some(record)) = (frame.data_ref(), &mut this.record)
        {
            record.add_bytes(data.len());
        }
        this.settle();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Fixed(bytes) => bytes.is_empty(),
            Content::Upstream(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Fixed(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Upstream(incoming, _) => incoming.size_hint(),
        }
    }
}
