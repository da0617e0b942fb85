//! One stream of a client's HTTP/2 connection: a request is answered, the answer is sent as far as
//! the client lets it through.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use super::answer::{Answer, AnswerFields, AnswerHead, Length};
use super::body::{AnswerBody, Broken, Part};
use super::closing::{READ_ON_BYTES, READ_ON_TIME};
use super::deadline::Patience;
use super::handler::Connection;
use super::live::{GRACE, Guard};
use super::responder::{Mailbox, answer_all};
use super::upload::Upload;
use super::worker::Worker;
use crate::http2::{self, HeaderBlock, Reason};
use crate::policy::{Refusal, Sink as _};

/// What is collected before it is sent, in bytes: four TLS records (RFC 8446 §5.1).
pub(super) const FULL: usize = 64 * 1024;
/// The least that is read of an answer at once. What the client does not let through is kept.
const LEAST: usize = 256;

/// A place for streams.
pub(super) struct Slot {
    waker: Waker,
    mailbox: Rc<Mailbox>,
    /// None before the first request, and after one that was broken off.
    responder: Option<Pin<Box<dyn Future<Output = ()>>>>,
    guard: Guard,
    stage: Stage,
    /// The request's body, if it has one.
    upload: Option<Rc<Upload>>,
}

enum Stage {
    /// There is no stream.
    Free,
    /// The responder works.
    Asked,
    Answering {
        body: AnswerBody,
        /// Data that the client has not let through.
        rest: Bytes,
        /// How long it may be waited for, once it has held something up.
        patience: Option<Box<Patience>>,
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
}

/// What a step has come to.
enum Step {
    /// The answer has been sent.
    Answered {
        cut: bool,
    },
    Reset(Reason),
    /// The request is not one.
    Malformed,
}

impl Slot {
    pub(super) fn new(worker: &Rc<Worker>, waker: Waker) -> Self {
        let guard = Guard::new(worker);
        Self {
            waker,
            mailbox: Rc::default(),
            responder: None,
            guard,
            stage: Stage::Free,
            upload: None,
        }
    }

    /// A request has come, whose head is in the worker's block; it is to be [served](Slot::serve)
    /// at once. `ended`: it has no body.
    pub(super) fn begin(&mut self, connection: &Rc<Connection>, ended: bool) {
        self.guard = Guard::new(&connection.worker);
        self.stage = Stage::Asked;
        self.mailbox.asked.set(Some(ended));
        if self.responder.is_none() {
            self.responder = Some(Box::pin(answer_all(connection.clone(), self.mailbox.clone())));
        }
    }

    /// Takes a part of the request's body.
    pub(super) fn add(
        &mut self,
        http: &mut http2::Connection,
        place: usize,
        data: &[u8],
        ended: bool,
    ) {
        match (&mut self.stage, &self.upload) {
            (Stage::Answered { left, .. }, _) => {
                http.give_back(place, data.len());
                match left.checked_sub(data.len()) {
                    Some(rest) => *left = rest,
                    None => http.reset(place, Reason::NO_ERROR),
                }
                if !http.is_open(place) {
                    self.free();
                }
            }
            // Nobody reads it any more.
            (_, Some(upload)) if Rc::strong_count(upload) == 1 => {
                http.give_back(place, upload.break_off() + data.len())
            }
            (_, Some(upload)) => upload.add(data, ended),
            (_, None) => http.give_back(place, data.len()),
        }
    }

    /// Ends the request's body with trailers.
    pub(super) fn end(&mut self, http: &http2::Connection, place: usize, trailers: HeaderMap) {
        if let Some(upload) = &self.upload {
            upload.end(trailers);
        }
        if !http.is_open(place) {
            self.free();
        }
    }

