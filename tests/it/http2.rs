//! HTTP/2 clients: those that use its features, and those that abuse them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, StatusCode};

use crate::harness::{Answer, Gateway, Key, PATIENCE, Upstream, wait_for};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The header block of `GET http://a/`, and the same with an upper-case letter in a field name.
const GET: &[u8] = b"\x82\x86\x84\x41\x01a";
const MALFORMED: &[u8] = b"\x82\x86\x84\x41\x01a\x00\x01X\x00";

fn open(upstream: &Upstream) -> (Gateway, Key) {
    let key = Key::live("key_crm").scopes(&["*"]);
    (Gateway::in_front_of(upstream).server("max_header_size = \"8KiB\"").key(&key).start(), key)
}

async fn connect(gateway: &Gateway) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (client, connection) =
        builder.initial_connection_window_size(1 << 24).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

fn request(method: &str, path: &str, key: &Key) -> http::request::Builder {
    let request = Request::builder().method(method).uri(format!("http://desk.example{path}"));
    request.header("authorization", format!("Bearer {}", key.text))
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

async fn whole(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut whole = Vec::new();
    while let Some(data) = within(body.data()).await {
        let data = data?;
        body.flow_control().release_capacity(data.len()).unwrap();
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// Returns the type, stream and payload of the next frame, or `None` at the end.
fn read_frame(stream: &mut TcpStream) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    match stream.read_exact(&mut head) {
        Err(error)
            if error.kind() == ErrorKind::UnexpectedEof
                || error.kind() == ErrorKind::ConnectionReset =>
        {
            return None;
        }
        outcome => outcome.unwrap(),
    }
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).unwrap();
    Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}

/// Encodes a field of a header block.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, length(name)][..], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

fn raw(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(PREFACE).unwrap();
    stream
}

#[tokio::test]
async fn upload_larger_than_all_windows_arrives_with_its_trailers() {
    let upstream = Upstream::answering(|request| {
        Answer::new("200 OK", &[], format!("{}", request.body.len()).as_bytes())
    });
    let (gateway, key) = open(&upstream);
    let client = connect(&gateway).await;
    let (answer, mut upload) = client
        .ready()
        .await
        .unwrap()
        .send_request(request("POST", "/x", &key).header("te", "trailers").body(()).unwrap(), false)
        .unwrap();
    let piece = Bytes::from(vec![7; 100_000]);
    for _ in 0..40 {
        upload.reserve_capacity(piece.len());
        let mut left = piece.clone();
        while !left.is_empty() {
            let room =
                within(std::future::poll_fn(|cx| upload.poll_capacity(cx))).await.unwrap().unwrap();
            upload.send_data(left.split_to(room.min(left.len())), false).unwrap();
        }
    }
    upload
        .send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]))
        .unwrap();
    let answer = within(answer).await.unwrap();
    assert_eq!(whole(answer.into_body()).await.unwrap(), b"4000000");
    assert_eq!(upstream.last().trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[tokio::test]
async fn stream_that_is_not_read_holds_up_no_other() {
    let upstream = Upstream::answering(|request| {
        let size = if request.start.contains("/large") { 10_000_000 } else { 10 };
        Answer::new("200 OK", &[], &vec![b'x'; size])
    });
    let (gateway, key) = open(&upstream);
    let mut client = connect(&gateway).await.ready().await.unwrap();
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let (answer, _) =
            client.send_request(request("GET", "/large", &key).body(()).unwrap(), true).unwrap();
        stalled.push(within(answer).await.unwrap().into_body());
    }
    for _ in 0..20 {
        let (answer, _) =
            client.send_request(request("GET", "/small", &key).body(()).unwrap(), true).unwrap();
        assert_eq!(whole(within(answer).await.unwrap().into_body()).await.unwrap(), b"xxxxxxxxxx");
    }
    for body in stalled {
        assert_eq!(whole(body).await.unwrap().len(), 10_000_000);
    }
}

