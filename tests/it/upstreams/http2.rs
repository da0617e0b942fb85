//! Failing upstreams that speak HTTP/2.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};

use super::{GET, POST, Seen, ask, assert_back_to, figure, impatient};
use crate::harness::{Message, Request, wait_for};

/// The announced size of an upload, in bytes.
const UPLOAD: usize = 256 * 1024 * 1024;

pub(super) type Respond = SendResponse<Bytes>;

/// Starts an upstream that calls `answer` for each request, once it has been received completely.
pub(super) fn upstream(answer: impl AsyncFn(Respond) + Send + Sync + 'static) -> String {
    upstream_behind(0, read_whole(answer))
}

fn read_whole(
    answer: impl AsyncFn(Respond) + Send + Sync + 'static,
) -> impl AsyncFn(RecvStream, Respond) + Send + Sync + 'static {
    async move |mut body, respond| {
        while let Some(Ok(_)) = body.data().await {}
        answer(respond).await;
    }
}

/// Starts an upstream that calls `answer` for each request, whose body may be incomplete. It
/// accepts `silent` connections first, on which it sends nothing.
fn upstream_behind(
    silent: usize,
    answer: impl AsyncFn(RecvStream, Respond) + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        let _silent: Vec<_> = listener.incoming().take(silent).collect();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::task::spawn_local(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let answer = answer.clone();
                        tokio::task::spawn_local(async move {
                            answer(request.into_body(), respond).await;
                        });
                    }
                });
            }
        });
    });
    url
}

/// Begins a response, with this `content-length` if there is one.
pub(super) fn begin(respond: &mut Respond, length: Option<u64>) -> h2::SendStream<Bytes> {
    let mut head = http::Response::builder().status(200);
    if let Some(length) = length {
        head = head.header("content-length", length);
    }
    let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
    stream.send_data(Bytes::from_static(b"half"), false).unwrap();
    stream
}

#[test]
fn answer_that_is_reset_in_its_middle_never_looks_whole() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::REFUSED_STREAM]
    {
        for length in [None, Some(9)] {
            let url = upstream(async move |mut respond| {
                let mut stream = begin(&mut respond, length);
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.send_reset(reason);
            });
            let gateway = impatient(&url).start();
            for request in [GET, POST] {
                let (seen, all) = ask(&gateway, request);
                assert_eq!(seen, Seen::Torn, "{reason:?} of {length:?}: {all}");
            }
            wait_for("nothing in flight", || {
                (figure(&gateway, "keygate_requests_in_flight") == 0.0).then_some(())
            });
        }
    }
}

#[test]
fn answer_that_comes_before_the_whole_request_is_whole_though_the_rest_is_not_wanted() {
    let url = upstream(async |mut respond| {
        let mut stream = begin(&mut respond, Some(8));
        stream.send_data(Bytes::from_static(b"half"), true).unwrap();
    });
    let gateway = impatient(&url).start();
    assert_eq!(ask(&gateway, GET).0, Seen::Status(200));
}

#[test]
fn answer_that_is_reset_before_it_begins_is_a_502_and_one_that_never_begins_a_504() {
    let resets = upstream(async |mut respond| respond.send_reset(Reason::INTERNAL_ERROR));
    let hangs = upstream(async |_respond| std::future::pending().await);
    for (url, status) in [(resets, 502), (hangs, 504)] {
        let gateway = impatient(&url).start();
        for request in [GET, POST] {
            let (seen, all) = ask(&gateway, request);
            assert_eq!(seen, Seen::Status(status), "{all}");
        }
    }
}

#[test]
fn answer_that_stops_in_its_middle_is_broken_off_and_the_stream_with_it() {
    let (tell, told) = std::sync::mpsc::channel();
    let url = upstream(async move |mut respond| {
        let mut stream = begin(&mut respond, None);
        let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        let _ = tell.send(reset.is_ok());
    });
    let gateway = impatient(&url).start();
    assert_eq!(ask(&gateway, GET).0, Seen::Torn);
    assert!(told.recv_timeout(crate::harness::PATIENCE).expect("the upstream is told"));
}

