//! Bodies as they pass through: nothing is kept, only watched.

use super::pool::Lease;
use super::record::Record;
use super::worker::CurrentSite;
use crate::policy::{Refusal, grpc_trailers, prepare_trailers};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// What a body that ends badly ends with. An [`h2::Error`] in it says what an HTTP/2 stream is reset with.
type Broken = Box<dyn std::error::Error + Send + Sync>;

/// How far a request's body has come, and whether the request was cut. Shared by all who work on the request.
pub(super) struct Progress {
    /// Whether the upstream has been given all of it.
    pub(super) done: Cell<bool>,
    /// Whether the client broke off.
    pub(super) failed: Cell<bool>,
    /// Whether the client's next bytes are waited for. Else the upstream is the one that does not take them.
    pub(super) waiting: Cell<bool>,
    /// When something was last passed on, if there is a body.
    pub(super) last: Cell<Option<Instant>>,
    /// Where the client's body comes from, while there is more of it to pass on.
    incoming: RefCell<Option<Incoming>>,
    cut: Cell<Option<Refusal>>,
    /// The tasks that a cut must wake: the one that serves the client, and the one that sends the body to the upstream.
    server: RefCell<Option<Waker>>,
    sender: RefCell<Option<Waker>>,
}

impl Progress {
    fn new(incoming: Option<Incoming>) -> Rc<Self> {
        Rc::new(Self {
            done: Cell::new(incoming.is_none()),
            failed: Cell::new(false),
            waiting: Cell::new(false),
            last: Cell::new(None),
            incoming: RefCell::new(incoming),
            cut: Cell::new(None),
            server: RefCell::default(),
            sender: RefCell::default(),
        })
    }

    /// Why the request was cut, if it was.
    pub(super) fn cut(&self) -> Option<Refusal> {
        self.cut.get()
    }

    /// Cuts the request: nothing more of it is passed on in either direction.
    pub(super) fn cut_off(&self, refusal: Refusal) {
        self.cut.set(Some(refusal));
        [&self.server, &self.sender].into_iter().filter_map(|task| task.borrow_mut().take()).for_each(Waker::wake);
    }

    /// The running task is the one that serves the client.
    pub(super) fn wake_when_cut(&self, cx: &Context<'_>) {
        remember(&self.server, cx);
    }

    /// Resolves when the request is cut. One task at a time can wait for it.
    pub(super) async fn until_cut(&self) -> Refusal {
        std::future::poll_fn(|cx| {
            self.wake_when_cut(cx);
            self.cut().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The outcome of what is done for the request, unless it is cut before.
    pub(super) async fn unless_cut<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| self.cut().map_or_else(|| work.as_mut().poll(cx), |refusal| Poll::Ready(Err(refusal)))).await
    }

    /// Takes what the client still sends away from the upstream.
    pub(super) fn take_incoming(&self) -> Option<Incoming> {
        self.incoming.take()
    }
}

fn remember(place: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut known = place.borrow_mut();
    if !known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *known = Some(cx.waker().clone());
    }
}

/// RFC 9113 §7: the stream is no longer needed.
fn cancelled() -> Broken {
    h2::Error::from(h2::Reason::CANCEL).into()
}

/// A client's body on its way to the upstream.
pub(super) struct RequestBody {
    /// What the request is served by, and its API's index. None where there is no body.
    api: Option<(CurrentSite, usize)>,
    progress: Rc<Progress>,
}

impl RequestBody {
    /// The site and the index of the API that the request is for say which trailers may pass.
    pub(super) fn new(incoming: Incoming, site: &CurrentSite, api: usize) -> Self {
        let incoming = (!incoming.is_end_stream()).then_some(incoming);
        Self { api: incoming.is_some().then(|| (site.clone(), api)), progress: Progress::new(incoming) }
    }

    /// An empty body, for a request that is sent a second time.
    pub(super) fn empty() -> Self {
        Self { api: None, progress: Progress::new(None) }
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        self.progress.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some((site, api)) = &self.api else { return Poll::Ready(None) };
        let progress = &self.progress;
        let mut incoming = progress.incoming.borrow_mut();
        let Some(incoming) = incoming.as_mut().filter(|_| progress.cut().is_none()) else {
            // An orderly end would tell the upstream that it has the whole body.
            return Poll::Ready(Some(Err(cancelled())));
        };
        remember(&progress.sender, cx);
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        progress.waiting.set(polled.is_pending());
        let mut polled = std::task::ready!(polled);
        progress.last.set(Some(Instant::now()));
        if let Some(Ok(frame)) = &mut polled
            && let (Some(trailers), Some(api)) = (frame.trailers_mut(), site.routes.apis().get(*api))
        {
            prepare_trailers(trailers, api);
        }
        match &polled {
            Some(Ok(_)) => progress.done.set(incoming.is_end_stream()),
            Some(Err(_)) => progress.failed.set(true),
            None => progress.done.set(true),
        }
        Poll::Ready(polled.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &*self.progress.incoming.borrow() {
            Some(incoming) => incoming.is_end_stream(),
            None => self.api.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &*self.progress.incoming.borrow() {
            Some(incoming) => incoming.size_hint(),
            None if self.api.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // What is not passed on any more is not read any more, but for a while behind the answer to one that was cut.
        if self.progress.cut().is_none() {
            self.progress.take_incoming();
        }
    }
}

/// An answer's body on its way to the client.
pub(super) struct ResponseBody {
    content: Content,
    /// None after a protocol switch, which has a longer life than this body.
    record: Option<Record>,
    /// Whether the client understands trailers with a gRPC status.
    grpc: bool,
}

enum Content {
    /// Keygate's own.
    Fixed(Bytes),
    /// The upstream's, and the connection that it comes on.
    Upstream(Incoming, Option<Lease>),
}

impl ResponseBody {
    pub(super) fn fixed(bytes: Bytes, record: Record) -> Self {
        Self { content: Content::Fixed(bytes), record: Some(record), grpc: false }
    }

    /// Leaves nothing of a fixed body; returns how long it was, in bytes.
    pub(super) fn take_content(&mut self) -> usize {
        match &mut self.content {
            Content::Fixed(bytes) => std::mem::take(bytes).len(),
            Content::Upstream(..) => 0,
        }
    }

    pub(super) fn empty() -> Self {
        Self { content: Content::Fixed(Bytes::new()), record: None, grpc: false }
    }

    /// `grpc`: whether a cut is told in trailers.
    pub(super) fn upstream(incoming: Incoming, lease: Option<Lease>, record: Record, grpc: bool) -> Self {
        let mut body = Self { content: Content::Upstream(incoming, lease), record: Some(record), grpc };
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

    /// What an answer that is cut ends with: never an orderly end, which would make a part look like the whole.
    fn broken_off(&mut self) -> Option<Result<Frame<Bytes>, Broken>> {
        let record = self.record.as_ref()?;
        let (refusal, Content::Upstream(..)) = (record.cut()?, &self.content) else { return None };
        let last = if self.grpc { Ok(Frame::trailers(grpc_trailers(refusal, record.errors_distinguish()))) } else { Err(cancelled()) };
        // Dropping the upstream's side of the exchange ends it.
        self.content = Content::Fixed(Bytes::new());
        Some(last)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        if let Some(last) = this.broken_off() {
            return Poll::Ready(Some(last));
        }
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
                    Some(Err(error.into()))
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
