//! How connections are closed in each case: with close_notify and FIN if every message is complete,
//! without close_notify if a response is truncated, and with a reset if an orderly end would make a
//! partial message look complete (RFC 8446 §6.1, RFC 9112 §8, §9.8).

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{
    Gateway, Message, PATIENCE, SWITCH, Setup, Upstream, bare_upstream, send_signal, wait_for,
};

/// What a client sees at the end of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// close_notify with TLS, FIN without TLS.
    Orderly,
    /// FIN without close_notify. Without TLS this looks the same as `Orderly`.
    Cut,
    Reset,
}

impl End {
    /// Returns how a client sees this end.
    fn seen(self, tls: bool) -> Self {
        if self == Self::Cut && !tls { Self::Orderly } else { self }
    }
}

/// A client's connection.
enum Line {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Line {
    fn open(gateway: &Gateway, tls: bool) -> Self {
        Self::open_at(gateway.address(), gateway, tls)
    }

    fn open_at(address: SocketAddr, gateway: &Gateway, tls: bool) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        if !tls {
            return Self::Plain(stream);
        }
        let name = gateway.certificates().name().to_owned().try_into().unwrap();
        let session =
            rustls::ClientConnection::new(gateway.certificates().client_config(), name).unwrap();
        Self::Tls(Box::new(rustls::StreamOwned::new(session, stream)))
    }

    fn write(&mut self, bytes: &[u8]) {
        let _ = match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
    }

