//! Peers that truncate messages, send them out of turn, or send what a careless parser misreads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::harness::{Answer, Gateway, PATIENCE, Upstream, upstream_after_head, wait_for};

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Starts a gateway with an API that admits GET and POST without a key.
fn open(url: &str) -> Gateway {
    Gateway::in_front_of_url(url).api("public = [\"GET /**\", \"POST /**\"]").start()
}

/// Begins the response at once, and ends it when the request has ended.
fn answer_early(mut stream: BufReader<TcpStream>) {
    stream
        .get_mut()
        .write_all(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
        )
        .unwrap();
    let mut body = Vec::new();
    while !body.ends_with(LAST_CHUNK) {
        let come = stream.fill_buf().unwrap_or_default();
        if come.is_empty() {
            return;
        }
        body.extend_from_slice(come);
        let read = come.len();
        stream.consume(read);
    }
    let _ = stream.get_mut().write_all(LAST_CHUNK);
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends the head of a request with these header lines. Its body is sent separately.
fn post(stream: &mut TcpStream, lines: &str) {
    stream.write_all(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes()).unwrap();
}

fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut come = Vec::new();
    while !come.ends_with(end) {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&come));
        come.push(byte[0]);
    }
}

#[track_caller]
fn assert_nothing_in_flight(gateway: &Gateway) {
    wait_for("nothing in flight", || {
        gateway.admin("/metrics").text().contains("\nkeygate_requests_in_flight 0\n").then_some(())
    });
}

#[test]
fn what_has_come_of_an_answer_that_breaks_off_is_passed_on_without_an_end() {
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for broken in [chunks.to_owned(), format!("{chunks}zz\r\n")] {
        let upstream = Upstream::answering(move |_| Answer::raw(broken.clone()).then_close());
        let gateway = open(&upstream.url());
        let mut stream = connect(&gateway);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n5\r\nhello\r\n"),
            "{answer:?}"
        );
        assert_nothing_in_flight(&gateway);
    }
}

#[test]
fn nothing_behind_a_malformed_body_is_taken_for_a_request() {
    let gateway = open(&upstream_after_head(answer_only_whole_requests));
    let mut stream = connect(&gateway);
    post(&mut stream, &format!("Expect: 100-continue\r\n{CHUNKED}"));
    read_until(&mut stream, b"100 Continue\r\n\r\n");
    stream.write_all(b"X\r\n").unwrap();
    read_until(&mut stream, b"HTTP/1.1 400");
    let _ = stream.write_all(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut rest = String::new();
    let _ = stream.read_to_string(&mut rest);
    assert!(rest.contains("\r\nconnection: close\r\n") && !rest.contains("HTTP/1.1 "), "{rest:?}");
}

fn answer_only_whole_requests(mut stream: BufReader<TcpStream>) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn end_of_a_body_reaches_an_upstream_that_has_begun_to_answer() {
    let gateway = open(&upstream_after_head(answer_early));
    // Many small chunks at once force the gateway to pause. The number varies, so that it pauses at
    // different positions.
    for chunks in 100..140 {
        let mut stream = connect(&gateway);
        post(&mut stream, &format!("{CHUNKED}Connection: close\r\n"));
        read_until(&mut stream, b"hi\r\n");
        stream.write_all(&[b"1\r\nx\r\n".repeat(chunks), LAST_CHUNK.to_vec()].concat()).unwrap();
        read_until(&mut stream, LAST_CHUNK);
    }
}

#[test]
fn client_that_leaves_in_the_middle_of_its_body_is_noticed_though_the_answer_has_begun() {
    let gateway = open(&upstream_after_head(answer_early));
    let mut stream = connect(&gateway);
    post(&mut stream, CHUNKED);
    read_until(&mut stream, b"hi\r\n");
    drop(stream);
    assert_nothing_in_flight(&gateway);
}

#[test]
fn body_is_passed_on_while_its_client_does_not_read_the_answer_yet() {
    let (sent, answered) = (48 << 20, 48 << 20);
    let gateway = open(&upstream_after_head(move |mut stream| {
        let mut out = stream.get_ref().try_clone().unwrap();
        let answering = std::thread::spawn(move || {
            let _ = write!(out, "HTTP/1.1 200 OK\r\ncontent-length: {answered}\r\n\r\n");
            let _ = out.write_all(&vec![b'y'; answered]);
        });
        let _ = std::io::copy(&mut stream.by_ref().take(sent), &mut std::io::sink());
        answering.join().unwrap();
    }));
    let mut stream = connect(&gateway);
    post(&mut stream, &format!("Content-Length: {sent}\r\nConnection: close\r\n"));
    stream.write_all(&vec![b'x'; usize::try_from(sent).unwrap()]).expect("all of it is taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > answered, "{}", answer.len());
}

/// Starts an HTTP/2 upstream that calls `answer` for each complete request. If `answer` returns the
/// stream, the request stays unanswered. Returns the URL, and the count of unanswered streams that
/// have ended.
pub(crate) fn http2_upstream(
    answer: impl Fn(h2::server::SendResponse<Bytes>) -> Option<h2::server::SendResponse<Bytes>>
    + Send
    + Sync
    + 'static,
) -> (String, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    let (resets, answer) = (Arc::new(Mutex::new(0)), Arc::new(answer));
    let seen = resets.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let (seen, answer) = (seen.clone(), answer.clone());
                        tokio::spawn(async move {
                            let mut body = request.into_body();
                            while let Some(Ok(_)) = body.data().await {}
                            if let Some(mut unanswered) = answer(respond) {
                                let _ = std::future::poll_fn(|cx| unanswered.poll_reset(cx)).await;
                                *seen.lock().unwrap() += 1;
                            }
                        });
                    }
                });
            }
        });
    });
    (url, resets)
}

