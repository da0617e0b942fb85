//! One stream of a client's HTTP/2 connection: a request is answered, and the response is sent as
//! far as flow control allows.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use crate::http2::{Credit, HeaderBlock, Reason, Sender};
use crate::policy::{Refusal, Sink as _};
use crate::proxy::downstream::http2::responder::Responder;
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
use crate::proxy::worker::stream::FULL;

/// Fewest bytes of a response that are read at once. Bytes beyond the window are kept.
const LEAST: usize = 256;

/// State of an open stream.
pub(in crate::proxy) struct Slot {
    guard: Guard,
    stage: Stage,
    /// The request's body, until the response has been sent.
    upload: Option<Upload>,
}

/// Stage of a request.
enum Stage {
    /// The responder is working on a response.
    Asked(Responder),
    /// The response is being sent.
    Responding {
        body: ResponseBody,
        /// Data that the client's window does not allow yet.
        rest: Bytes,
        /// Timeout for the client to enlarge the window. `None` until the window has first been
        /// exhausted.
        timeout: Option<Box<TransferTimeout>>,
    },
    /// The response has been sent. The rest of the request is read for a while. RFC 9113 §8.1
    /// allows a reset right after the response, but some clients then drop the response and report
    /// a broken connection.
    Responded {
        /// Number of bytes that are still read.
        left: usize,
        /// When reading stops, in monotonic nanoseconds.
        until: u64,
    },
    /// The stream is being closed.
    Closing,
}

/// Result of serving a stream.
enum Step {
    /// The response has been sent.
    Responded {
        cancelled: bool,
    },
    Reset(Reason),
    /// The request is malformed.
    Malformed,
}

/// Resources of the connection that streams are served with.
pub(in crate::proxy) struct Tools<'c> {
    pub(in crate::proxy) worker: &'c Rc<Worker>,
    /// Idle responders.
    pub(in crate::proxy) responders: &'c mut Vec<Responder>,
    /// Waker of the stream.
    pub(in crate::proxy) waker: &'c Waker,
}

impl Slot {
    /// Starts a request, whose header block is in the worker's buffer. [Serve](Slot::serve) it at
    /// once. `ended`: the request has no body.
    pub(in crate::proxy) fn new(
        worker: &Rc<Worker>,
        mut responder: Responder,
        ended: bool,
    ) -> Self {
        responder.ask(ended);
        Self { guard: Guard::new(worker), stage: Stage::Asked(responder), upload: None }
    }

    /// Takes received data of the request's body, with its flow-control credit. `ended`: it was the
    /// last.
    pub(in crate::proxy) fn add(
        &mut self,
        sender: &mut Sender<'_>,
        data: &[u8],
        credit: Credit,
        ended: bool,
    ) {
        if let Stage::Responded { left, .. } = &mut self.stage {
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

    /// Returns the number of received body bytes that the upstream has not taken.
    pub(in crate::proxy) fn held(&self) -> usize {
        self.upload.as_ref().map_or(0, Upload::held)
    }

    /// Returns whether a response is being sent.
    pub(in crate::proxy) fn is_responding(&self) -> bool {
        matches!(self.stage, Stage::Responding { .. })
    }

    /// Returns until when the rest of an answered request is read, in monotonic nanoseconds.
    pub(in crate::proxy) fn reads_until(&self) -> Option<u64> {
        if let Stage::Responded { until, .. } = self.stage { Some(until) } else { None }
    }

    /// Returns when the timeout for the client to enlarge the window expires.
    pub(in crate::proxy) fn waits_until(&self) -> Option<Instant> {
        if let Stage::Responding { timeout: Some(timeout), .. } = &self.stage {
            timeout.ends()
        } else {
            None
        }
    }

    /// Resets the stream of a client that takes the response too slowly.
    pub(in crate::proxy) fn give_up(&self, sender: &mut Sender<'_>) {
        self.note_client_timeout();
        sender.reset(Reason::CANCEL);
    }

    /// Notes that a response is truncated because the client does not take it.
    pub(in crate::proxy) fn note_client_timeout(&self) {
        if let Stage::Responding { body, .. } = &self.stage {
            body.give_up(Refusal::ClientTimeout);
        }
    }

    /// Makes as much progress as possible. Returns whether there is more to send once the output
    /// buffer has been sent.
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
                    let mut begun = None;
                    let response = responder.poll(cx, &mut begun);
                    if let Some(begun) = begun {
                        *upload = begun.upload;
                        if begun.length.is_some_and(|length| !sender.expect(length)) {
                            return Poll::Ready(Step::Malformed);
                        }
                    }
                    let response = ready!(response);
                    if let Stage::Asked(free) = std::mem::replace(stage, Stage::Closing) {
                        tools.responders.push(free);
                    }
                    let Ok(Response { head, body, .. }) = response else {
                        return Poll::Ready(Step::Malformed);
                    };
                    if send_head(sender, worker, head, body.is_done()) {
                        return Poll::Ready(responded(body));
                    }
                    *stage = Stage::Responding { body, rest: Bytes::new(), timeout: None };
                }
                send(stage, sender, worker, &mut more, cx)
            });
            guard.poll(pin!(work), &mut cx)
        };
        match step {
            Poll::Ready(Some(Step::Responded { cancelled })) => {
                self.responded(sender, worker, cancelled)
            }
            Poll::Ready(Some(Step::Reset(reason))) => sender.reset(reason),
            Poll::Ready(Some(Step::Malformed)) => sender.refuse(),
            Poll::Ready(None) => sender.reset(Reason::CANCEL),
            Poll::Pending => {}
        }
        if let Some(upload) = &self.upload {
            upload.set_attended(false);
            // `100 Continue` is not allowed after the head of the response.
            if let Stage::Asked(_) = self.stage
                && upload.take_continue()
            {
                sender.send_continue();
            }
        }
        more
    }

    /// Enters the stage after the response.
    fn responded(&mut self, sender: &mut Sender<'_>, worker: &Rc<Worker>, cancelled: bool) {
        self.stage = Stage::Closing;
        // The guard's grace period does not apply to reading after the response.
        self.guard = Guard::new(worker);
        if !sender.is_open() {
            return;
        }
        // A client that waits for `100 Continue` sends nothing.
        if self.upload.take().is_none_or(|upload| upload.awaits_continue()) {
            return sender.reset(Reason::NO_ERROR);
        }
        let time = if cancelled { CANCEL_GRACE } else { READ_ON_TIME };
        self.stage = Stage::Responded {
            left: READ_ON_BYTES,
            until: worker.recent().monotonic + time.as_nanos() as u64,
        };
    }
}

/// Sends a response head. Returns whether the response ends with it.
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

/// Sends as much of a response body as possible. Sets `more` if only the full output buffer
/// prevents more.
// Longer than 60 lines: one loop over what may come next of a body.
fn send(
    stage: &mut Stage,
    sender: &mut Sender<'_>,
    worker: &Worker,
    more: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Step> {
    let Stage::Responding { body, rest, timeout } = stage else { return Poll::Pending };
    if body.is_cancelled() {
        // Data beyond the client's window is discarded: a cancellation does not wait for the
        // client.
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
                    Box::new(TransferTimeout::new(&worker.current().runtime.server))
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
        Stage::Responding { body, .. } => responded(body),
        _ => Step::Responded { cancelled: false },
    }
}

fn responded(body: ResponseBody) -> Step {
    body.release();
    body.set_delivered();
    Step::Responded { cancelled: body.is_cancelled() }
}

/// Returns the code that a stream is reset with after `error`: the code that the upstream's stream
/// was reset with, or INTERNAL_ERROR.
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