    /// The stream was reset.
    pub(super) fn break_off(&mut self, http: &mut http2::Connection, place: usize) {
        if let Some(upload) = &self.upload {
            http.give_back(place, upload.break_off());
        }
        if let Stage::Asked = self.stage {
            self.responder = None;
            self.mailbox = Rc::default();
        }
        self.free();
    }

    fn free(&mut self) {
        self.stage = Stage::Free;
        self.upload = None;
    }

    /// Whether an answer is being sent.
    pub(super) fn is_answering(&self) -> bool {
        matches!(self.stage, Stage::Answering { .. })
    }

    /// Until when what a request sends behind its answer is read, in monotonic nanoseconds.
    pub(super) fn reads_until(&self) -> Option<u64> {
        if let Stage::Answered { until, .. } = self.stage { Some(until) } else { None }
    }

    /// Until when the client is waited for that lets nothing of the answer through.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        if let Stage::Answering { patience: Some(patience), .. } = &self.stage {
            patience.ends()
        } else {
            None
        }
    }

    /// Gives up on a client that lets too little of the answer through.
    pub(super) fn give_up(&mut self, http: &mut http2::Connection, place: usize) {
        self.blame_client();
        http.reset(place, Reason::CANCEL);
        self.break_off(http, place);
    }

    /// Notes that an answer ends before its time because the client does not take it.
    pub(super) fn blame_client(&self) {
        if let Stage::Answering { body, .. } = &self.stage {
            body.give_up(Refusal::ClientTimeout);
        }
    }

    /// Stops reading behind the answer.
    pub(super) fn stop_reading(&mut self, http: &mut http2::Connection, place: usize) {
        http.reset(place, Reason::NO_ERROR);
        self.free();
    }

    /// Goes on as far as possible. Returns whether there would be more to send if what is collected
    /// were sent.
    pub(super) fn serve(
        &mut self,
        http: &mut http2::Connection,
        place: usize,
        worker: &Rc<Worker>,
    ) -> bool {
        if matches!(self.stage, Stage::Free) {
            return false;
        }
        let mut more = false;
        let step = {
            let Self { waker, mailbox, responder, guard, stage, upload } = self;
            if let Some(upload) = upload {
                upload.set_attended(true);
            }
            let mut cx = Context::from_waker(waker);
            let work = poll_fn(|cx| match stage {
                Stage::Asked => {
                    let Some(work) = responder else { return Poll::Pending };
                    let _ = work.as_mut().poll(cx);
                    if let Some(body) = mailbox.upload.take() {
                        *upload = Some(body);
                    }
                    if let Some(length) = mailbox.length.take()
                        && !http.expect(place, length)
                    {
                        return Poll::Ready(Step::Malformed);
                    }
                    match mailbox.answer.take() {
                        None => Poll::Pending,
                        Some(Err(http2::Malformed)) => Poll::Ready(Step::Malformed),
                        Some(Ok(answer)) => {
                            let Answer { head, body, .. } = answer;
                            if send_head(http, place, worker, head, body.is_done()) {
                                return Poll::Ready(answered(body));
                            }
                            *stage = Stage::Answering { body, rest: Bytes::new(), patience: None };
                            send(stage, http, place, worker, &mut more, cx)
                        }
                    }
                }
                Stage::Answering { .. } => send(stage, http, place, worker, &mut more, cx),
                Stage::Free | Stage::Answered { .. } => Poll::Pending,
            });
            guard.poll(pin!(work), &mut cx)
        };
        match step {
            Poll::Ready(Some(Step::Answered { cut })) => self.answered(http, place, worker, cut),
            Poll::Ready(Some(Step::Reset(reason))) => {
                http.reset(place, reason);
                self.break_off(http, place);
            }
            Poll::Ready(Some(Step::Malformed)) => {
                http.refuse(place);
                self.break_off(http, place);
            }
            Poll::Ready(None) => {
                http.reset(place, Reason::CANCEL);
                self.break_off(http, place);
            }
            Poll::Pending => {}
        }
        if let Some(upload) = &self.upload {
            upload.set_attended(false);
            let (taken, wanted) = upload.take_news();
            http.passed_on(place, taken);
            // Behind the head of the answer it would be out of place.
            if wanted && matches!(self.stage, Stage::Asked) {
                http.send_continue(place);
            }
        }
        more
    }

    fn answered(
        &mut self,
        http: &mut http2::Connection,
        place: usize,
        worker: &Rc<Worker>,
        cut: bool,
    ) {
        self.stage = Stage::Free;
        // Its grace is not for what is read behind the answer.
        self.guard = Guard::new(worker);
        if !http.is_open(place) {
            return self.free();
        }
        // A client that waits for `100 Continue` sends nothing.
        let Some(upload) = self.upload.as_ref().filter(|upload| !upload.waits()) else {
            return self.stop_reading(http, place);
        };
        http.give_back(place, upload.break_off());
        let time = if cut { GRACE } else { READ_ON_TIME };
        self.stage = Stage::Answered {
            left: READ_ON_BYTES,
            until: worker.recent().monotonic + time.as_nanos() as u64,
        };
    }
}