#[tokio::test]
async fn answer_in_many_small_pieces_arrives_whole() {
    let chunks: String = (0..5000).map(|number| format!("4\r\n{number:04}\r\n")).collect();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\nx-sum: 7\r\n\r\n"
    );
    let upstream = Upstream::answering(move |_| Answer::raw(answer.clone()));
    let (gateway, key) = open(&upstream);
    let mut client = connect(&gateway).await.ready().await.unwrap();
    let (answer, _) =
        client.send_request(request("GET", "/", &key).body(()).unwrap(), true).unwrap();
    let mut body = within(answer).await.unwrap().into_body();
    let mut read = Vec::new();
    while let Some(data) = within(body.data()).await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        read.extend_from_slice(&data);
    }
    assert_eq!(
        String::from_utf8(read).unwrap(),
        (0..5000).map(|number| format!("{number:04}")).collect::<String>()
    );
    assert_eq!(within(body.trailers()).await.unwrap().unwrap()["x-sum"], "7");
}

#[tokio::test]
async fn request_that_the_client_resets_ends_at_the_upstream_and_is_logged() {
    let upstream =
        Upstream::answering(|_| Answer::new("200 OK", &[], b"late").after(Duration::from_secs(20)));
    let (gateway, key) = open(&upstream);
    let mut client = connect(&gateway).await.ready().await.unwrap();
    let request =
        request("GET", "/slow", &key).header("x-request-id", "given-up").body(()).unwrap();
    let (answer, mut sending) = client.send_request(request, true).unwrap();
    let seen = tokio::task::spawn_blocking(move || upstream.last());
    seen.await.unwrap();
    sending.send_reset(Reason::CANCEL);
    drop(answer);
    let line = tokio::task::spawn_blocking(move || {
        wait_for("its line", || gateway.logged("request_id", "given-up").pop())
    });
    assert_eq!(line.await.unwrap()["status"], 499);
}