#[test]
fn connection_on_which_an_answer_was_waited_for_in_vain_is_not_used_again() {
    let url = upstream_behind(
        1,
        read_whole(async |mut respond| {
            let mut stream = begin(&mut respond, None);
            stream.send_data(Bytes::new(), true).unwrap();
        }),
    );
    let gateway = impatient(&url).start();
    let mut client = gateway.client();
    assert_eq!(client.send(&Request::get("/x")).status(), 504);
    let begun = Instant::now();
    assert_eq!(client.send(&Request::get("/x")).text(), "half");
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[test]
fn unused_connection_is_closed_but_not_one_that_is_answering() {
    let url = upstream(async |mut respond| {
        let mut stream = begin(&mut respond, None);
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            stream.send_data(Bytes::from_static(b"more"), false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
    });
    let setup = impatient(&url).table("");
    let gateway = setup.start();
    gateway.edit(|toml| *toml = toml.replace("keep_alive = \"2s\"", "keep_alive = \"300ms\""));
    wait_for("the edit is in force", || {
        gateway
            .admin("/metrics")
            .text()
            .contains("keygate_reloads_total{result=\"success\"} 1")
            .then_some(())
    });
    let descriptors = gateway.descriptors_at_rest();
    let (seen, all) = ask(&gateway, GET);
    assert_eq!((seen, all.matches("more").count()), (Seen::Status(200), 4), "{all}");
    assert_back_to(&gateway, descriptors);
}

/// The response has no content (RFC 9110 §6.4.1), whatever the upstream sends after such a head.
#[test]
fn answer_that_has_no_content_has_none_for_clients_of_either_protocol() {
    for (method, status) in [("GET", 204), ("GET", 304), ("HEAD", 200), ("GET", 205)] {
        let url = upstream(async move |mut respond| {
            let head = http::Response::builder().status(status).header("x-asked", method);
            let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
            let _ = stream.send_data(Bytes::from_static(b"content"), true);
        });
        let gateway = impatient(&url).start();
        // RFC 9112 §6.3 frames a 205 response like any other.
        let content: &[u8] = if status == 205 { b"content" } else { b"" };
        let mut client = gateway.client();
        for _ in 0..2 {
            let answer = client.send(&Request::new(method, "/x"));
            assert_eq!((answer.status(), &*answer.body), (status, content), "{method}: {answer:?}");
            assert_eq!(answer.header("x-asked"), Some(method));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (code, came) = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
            let (client, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let request = http::Request::builder().method(method).uri("http://a/x");
            let mut client = client.ready().await.unwrap();
            let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
            let answer = answer.await.unwrap();
            let (code, mut body, mut came) = (answer.status(), answer.into_body(), Vec::new());
            while let Some(data) = body.data().await {
                came.extend(data.expect("no error"));
            }
            (code, came)
        });
        assert_eq!((code.as_u16(), &*came), (status, content), "{method} over HTTP/2");
        wait_for("three successes", || {
            (gateway.logged("outcome", "forwarded").len() == 3).then_some(())
        });
    }
}

/// The upstream responds at once and still reads the body.
#[test]
fn upload_ends_with_an_early_answer_that_has_no_content() {
    for (method, status, ended) in
        [("POST", 204, true), ("POST", 204, false), ("POST", 304, true), ("HEAD", 200, true)]
    {
        let (tell, taken) = std::sync::mpsc::channel();
        let url = upstream_behind(0, async move |mut body: RecvStream, mut respond: Respond| {
            let head = http::Response::builder().status(status);
            let _stream = respond.send_response(head.body(()).unwrap(), ended).unwrap();
            let mut bytes = 0;
            while let Some(Ok(data)) = body.data().await {
                bytes += data.len();
                let _ = body.flow_control().release_capacity(data.len());
            }
            let _ = tell.send(bytes);
        });
        let gateway = impatient(&url).start();
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        let head = format!("{method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut upload = stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            let part = [b'x'; 64 * 1024];
            (0..UPLOAD / part.len()).take_while(|_| upload.write_all(&part).is_ok()).count()
        });
        let answer =
            Message::read(&mut BufReader::new(&stream), |_| false).unwrap().expect("an answer");
        assert_eq!(answer.status(), status);
        let taken = taken.recv_timeout(crate::harness::PATIENCE).expect("the upload ends");
        assert!(taken < UPLOAD / 4, "{method} {status}: the upstream took {taken} bytes");
        drop(stream);
        sending.join().unwrap();
        wait_for("nothing in flight", || {
            (figure(&gateway, "keygate_requests_in_flight") == 0.0).then_some(())
        });
    }
}
