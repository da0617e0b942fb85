//! A client's HTTP/2 connection: hyper is the engine.

use super::answer::{Answer, AnswerFields, Length};
use super::body::{ClientBody, StreamBody};
use super::deadline::Deadline;
use super::handler::{Connection, Outcome, judge, respond};
use super::live::Guard;
use super::stream::Stream;
use super::worker::Worker;
use crate::policy::{Fields, Head, Peer, Target};
use crate::state::Phase;
use http::{HeaderValue, Request, Response, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a client may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection that is to end may stay without a request in flight: for what is still to be written.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How much of a refused request's body is read, and for how long.
pub(super) const READ_ON_BYTES: usize = 256 * 1024;
pub(super) const READ_ON_TIME: Duration = Duration::from_secs(5);

/// Spawns on the worker's own thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// The same for the streams of clients, each under a guard.
#[derive(Clone)]
struct StreamExecutor(Rc<Worker>);

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, stream: F) {
        let mut guard = Guard::new(&self.0);
        tokio::task::spawn_local(async move {
            // Dropped, a stream that has not ended is reset.
            guard.run(pin!(stream)).await;
        });
    }
}

/// Serves a connection until it closes or the gateway has drained.
pub(super) async fn serve(worker: &Rc<Worker>, stream: Stream, peer: Peer) {
    let connection = Connection::new(worker, peer);
    let served = connection.clone();
    let service = service_fn(move |request| answer(served.clone(), request));
    let (quiet, serving) = {
        let current = worker.current();
        let server = &current.site.server;
        let serving = http2::Builder::new(StreamExecutor(worker.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(server.max_streams)
            .max_header_list_size(u32::try_from(server.max_header_size).unwrap_or(u32::MAX))
            // Finds out about clients that are gone without a word while a request is in flight.
            .keep_alive_interval(server.idle_timeout)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        (server.idle_timeout, serving)
    };
    let mut serving = pin!(serving);
    let mut guard = Guard::new(worker);
    tokio::select! {
        biased;
        _ = guard.run(serving.as_mut()) => return,
        () = must_end(&connection, quiet) => {}
    }
    serving.as_mut().graceful_shutdown();
    connection.restart_quiet();
    tokio::select! {
        biased;
        _ = guard.run(serving.as_mut()) => {}
        () = connection.quiet_for(LAST_WORDS) => {}
    }
}

/// Resolves when the gateway drains, or when the connection has been without a request for this long.
async fn must_end(connection: &Connection, quiet: Duration) {
    let mut phase = connection.worker.shared().phase();
    tokio::select! {
        _ = phase.wait_for(|phase| *phase == Phase::Draining) => {}
        () = connection.quiet_for(quiet) => {}
    }
}

/// Answers one request.
async fn answer(connection: Rc<Connection>, request: Request<Incoming>) -> Result<Response<StreamBody>, Infallible> {
    let worker = &connection.worker;
    let now = worker.now();
    let current = worker.current();
    let (parts, incoming) = request.into_parts();
    let length = match incoming.size_hint().exact() {
        _ if incoming.is_end_stream() && !parts.headers.contains_key(header::CONTENT_LENGTH) => Length::Absent,
        Some(length) => Length::Exact(length),
        None => Length::Unknown,
    };
    let fields = Fields::from(&parts.headers);
    let head = Head { method: &parts.method, target: Target::from(&parts.uri), fields: &fields, peer: &connection.peer };
    let judged = judge(&connection, &current, &head, parts.version, Ok(length), now);
    drop(fields);
    let mut body = ClientBody::Http2(incoming);
    if let Outcome::Refused(_) = judged.outcome {
        // A client that waits for `100 Continue` sends nothing, and reading would tell it to.
        if !parts.headers.contains_key(header::EXPECT) {
            read_on(body, READ_ON_TIME);
        }
        body = ClientBody::None;
    }
    drop(parts);
    let mut deadline = Deadline::new(Instant::now() + Duration::from_secs(3600));
    let answer = respond(worker, &current, judged, body, &mut deadline).await;
    Ok(finish(answer, worker))
}

/// The answer as hyper wants it.
fn finish(answer: Answer, worker: &Rc<Worker>) -> Response<StreamBody> {
    let Answer { head, body, .. } = answer;
    let mut response = Response::new(StreamBody { body, worker: worker.clone() });
    *response.status_mut() = head.status;
    if let AnswerFields::Http2(fields) = head.fields {
        *response.headers_mut() = fields;
    }
    if let Length::Exact(length) = head.length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// Reads for a while what a request that is over still sends. Unread, the stream would be reset right behind the answer, as
/// RFC 9113 §8.1 allows; some clients then drop the answer and report a broken connection.
pub(super) fn read_on(mut body: ClientBody, time: Duration) {
    if body.is_done() {
        return;
    }
    let reading = async move {
        let mut left = READ_ON_BYTES;
        while let Some(Ok(frame)) = poll_fn(|cx| body.poll(cx)).await {
            let length = frame.data_ref().map_or(0, bytes::Bytes::len);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    };
    tokio::task::spawn_local(tokio::time::timeout(time, reading));
}
