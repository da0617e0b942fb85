//! Responders: each answers requests of a connection's streams, one after another. Responders are
//! reused, so that a request needs neither a task nor the allocation of one.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Version};
use tokio::time::Instant;

use crate::http2;
use crate::policy::{Fields, Head, HeaderKind, Refusal, Target};
use crate::proxy::downstream::http2::upload::{Upload, upload};
use crate::proxy::request::connection::Connection;
use crate::proxy::request::judge::{Judged, judge};
use crate::proxy::request::respond::respond;
use crate::proxy::request::response::Response;
use crate::proxy::worker::body::ClientBody;
use crate::proxy::worker::body::Length;
use crate::proxy::worker::current::Current;
use crate::proxy::worker::deadline::Deadline;

/// Responder. Dropping it abandons the current request.
pub(in crate::proxy) struct Responder {
    shared: Rc<RefCell<Shared>>,
    work: Pin<Box<dyn Future<Output = ()>>>,
}

/// What a request's head says about its body.
pub(in crate::proxy) struct Begun {
    /// The declared length in bytes, or `None` if there is none.
    pub(in crate::proxy) length: Option<u64>,
    /// Receiver of the body, or `None` if the request has no body.
    pub(in crate::proxy) upload: Option<Upload>,
}

/// State shared by a responder and its future.
#[derive(Default)]
struct Shared {
    /// A request whose header block is in the worker's buffer. `true`: the request has no body.
    asked: Option<bool>,
    /// What the header block says. Set once it has been parsed.
    begun: Option<Begun>,
    response: Option<Result<Response, http2::Malformed>>,
}

impl Responder {
    /// Creates an idle responder for requests on `connection`.
    pub(in crate::proxy) fn new(connection: &Rc<Connection>) -> Self {
        let shared = Rc::<RefCell<Shared>>::default();
        let work = Box::pin(answer_all(connection.clone(), shared.clone()));
        Self { shared, work }
    }

    /// Starts a request, whose header block is in the worker's buffer. Poll the responder before
    /// the next header block is read. `ended`: the request has no body.
    pub(in crate::proxy) fn ask(&mut self, ended: bool) {
        self.shared.borrow_mut().asked = Some(ended);
    }

    /// Makes as much progress as possible. Sets `begun` once the header block has been parsed, and
    /// resolves to the response. The responder is then idle.
    pub(in crate::proxy) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        begun: &mut Option<Begun>,
    ) -> Poll<Result<Response, http2::Malformed>> {
        let _ = self.work.as_mut().poll(cx);
        let shared = &mut *self.shared.borrow_mut();
        if shared.begun.is_some() {
            *begun = shared.begun.take();
        }
        if shared.response.is_none() {
            return Poll::Pending;
        }
        shared.response.take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Answers requests one after another. Never resolves.
async fn answer_all(connection: Rc<Connection>, shared: Rc<RefCell<Shared>>) {
    let worker = &connection.worker;
    let mut deadline = Deadline::new(Instant::now() + Duration::from_secs(3600));
    loop {
        let (ended, waker) = poll_fn(|cx| match shared.borrow_mut().asked.take() {
            Some(ended) => Poll::Ready((ended, cx.waker().clone())),
            None => Poll::Pending,
        })
        .await;
        let current = worker.current();
        let mut body: Option<Rc<dyn ClientBody>> = None;
        let begin = |length, waits| {
            let mut begun = Begun { length, upload: None };
            if !ended {
                let (upload, reader) = upload(length, waits, waker);
                begun.upload = Some(upload);
                body = Some(reader);
            }
            shared.borrow_mut().begun = Some(begun);
        };
        let response = match judge_head(&connection, &current, ended, begin) {
            Ok(judged) => {
                Ok(respond(&connection.pool, &current, judged, body, &mut deadline).await)
            }
            Err(malformed) => Err(malformed),
        };
        shared.borrow_mut().response = Some(response);
    }
}

/// Judges the request whose header block is in the worker's buffer. Calls `begin` with the declared
/// length and whether the client waits for `100 Continue`.
///
/// # Errors
/// Returns `Malformed` if the request is malformed (RFC 9113 §8.1.1).
fn judge_head<'s>(
    connection: &Rc<Connection>,
    current: &'s Current,
    ended: bool,
    begin: impl FnOnce(Option<u64>, bool),
) -> Result<Judged<'s>, http2::Malformed> {
    let now = connection.worker.now();
    let peer = &connection.peer;
    let mut block = connection.worker.block();
    if block.is_over() {
        block.wipe();
        let target = Target { authority: None, path: "", query: None };
        let head = Head { method: &Method::GET, target, fields: &Fields::new(), peer };
        let over = Err(Refusal::HeadTooLarge);
        return Ok(judge(connection, current, &head, Version::HTTP_2, over, now));
    }
    // A request without a body must not declare a length above 0 (RFC 9113 §8.1.1).
    let sound =
        |head: &http2::RequestHead<'_>| !ended || head.length.is_none_or(|length| length == 0);
    let judged = match http2::request(&block) {
        Ok(head) if sound(&head) => {
            let length = match head.length {
                Some(length) => Length::Exact(length),
                None if ended => Length::Absent,
                None => Length::Unknown,
            };
            let waits = !ended && head.fields.lists(HeaderKind::Expect, b"100-continue");
            begin(head.length, waits);
            let http2::RequestHead { method, target, fields, .. } = &head;
            let head = Head { method, target: *target, fields, peer };
            Ok(judge(connection, current, &head, Version::HTTP_2, Ok(length), now))
        }
        _ => Err(http2::Malformed),
    };
    block.wipe();
    judged
}
