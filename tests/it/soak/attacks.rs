//! Attacks by hostile clients, each for a moment only.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Scene, upstream};
use crate::harness::Key;

type Tls = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

const ATTACKS: [fn(&Scene, u64); 12] = [
    handshake_that_stops,
    noise,
    slow_head,
    huge_head,
    smuggling,
    body_that_stops,
    answer_that_is_not_read,
    many_pipelined,
    http2_pings,
    http2_resets,
    http2_without_room,
    connections,
];

/// Runs one random attack after the other until the test is over.
pub(super) fn all(scene: &Scene) {
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15 ^ scene.tally.attacks.load(Ordering::Relaxed);
    while !scene.is_over() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        ATTACKS[(random % ATTACKS.len() as u64) as usize](scene, random);
        scene.tally.attacks.fetch_add(1, Ordering::Relaxed);
    }
}

fn connect(scene: &Scene) -> TcpStream {
    let stream = TcpStream::connect(scene.gateway.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    stream
}

fn tls(scene: &Scene, protocol: &[u8]) -> Tls {
    let mut config = (*scene.gateway.certificates().client_config()).clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    let session =
        rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let stream = connect(scene);
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut stream = rustls::StreamOwned::new(session, stream);
    while stream.conn.is_handshaking() {
        if stream.conn.complete_io(&mut stream.sock).is_err() {
            break;
        }
    }
    stream.sock.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stream
}

/// Sends what the peer accepts of these bytes.
fn send(stream: &mut Tls, bytes: &[u8]) {
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
}

fn listen(stream: &mut Tls) {
    let mut buffer = [0; 4096];
    for _ in 0..8 {
        if !matches!(stream.read(&mut buffer), Ok(read) if read > 0) {
            return;
        }
    }
}

fn handshake_that_stops(scene: &Scene, random: u64) {
    let mut stream = connect(scene);
    let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &random.to_be_bytes()].concat();
    let _ = stream.write_all(&hello[..(random % 19) as usize + 1]);
    std::thread::sleep(Duration::from_millis(20));
}

fn noise(scene: &Scene, random: u64) {
    let bytes: Vec<u8> =
        (0..random % 3000).map(|at| (random.rotate_left(at as u32 % 64) ^ at) as u8).collect();
    let _ = connect(scene).write_all(&bytes);
    let mut stream = tls(scene, b"http/1.1");
    send(&mut stream, &bytes);
    listen(&mut stream);
}

fn slow_head(scene: &Scene, _: u64) {
    let mut stream = tls(scene, b"http/1.1");
    for byte in b"GET /slow HTTP/1.1\r\nHost: lo" {
        send(&mut stream, &[*byte]);
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn huge_head(scene: &Scene, _: u64) {
    let mut stream = tls(scene, b"http/1.1");
    send(
        &mut stream,
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100_000)).as_bytes(),
    );
    listen(&mut stream);
}

fn smuggling(scene: &Scene, random: u64) {
    let hidden = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let framing = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 40\r\n\r\n",
        "Content-Length: +0\r\n\r\n",
        "X: y\n\n",
        "Transfer-Encoding: chunked\r\n\r\n0\n\n",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ];
    let framing = framing[(random % framing.len() as u64) as usize];
    let mut stream = tls(scene, b"http/1.1");
    let key = &scene.all.text;
    send(
        &mut stream,
        format!(
            "POST /s HTTP/1.1\r\nHost: localhost\r\n\
        Authorization: Bearer {key}\r\n{framing}{hidden}"
        )
        .as_bytes(),
    );
    listen(&mut stream);
}

fn body_that_stops(scene: &Scene, random: u64) {
    let mut stream = tls(scene, b"http/1.1");
    let key = &scene.all.text;
    let head = format!(
        "POST /b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
            Content-Length: 100000\r\n\r\n"
    );
    send(&mut stream, head.as_bytes());
    send(&mut stream, &vec![b'x'; (random % 50_000) as usize]);
    if random & 1 == 0 {
        upstream::reset(&stream.sock);
    }
}

fn answer_that_is_not_read(scene: &Scene, _: u64) {
    let mut stream = tls(scene, b"http/1.1");
    let key = &scene.all.text;
    let body = "x".repeat(500_000);
    let head = format!(
        "POST /e HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
            Content-Length: {}\r\n\r\n",
        body.len()
    );
    send(&mut stream, head.as_bytes());
    send(&mut stream, body.as_bytes());
    std::thread::sleep(Duration::from_millis(30));
    upstream::reset(&stream.sock);
}

fn many_pipelined(scene: &Scene, random: u64) {
    let mut stream = tls(scene, b"http/1.1");
    let key = Key::live(&random.to_string()).text;
    let request =
        format!("GET /p HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n");
    send(&mut stream, request.repeat(100).as_bytes());
    listen(&mut stream);
}

fn connections(scene: &Scene, _: u64) {
    let open: Vec<TcpStream> = (0..30).map(|_| connect(scene)).collect();
    open.iter().step_by(2).for_each(upstream::reset);
    std::thread::sleep(Duration::from_millis(20));
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Opens an HTTP/2 connection with this SETTINGS payload.
fn http2(scene: &Scene, settings: &[u8]) -> Tls {
    let mut stream = tls(scene, b"h2");
    send(
        &mut stream,
        &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, settings)[..]].concat(),
    );
    stream
}

/// Encodes a GET request. Only the values of `:authority` and `authorization` are not in the static
/// table.
fn get(scene: &Scene, stream: u32) -> Vec<u8> {
    let bearer = format!("Bearer {}", scene.all.text);
    let literal = |index: u8, value: &str| [&[index, value.len() as u8], value.as_bytes()].concat();
    let authorization = [&[0x0f, 0x08, bearer.len() as u8][..], bearer.as_bytes()].concat();
    frame(
        1,
        5,
        stream,
        &[&[0x82, 0x87, 0x84][..], &literal(0x01, "localhost"), &authorization].concat(),
    )
}

fn http2_pings(scene: &Scene, _: u64) {
    let mut stream = http2(scene, &[]);
    send(&mut stream, &frame(6, 0, 0, b"flooding").repeat(20_000));
    listen(&mut stream);
}

fn http2_resets(scene: &Scene, _: u64) {
    let mut stream = http2(scene, &[]);
    let flood: Vec<u8> = (0..500)
        .flat_map(|number| {
            [get(scene, 2 * number + 1), frame(3, 0, 2 * number + 1, &[0, 0, 0, 8])].concat()
        })
        .collect();
    send(&mut stream, &flood);
    listen(&mut stream);
}

/// Sends requests with a stream window of 0, so that no response body can be sent.
fn http2_without_room(scene: &Scene, _: u64) {
    let mut stream = http2(scene, &[0, 4, 0, 0, 0, 0]);
    let requests: Vec<u8> = (0..50).flat_map(|number| get(scene, 2 * number + 1)).collect();
    send(&mut stream, &requests);
    std::thread::sleep(Duration::from_millis(30));
}
