//! One stream of a client's HTTP/2 connection: a request is answered, the answer is sent as far as
//! the client lets it through.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use crate::http2::{Credit, HeaderBlock, Reason, Sender};
use crate::policy::{Refusal, Sink as _};
use crate::proxy::downstream::http2::responder::{Advance, Responder};
use crate::proxy::downstream::http2::upload::Upload;
use crate::proxy::request::response::{Response, ResponseFields, ResponseHeader};
use crate::proxy::request::response_body::ResponseBody;
use crate::proxy::upstream::response::Part;
use crate::proxy::worker::body::Broken;
use crate::proxy::worker::body::Length;
use crate::proxy::worker::closing::{READ_ON_BYTES, READ_ON_TIME};
use crate::proxy::worker::context::Worker;
use crate::proxy::worker::deadline::TransferTimeout;
use crate::proxy::worker::guard::Guard;
use crate::proxy::worker::in_flight::CANCEL_GRACE;

/// What is collected before it is sent, in bytes: four TLS records (RFC 8446 §5.1).
pub(in crate::proxy) const FULL: usize = 64 * 1024;
/// The least that is read of an answer at once. What the client does not let through is kept.
const LEAST: usize = 256;

/// What is kept for an open stream.
pub(in crate::proxy) struct Slot {
    guard: Guard,
    stage: Stage,
    /// The request's body, as long as it is passed on.
    upload: Option<Upload>,
}

enum Stage {
    /// The responder works.
    Asked(Responder),
    Answering {
        body: ResponseBody,
        /// Data that the client has not let through.
        rest: Bytes,
        /// How long it may be waited for, once it has held something up.
        timeout: Option<Box<TransferTimeout>>,
    },
    /// The answer has been sent. What the request still sends is read for a while, because some
    /// clients drop the answer and report a broken connection when the stream is reset right behind
    /// it, as RFC 9113 §8.1 allows.
    Answered {
        /// How much more is read, in bytes.
        left: usize,
        /// Monotonic nanoseconds.
        until: u64,
    },
    /// The stream is being closed.
    Closing,
}

/// What a step has come to.
enum Step {
    /// The answer has been sent.
    Answered {
        cancelled: bool,
    },
    Reset(Reason),
    /// The request is not one.
    Malformed,
}

/// What a connection has for the streams that it serves.
pub(in crate::proxy) struct Tools<'c> {
    pub(in crate::proxy) worker: &'c Rc<Worker>,
    /// Responders that are free.
    pub(in crate::proxy) responders: &'c mut Vec<Responder>,
    /// Of the stream.
    pub(in crate::proxy) waker: &'c Waker,
}

impl Slot {
    /// A request has come, whose head is in the worker's block; it is to be [served](Slot::serve)
    /// at once. `ended`: it has no body.
    pub(in crate::proxy) fn new(
        worker: &Rc<Worker>,
        mut responder: Responder,
        ended: bool,
    ) -> Self {
        responder.ask(ended);
        Self { guard: Guard::new(worker), stage: Stage::Asked(responder), upload: None }
    }

    /// Takes a part of the request's body.
    pub(in crate::proxy) fn add(
        &mut self,
        sender: &mut Sender<'_>,
        data: &[u8],
        credit: Credit,
        ended: bool,
    ) {
        if let Stage::Answered { left, .. } = &mut self.stage {
            match left.checked_sub(data.len()) {
                Some(rest) => *left = rest,
                None => sender.reset(Reason::NO_ERROR),
            }
        }
        if let Some(upload) = &self.upload {
            upload.add(data, credit, ended);
        }
    }

    /// Ends the request's body with trailers.
    pub(in crate::proxy) fn end(&self, trailers: HeaderMap) {
        if let Some(upload) = &self.upload {
            upload.end(trailers);
        }
    }

    /// How many bytes of the request's body have come and were not taken.
    pub(in crate::proxy) fn held(&self) -> usize {
        self.upload.as_ref().map_or(0, Upload::held)
    }