/// Sends an answer's head. Returns whether the answer ends with it.
fn send_head(
    http: &mut http2::Connection,
    place: usize,
    worker: &Worker,
    head: AnswerHead,
    ended: bool,
) -> bool {
    let mut fields =
        if let AnswerFields::Http2(fields) = head.fields { fields } else { HeaderBlock::default() };
    if !head.dated {
        worker.write_date(&mut fields);
    }
    if let Length::Exact(length) = head.length {
        fields.put("content-length", itoa::Buffer::new().format(length).as_bytes());
    }
    http.send_head(place, head.status, &fields, ended);
    ended
}

/// Sends what can be sent of an answer's body. `more`: set where only what is collected is in the
/// way.
fn send(
    stage: &mut Stage,
    http: &mut http2::Connection,
    place: usize,
    worker: &Worker,
    more: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Step> {
    let Stage::Answering { body, rest, patience } = stage else { return Poll::Pending };
    if body.is_cut() {
        // What the client has not let through it need not get: a cut is not to wait for it.
        rest.clear();
    }
    loop {
        if http.out.len() >= FULL {
            *more = true;
            return Poll::Pending;
        }
        let room = http.room(place);
        if !rest.is_empty() {
            if room == 0 {
                let patience = patience
                    .get_or_insert_with(|| Box::new(Patience::new(&worker.current().site.server)));
                patience.wait(|| worker.soon(Duration::ZERO));
                return Poll::Pending;
            }
            let part = rest.split_to(room.min(rest.len()));
            if let Some(patience) = patience {
                patience.moved(part.len(), worker.soon(Duration::ZERO));
                body.note_taken();
            }
            let ended = rest.is_empty() && body.is_done();
            http.send_data(place, &part, ended);
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
                http.send_data(place, &buffer[range], ended);
                if ended {
                    return Poll::Ready(end(stage));
                }
                continue;
            }
            Poll::Ready(Some(Ok(Part::Buffered(range)))) => Bytes::copy_from_slice(&buffer[range]),
            Poll::Ready(Some(Ok(Part::Data(data)))) => data,
            Poll::Ready(Some(Ok(Part::Trailers(trailers)))) => {
                http.send_trailers(place, &trailers);
                return Poll::Ready(end(stage));
            }
            Poll::Ready(None) => {
                http.send_data(place, &[], true);
                return Poll::Ready(end(stage));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Step::Reset(reason(&error))),
        };
        *rest = data;
    }
}

fn end(stage: &mut Stage) -> Step {
    match std::mem::replace(stage, Stage::Free) {
        Stage::Answering { body, .. } => answered(body),
        _ => Step::Answered { cut: false },
    }
}

fn answered(body: AnswerBody) -> Step {
    body.release();
    Step::Answered { cut: body.is_cut() }
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