    /// Closes the sending direction and continues to read.
    fn end(&mut self) {
        match self {
            Self::Plain(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
    }

    /// Reads up to this text.
    fn read_past(&mut self, text: &str) -> Vec<u8> {
        let (mut all, mut byte) = (Vec::new(), [0]);
        while !all.ends_with(text.as_bytes()) {
            assert_eq!(self.read(&mut byte).expect("more"), 1, "{}", String::from_utf8_lossy(&all));
            all.push(byte[0]);
        }
        all
    }

    /// Reads to the end. Returns what was received, and how the connection ended.
    fn ending(&mut self) -> (String, End) {
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        let end = loop {
            match self.read(&mut buffer) {
                Ok(0) => break End::Orderly,
                Ok(read) => all.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break End::Cut,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                Err(error) => panic!("{error} behind {}", String::from_utf8_lossy(&all)),
            }
        };
        (String::from_utf8_lossy(&all).into_owned(), end)
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

/// Responds according to the path.
fn serve(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(head)) = Message::read_head(&mut stream) {
        let path = head.start.split(' ').nth(1).unwrap().to_owned();
        let (answer, closes): (&[u8], bool) = match &*path {
            "/chunks" => {
                (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", true)
            }
            "/whole-chunks" => (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                false,
            ),
            "/length" => (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", true),
            "/until-close" => (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", true),
            "/stream" => {
                (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", false)
            }
            "/socket" | "/reset-socket" | "/ending-socket" => (SWITCH, false),
            "/silent" => (b"", false),
            _ => (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", false),
        };
        stream.get_mut().write_all(answer).unwrap();
        match &*path {
            "/reset-socket" => {
                let _ = stream.read(&mut [0]);
                socket2::SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
            "/ending-socket" => return,
            "/socket" => drop(stream.read_to_end(&mut Vec::new())),
            _ => {}
        }
        if closes {
            return;
        }
    }
}

fn setup(tls: bool) -> Setup {
    let setup = Gateway::in_front_of_url(&bare_upstream(serve))
        .api("public = [\"GET /**\", \"POST /**\"]\nmax_body_size = \"1MiB\"");
    if tls { setup.tls(&["localhost"]) } else { setup }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Every way in which a client can make a connection end: its name, what the client sends, whether
/// it then closes its sending direction, the status of the response (0: none), and the end.
const WAYS: &[(&str, &str, bool, u16, End)] = &[
    ("nothing was asked in time", "", false, 0, End::Orderly),
    ("a head does not go on", "GET / HT", false, 0, End::Orderly),
    ("nothing more was asked", GET, false, 200, End::Orderly),
    (
        "the next head does not go on",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET",
        false,
        200,
        End::Orderly,
    ),
    ("the client leaves before a request", "", true, 0, End::Orderly),
    ("the client leaves within a head", "GET / HT", true, 0, End::Orderly),
    (
        "the client wants it so",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        false,
        200,
        End::Orderly,
    ),
    ("HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", false, 200, End::Orderly),
    ("the bytes are no request", "nonsense\r\n\r\n", false, 400, End::Orderly),
    (
        "the framing is unsound",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        false,
        400,
        End::Orderly,
    ),
    (
        "the body is too large",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n",
        false,
        413,
        End::Orderly,
    ),
    (
        "the body does not come",
        "POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
        false,
        408,
        End::Orderly,
    ),
    (
        "the body does not come behind the response",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
        false,
        200,
        End::Orderly,
    ),
    (
        "a response that ends with the connection is whole",
        "GET /until-close HTTP/1.0\r\nHost: a\r\n\r\n",
        false,
        200,
        End::Orderly,
    ),
    (
        "chunks become one that ends with the connection",
        "GET /whole-chunks HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        false,
        200,
        End::Orderly,
    ),
    ("chunks are broken off", "GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n", false, 200, End::Cut),
    (
        "a response with a length is broken off",
        "GET /length HTTP/1.1\r\nHost: a\r\n\r\n",
        false,
        200,
        End::Cut,
    ),
    (
        "a response with a length is broken off in HTTP/1.0",
        "GET /length HTTP/1.0\r\nHost: a\r\n\r\n",
        false,
        200,
        End::Cut,
    ),
    (
        "a response that ends with the connection is broken off",
        "GET /chunks HTTP/1.0\r\nHost: a\r\n\r\n",
        false,
        200,
        End::Reset,
    ),
];

#[test]
fn each_way_to_end_a_connection_says_whether_all_that_was_sent_is_whole() {
    for tls in [false, true] {
        let timeouts = "idle_timeout = \"1s\"\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"";
        let gateway = setup(tls).server(timeouts).start();
        let gateway = &gateway;
        let wrong: Vec<String> = std::thread::scope(|scope| {
            let run = |way: &'static (&str, &str, bool, u16, End)| {
                let (what, bytes, ends, status, expected) = way;
                let mut line = Line::open(gateway, tls);
                line.write(bytes.as_bytes());
                if *ends {
                    line.end();
                }
                let (came, end) = line.ending();
                let seen = came.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
                let right = (*status, expected.seen(tls));
                let body = *status != 200 || came.contains("hello");
                ((seen, end) != right || !body)
                    .then(|| format!("{what} (TLS: {tls}): {seen} {end:?}, not {right:?}: {came}"))
            };
            let runs: Vec<_> = WAYS.iter().map(|way| scope.spawn(move || run(way))).collect();
            runs.into_iter().filter_map(|run| run.join().unwrap()).collect()
        });
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn stop_closes_idle_connections_and_those_with_a_last_response_in_order() {
    for tls in [false, true] {
        let upstream = Upstream::answering(|_| {
            crate::harness::Answer::new("200 OK", &[], b"hello").after(Duration::from_millis(500))
        });
        let setup = Gateway::in_front_of(&upstream).api("public = [\"GET /**\"]");
        let gateway = if tls { setup.tls(&["localhost"]) } else { setup }.start();
        let mut idle = Line::open(&gateway, tls);
        idle.write(GET.as_bytes());
        idle.read_past("hello");
        let mut begun = Line::open(&gateway, tls);
        begun.write(b"GET / HT");
        let mut busy = Line::open(&gateway, tls);
        busy.write(GET.as_bytes());
        wait_for("both requests", || (upstream.requests().len() == 2).then_some(()));
        gateway.signal("TERM");
        assert_eq!(idle.ending(), (String::new(), End::Orderly), "idle, TLS: {tls}");
        let (came, end) = busy.ending();
        assert!(came.ends_with("hello") && came.contains("connection: close"), "{came}");
        assert_eq!(end, End::Orderly, "busy, TLS: {tls}");
        drop((idle, busy));
        assert_eq!(begun.ending(), (String::new(), End::Orderly), "begun, TLS: {tls}");
        drop(begun);
        assert_eq!(gateway.ended().code(), Some(0));
    }
}

#[test]
fn response_that_ends_with_the_connection_looks_whole_neither_at_a_deadline_nor_at_a_crash() {
    const STREAM: &[u8] = b"GET /stream HTTP/1.0\r\nHost: a\r\n\r\n";
    for (tls, signal) in [(false, "TERM"), (true, "TERM"), (false, "KILL"), (true, "KILL")] {
        let gateway = setup(tls).server("drain_timeout = \"300ms\"").start();
        let mut line = Line::open(&gateway, tls);
        line.write(STREAM);
        line.read_past("hello");
        send_signal(signal, gateway.process());
        assert_eq!(line.ending(), (String::new(), End::Reset), "{signal}, TLS: {tls}");
    }
    for tls in [false, true] {
        let gateway = setup(tls).api("idle_timeout = \"1s\"").start();
        let mut line = Line::open(&gateway, tls);
        line.write(STREAM);
        line.read_past("hello");
        assert_eq!(line.ending(), (String::new(), End::Reset), "idle, TLS: {tls}");
    }
}

#[test]
fn connections_that_are_too_many_end_in_order_too() {
    for tls in [false, true] {
        let gateway = setup(tls).server("max_connections = 1").start();
        let mut inside = Line::open(&gateway, tls);
        inside.write(GET.as_bytes());
        inside.read_past("hello");
        let mut silent = Line::open(&gateway, tls);
        let mut asks = Line::open(&gateway, tls);
        asks.write(GET.as_bytes());
        let (came, end) = asks.ending();
        assert!(came.starts_with("HTTP/1.1 503 "), "{came}");
        assert_eq!(end, End::Orderly, "TLS: {tls}");
        // A silent connection is closed soon.
        let begun = Instant::now();
        assert_eq!(silent.ending(), (String::new(), End::Orderly), "silent, TLS: {tls}");
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    }
}

#[test]
fn refused_handshake_ends_with_an_alert_that_arrives() {
    let gateway = setup(true).start();
    for bytes in [GET.as_bytes().to_vec(), GET.repeat(4000).into_bytes()] {
        let mut line = Line::Plain(TcpStream::connect(gateway.address()).unwrap());
        line.write(&bytes);
        let (mut alert, mut buffer) = (Vec::new(), [0; 64]);
        let end = loop {
            match line.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(read) => alert.extend_from_slice(&buffer[..read]),
                Err(error) => break Err(error.kind()),
            }
        };
        assert_eq!((alert.first(), end), (Some(&0x15), Ok(())), "{} bytes", bytes.len());
    }
}

fn open_socket(gateway: &Gateway, path: &str, tls: bool) -> Line {
    let mut line = Line::open(gateway, tls);
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    line.write(head.as_bytes());
    assert!(line.read_past("\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
    line
}

#[test]
fn websocket_ends_as_its_other_side_has_ended() {
    for tls in [false, true] {
        let gateway = setup(tls).start();
        let mut line = open_socket(&gateway, "/ending-socket", tls);
        assert_eq!(line.ending(), (String::new(), End::Orderly), "TLS: {tls}");
        let mut line = open_socket(&gateway, "/reset-socket", tls);
        line.write(b"\x81\x80\0\0\0\0");
        assert_eq!(line.ending().1, End::Cut.seen(tls), "TLS: {tls}");
        let mut line = open_socket(&gateway, "/socket", tls);
        gateway.signal("TERM");
        let (close, end) = line.ending();
        assert!(close.ends_with("the gateway is stopping"), "{close}");
        assert_eq!(end, End::Orderly, "TLS: {tls}");
    }
}

/// The admin address serves 64 connections at a time, and closes the oldest idle one for another.
#[test]
fn idle_connection_of_the_admin_address_is_told_of_its_end() {
    let tables = "[admin.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"";
    let gateway = setup(true).more(tables).start();
    let open = || Line::open_at(gateway.admin_address(), &gateway, true);
    let ask = |line: &mut Line| {
        line.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        line.read_past("\r\n\r\n")
    };
    let mut lines: Vec<Line> = (0..64).map(|_| open()).collect();
    lines.iter_mut().for_each(|line| assert!(ask(line).starts_with(b"HTTP/1.1 200 ")));
    assert!(ask(&mut open()).starts_with(b"HTTP/1.1 200 "));
    assert_eq!(lines[0].ending().1, End::Orderly);
}