#[tokio::test]
async fn head_that_is_too_large_is_answered_and_the_connection_goes_on() {
    let upstream = Upstream::start();
    let (gateway, key) = open(&upstream);
    let mut client = connect(&gateway).await.ready().await.unwrap();
    let large = request("GET", "/", &key).header("x-large", "x".repeat(9000)).body(()).unwrap();
    let (answer, _) = client.send_request(large, true).unwrap();
    assert_eq!(within(answer).await.unwrap().status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    upstream.assert_untouched();
    let (answer, _) =
        client.send_request(request("GET", "/", &key).body(()).unwrap(), true).unwrap();
    assert_eq!(within(answer).await.unwrap().status(), StatusCode::OK);
}

#[test]
fn malformed_request_is_reset_and_never_forwarded() {
    let upstream = Upstream::start();
    let (gateway, _) = open(&upstream);
    let mut stream = raw(&gateway);
    stream.write_all(&frame(1, 5, 1, MALFORMED)).unwrap();
    let reset = std::iter::from_fn(|| read_frame(&mut stream))
        .find(|frame| frame.0 == 3)
        .expect("RST_STREAM");
    assert_eq!((reset.1, reset.2), (1, vec![0, 0, 0, 1]), "PROTOCOL_ERROR");
    stream.write_all(&frame(1, 5, 3, GET)).unwrap();
    let answer =
        std::iter::from_fn(|| read_frame(&mut stream)).find(|frame| frame.0 == 1).expect("HEADERS");
    assert_eq!(answer.1, 3, "the connection goes on");
    upstream.assert_untouched();
}

#[test]
fn client_that_opens_and_resets_without_end_is_sent_away() {
    let upstream =
        Upstream::answering(|_| Answer::new("200 OK", &[], b"late").after(Duration::from_secs(1)));
    let (gateway, key) = open(&upstream);
    let mut stream = raw(&gateway);
    let get = [GET.to_vec(), literal("authorization", &format!("Bearer {}", key.text))].concat();
    let flood = (1..20_001)
        .step_by(2)
        .flat_map(|id| [frame(1, 5, id, &get), frame(3, 0, id, &[0, 0, 0, 8])].concat());
    // The gateway may close the connection before everything is sent.
    let _ = stream.write_all(&flood.collect::<Vec<u8>>());
    let told =
        std::iter::from_fn(|| read_frame(&mut stream)).find(|frame| frame.0 == 7).expect("GOAWAY");
    assert_eq!(told.2[4..8], [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
    assert!(upstream.requests().len() < 1000);
}

#[test]
fn client_is_told_to_send_its_body_once_it_is_admitted() {
    let upstream = Upstream::start();
    let (gateway, key) = open(&upstream);
    let mut stream = raw(&gateway);
    let post = |key: &str| {
        let bearer = literal("authorization", &format!("Bearer {key}"));
        [b"\x83\x86\x84\x41\x01a".to_vec(), literal("expect", "100-continue"), bearer].concat()
    };
    stream.write_all(&frame(1, 4, 1, &post("nobody"))).unwrap();
    let mut frames = std::iter::from_fn(|| read_frame(&mut stream));
    let refused = frames.find(|frame| frame.0 == 1).expect("HEADERS");
    assert_eq!(refused.2[..5], [&[0x20, 8, 3][..], b"40"].concat(), "401 comes first");
    let reset = frames.find(|frame| frame.0 == 3).expect("RST_STREAM");
    assert_eq!((reset.1, reset.2), (1, vec![0; 4]), "the body is not wanted, without an error");
    stream.write_all(&frame(1, 4, 3, &post(&key.text))).unwrap();
    let told =
        std::iter::from_fn(|| read_frame(&mut stream)).find(|frame| frame.0 == 1).expect("HEADERS");
    assert_eq!((told.1, told.2), (3, b"\x08\x03100".to_vec()));
    stream.write_all(&frame(0, 1, 3, b"hello")).unwrap();
    let answered =
        std::iter::from_fn(|| read_frame(&mut stream)).find(|frame| frame.0 == 1).expect("HEADERS");
    assert_eq!((answered.1, answered.2[0]), (3, 0x88), "200");
    assert_eq!(upstream.last().body, b"hello");
}

#[tokio::test]
async fn preflight_is_answered_over_http2_too() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream)
        .table("[api.cors]\norigins = [\"https://app.example.com\"]")
        .start();
    let mut client = connect(&gateway).await;
    for (method, status) in [("OPTIONS", StatusCode::NO_CONTENT), ("GET", StatusCode::UNAUTHORIZED)]
    {
        let request = Request::builder()
            .method(method)
            .uri("http://desk.example/x")
            .header("origin", "https://app.example.com");
        let request = request.header("access-control-request-method", "GET").body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = within(answer).await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()["access-control-allow-origin"]),
            (status, &"https://app.example.com".parse().unwrap())
        );
    }
    upstream.assert_untouched();
}

#[test]
fn preface_that_comes_byte_by_byte_is_waited_for_and_costs_nothing_meanwhile() {
    let upstream = Upstream::start();
    let (gateway, key) = open(&upstream);
    let pause = || std::thread::sleep(Duration::from_millis(100));
    let connect = |start: &[u8]| {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in start {
            stream.write_all(&[*byte]).unwrap();
            pause();
        }
        stream
    };
    let mut preface = connect(&PREFACE[..5]);
    preface.write_all(&PREFACE[5..]).unwrap();
    assert_eq!(read_frame(&mut preface).expect("SETTINGS").0, 4);

    let mut request = connect(b"P");
    let rest = format!(
        "OST /api/v1/tickets HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Authorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        key.text
    );
    request.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    request.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    // A client that has closed its sending direction can send nothing more.
    let mut closed = connect(b"PR");
    let before = gateway.cpu();
    pause();
    closed.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    let _ = closed.read_to_end(&mut rest);
    let waiting: Vec<TcpStream> = (1..4).map(|length| connect(&PREFACE[..length])).collect();
    std::thread::sleep(Duration::from_secs(1));
    let used = gateway.cpu() - before;
    assert!(used < Duration::from_millis(500), "{used:?} of a processor");
    drop(waiting);
}