#[test]
fn content_that_an_http2_upstream_sends_where_none_may_be_is_no_answer_to_the_next_request() {
    for (status, method) in [(204, "GET"), (304, "GET"), (200, "HEAD")] {
        let (url, _) = http2_upstream(move |mut respond| {
            let evil = Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
            let head = http::Response::builder().status(status).body(()).unwrap();
            let _ = respond
                .send_response(head, false)
                .and_then(|mut stream| stream.send_data(evil, true));
            None
        });
        let gateway = open(&url);
        let mut stream = connect(&gateway);
        let both = format!(
            "{method} / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\
                Connection: close\r\n\r\n"
        );
        stream.write_all(both.as_bytes()).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        let first = answers.split("\r\n\r\n").nth(1).unwrap_or_default();
        assert!(
            answers.starts_with(&format!("HTTP/1.1 {status}"))
                && !first.contains("evil")
                && !first.contains("content-length: 4\r\n"),
            "{answers}"
        );
    }
}

#[test]
fn client_that_leaves_an_http2_upstream_thinking_is_noticed_behind_a_body_too() {
    let (tell, told) = std::sync::mpsc::channel();
    let (url, resets) = http2_upstream(move |respond| {
        tell.send(()).unwrap();
        Some(respond)
    });
    let gateway = open(&url);
    let mut stream = connect(&gateway);
    post(&mut stream, "Content-Length: 10\r\n");
    stream.write_all(b"helloworld").unwrap();
    told.recv_timeout(PATIENCE).expect("the whole request");
    drop(stream);
    assert_nothing_in_flight(&gateway);
    wait_for("the upstream is told", || (*resets.lock().unwrap() == 1).then_some(()));
}

#[tokio::test]
async fn body_that_an_http2_client_cancels_does_not_look_whole() {
    let (tell, told) = std::sync::mpsc::channel();
    let url = upstream_after_head(move |mut stream| {
        let mut body = vec![0; 10];
        stream.read_exact(&mut body).unwrap();
        tell.send(Vec::new()).unwrap();
        body.clear();
        let _ = stream.read_to_end(&mut body);
        tell.send(body).unwrap();
    });
    let gateway = open(&url);
    let stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{}/", gateway.address())).body(()).unwrap();
    let (_answer, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let told = tokio::task::spawn_blocking(move || {
        told.recv_timeout(PATIENCE).expect("the beginning");
        told
    });
    let told = told.await.unwrap();
    body.send_reset(h2::Reason::CANCEL);
    let rest = tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE).expect("the end"))
        .await
        .unwrap();
    assert_eq!(rest, b"", "nothing that ends the body");
}

#[test]
fn malformed_body_is_its_clients_fault_in_front_of_an_http2_upstream_too() {
    let (url, _) = http2_upstream(Some);
    let gateway = open(&url);
    for body in [
        "x\r\n",
        "5\r\nhellox\r\n",
        "5\r\nhello\r\n0x0\r\n\r\n",
        "5\r\nhello\r\n0\r\nno field\r\n\r\n",
    ] {
        let mut stream = connect(&gateway);
        post(&mut stream, CHUNKED);
        stream.write_all(body.as_bytes()).unwrap();
        read_until(&mut stream, b"HTTP/1.1 400");
    }
    assert_nothing_in_flight(&gateway);
}