    /// Whether an answer is being sent.
    pub(in crate::proxy) fn is_answering(&self) -> bool {
        matches!(self.stage, Stage::Answering { .. })
    }

    /// Until when what a request sends behind its answer is read, in monotonic nanoseconds.
    pub(in crate::proxy) fn reads_until(&self) -> Option<u64> {
        if let Stage::Answered { until, .. } = self.stage { Some(until) } else { None }
    }

    /// Until when the client is waited for that lets nothing of the answer through.
    pub(in crate::proxy) fn waits_until(&self) -> Option<Instant> {
        if let Stage::Answering { timeout: Some(timeout), .. } = &self.stage {
            timeout.ends()
        } else {
            None
        }
    }

    /// Gives up on a client that lets too little of the answer through.
    pub(in crate::proxy) fn give_up(&self, sender: &mut Sender<'_>) {
        self.blame_client();
        sender.reset(Reason::CANCEL);
    }

    /// Notes that an answer ends before its time because the client does not take it.
    pub(in crate::proxy) fn blame_client(&self) {
        if let Stage::Answering { body, .. } = &self.stage {
            body.give_up(Refusal::ClientTimeout);
        }
    }

    /// Goes on as far as possible. Returns whether there would be more to send if what is collected
    /// were sent.
    pub(in crate::proxy) fn serve(
        &mut self,
        sender: &mut Sender<'_>,
        tools: &mut Tools<'_>,
    ) -> bool {
        let mut more = false;
        let (worker, waker) = (tools.worker, tools.waker);
        let step = {
            let Self { guard, stage, upload } = self;
            if let Some(upload) = upload {
                upload.set_attended(true);
            }
            let mut cx = Context::from_waker(waker);
            let work = poll_fn(|cx| {
                if let Stage::Asked(responder) = stage {
                    let Advance { begun, answer } = responder.poll(cx);
                    if let Some(begun) = begun {
                        *upload = begun.upload;
                        if begun.length.is_some_and(|length| !sender.expect(length)) {
                            return Poll::Ready(Step::Malformed);
                        }
                    }
                    let Some(answer) = answer else { return Poll::Pending };
                    if let Stage::Asked(free) = std::mem::replace(stage, Stage::Closing) {
                        tools.responders.push(free);
                    }
                    let Ok(Response { head, body, .. }) = answer else {
                        return Poll::Ready(Step::Malformed);
                    };
                    if send_head(sender, worker, head, body.is_done()) {
                        return Poll::Ready(answered(body));
                    }
                    *stage = Stage::Answering { body, rest: Bytes::new(), timeout: None };
                }
                send(stage, sender, worker, &mut more, cx)
            });
            guard.poll(pin!(work), &mut cx)
        };
        match step {
            Poll::Ready(Some(Step::Answered { cancelled })) => {
                self.answered(sender, worker, cancelled)
            }
            Poll::Ready(Some(Step::Reset(reason))) => sender.reset(reason),
            Poll::Ready(Some(Step::Malformed)) => sender.refuse(),
            Poll::Ready(None) => sender.reset(Reason::CANCEL),
            Poll::Pending => {}
        }
        if let Some(upload) = &self.upload {
            upload.set_attended(false);
            // Behind the head of the answer it would be out of place.
            if let Stage::Asked(_) = self.stage
                && upload.take_continue()
            {
                sender.send_continue();
            }
        }
        more
    }

    fn answered(&mut self, sender: &mut Sender<'_>, worker: &Rc<Worker>, cancelled: bool) {
        self.stage = Stage::Closing;
        // Its grace is not for what is read behind the answer.
        self.guard = Guard::new(worker);
        if !sender.is_open() {
            return;
        }
        // A client that waits for `100 Continue` sends nothing.
        if self.upload.take().is_none_or(|upload| upload.awaits_continue()) {
            return sender.reset(Reason::NO_ERROR);
        }
        let time = if cancelled { CANCEL_GRACE } else { READ_ON_TIME };
        self.stage = Stage::Answered {
            left: READ_ON_BYTES,
            until: worker.recent().monotonic + time.as_nanos() as u64,
        };
    }
}

