//! What answers the requests of one place among a connection's streams, one after the other. It
//! lives as long as its place is used, so that a request costs no task and no allocation of one.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::{Method, Version};
use tokio::time::Instant;

use super::answer::{Answer, Length};
use super::body::ClientBody;
use super::client_connection::Connection;
use super::deadline::Deadline;
use super::handler::respond;
use super::judge::judge;
use super::upload::Upload;
use crate::http2;
use crate::policy::{Fields, Head, Known, Refusal, Target};

/// Between a responder and its stream.
#[derive(Default)]
pub(super) struct Mailbox {
    /// Set when a request has come whose head is in the worker's block: whether it has ended.
    pub(super) asked: Cell<Option<bool>>,
    /// What is answered.
    pub(super) answer: Cell<Option<Result<Answer, http2::Malformed>>>,
    /// How long the request's body is said to be.
    pub(super) length: Cell<Option<u64>>,
    /// The request's body.
    pub(super) upload: Cell<Option<Rc<Upload>>>,
}

/// Answers requests for ever. It is polled right after a request has come, before the next head is
/// read.
pub(super) async fn answer_all(connection: Rc<Connection>, mailbox: Rc<Mailbox>) {
    let worker = &connection.worker;
    let mut deadline = Deadline::new(Instant::now() + Duration::from_secs(3600));
    loop {
        let (ended, waker) = poll_fn(|cx| match mailbox.asked.take() {
            Some(ended) => Poll::Ready((ended, cx.waker().clone())),
            None => Poll::Pending,
        })
        .await;
        let now = worker.now();
        let current = worker.current();
        let mut body = ClientBody::None;
        let judged = {
            let mut block = worker.block();
            let judged = if block.is_over() {
                let nothing = Target { authority: None, path: "", query: None };
                let head = Head {
                    method: &Method::GET,
                    target: nothing,
                    fields: &Fields::new(),
                    peer: &connection.peer,
                };
                Ok(judge(
                    &connection,
                    &current,
                    &head,
                    Version::HTTP_2,
                    Err(Refusal::HeadTooLarge),
                    now,
                ))
            } else {
                // RFC 9113 §8.1.1: what has ended is as long as it was said to be.
                let sound = |head: &http2::RequestHead<'_>| {
                    !ended || head.length.is_none_or(|length| length == 0)
                };
                http2::request(&block)
                    .and_then(|head| if sound(&head) { Ok(head) } else { Err(http2::Malformed) })
                    .map(|head| {
                        mailbox.length.set(head.length);
                        let length = match head.length {
                            Some(length) => Length::Exact(length),
                            None if ended => Length::Absent,
                            None => Length::Unknown,
                        };
                        if !ended {
                            let waits = head
                                .fields
                                .all(Known::Expect)
                                .any(|value| value.eq_ignore_ascii_case(b"100-continue"));
                            let upload = Rc::new(Upload::new(head.length, waits, waker));
                            mailbox.upload.set(Some(upload.clone()));
                            body = ClientBody::Http2(upload);
                        }
                        let http2::RequestHead { method, target, fields, .. } = &head;
                        let head = Head { method, target: *target, fields, peer: &connection.peer };
                        judge(&connection, &current, &head, Version::HTTP_2, Ok(length), now)
                    })
            };
            block.wipe();
            judged
        };
        let answer = match judged {
            Ok(judged) => Ok(respond(worker, &current, judged, body, &mut deadline).await),
            Err(malformed) => Err(malformed),
        };
        mailbox.answer.set(Some(answer));
    }
}