/// Sends an answer's head. Returns whether the answer ends with it.
fn send_head(sender: &mut Sender<'_>, worker: &Worker, head: ResponseHeader, ended: bool) -> bool {
    let mut fields = if let ResponseFields::Http2(fields) = head.fields {
        fields
    } else {
        HeaderBlock::default()
    };
    if !head.dated {
        worker.write_date(&mut fields);
    }
    if let Length::Exact(length) = head.length {
        fields.put("content-length", itoa::Buffer::new().format(length).as_bytes());
    }
    sender.send_head(head.status, &fields, ended);
    ended
}

/// Sends what can be sent of an answer's body. `more`: set where only what is collected is in the
/// way.
fn send(
    stage: &mut Stage,
    sender: &mut Sender<'_>,
    worker: &Worker,
    more: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Step> {
    let Stage::Answering { body, rest, timeout } = stage else { return Poll::Pending };
    if body.is_cancelled() {
        // What the client has not let through it need not get: a cut is not to wait for it.
        rest.clear();
    }
    loop {
        if sender.collected() >= FULL {
            *more = true;
            return Poll::Pending;
        }
        let room = sender.room();
        if !rest.is_empty() {
            if room == 0 {
                let timeout = timeout.get_or_insert_with(|| {
                    Box::new(TransferTimeout::new(&worker.current().site.server))
                });
                timeout.wait(|| worker.soon(Duration::ZERO));
                return Poll::Pending;
            }
            let part = rest.split_to(room.min(rest.len()));
            if let Some(timeout) = timeout {
                timeout.moved(part.len(), worker.soon(Duration::ZERO));
                body.note_taken();
            }
            let ended = rest.is_empty() && body.is_done();
            sender.send_data(&part, ended);
            if ended {
                return Poll::Ready(end(stage));
            }
            continue;
        }
        let mut buffer = worker.upstream_buffer();
        let most = room.clamp(LEAST, buffer.len());
        let data = match body.poll(cx, &mut buffer[..most]) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(Part::Buffered(range)))) if range.len() <= room => {
                let ended = body.is_done();
                sender.send_data(&buffer[range], ended);
                if ended {
                    return Poll::Ready(end(stage));
                }
                continue;
            }
            Poll::Ready(Some(Ok(Part::Buffered(range)))) => Bytes::copy_from_slice(&buffer[range]),
            Poll::Ready(Some(Ok(Part::Data(data)))) => data,
            Poll::Ready(Some(Ok(Part::Trailers(trailers)))) => {
                sender.send_trailers(&trailers);
                return Poll::Ready(end(stage));
            }
            Poll::Ready(None) => {
                sender.send_data(&[], true);
                return Poll::Ready(end(stage));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Step::Reset(reason(&error))),
        };
        *rest = data;
    }
}

fn end(stage: &mut Stage) -> Step {
    match std::mem::replace(stage, Stage::Closing) {
        Stage::Answering { body, .. } => answered(body),
        _ => Step::Answered { cancelled: false },
    }
}

fn answered(body: ResponseBody) -> Step {
    body.release();
    body.set_delivered();
    Step::Answered { cancelled: body.is_cancelled() }
}

/// What a stream is reset with because of this: what an upstream's stream was reset with, or a
/// fault of this side.
fn reason(error: &Broken) -> Reason {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
    while let Some(error) = cause {
        if let Some(reason) = error.downcast_ref::<h2::Error>().and_then(h2::Error::reason) {
            return Reason(reason.into());
        }
        cause = error.source();
    }
    Reason::INTERNAL_ERROR
}
