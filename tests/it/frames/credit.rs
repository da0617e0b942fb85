//! Flow-control credit: the gateway returns the connection window for request bodies, however the
//! requests end.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::wire::*;
use crate::harness::{Gateway, Message, Setup};

/// The size of a forwarded body, in bytes.
const BODY: usize = 10_000;

/// A client that respects its flow-control windows (RFC 9113 §5.2).
struct Uploader {
    wire: Wire,
    window: usize,
    /// The windows of the streams that were opened.
    windows: BTreeMap<u32, usize>,
    /// The status of each stream that has a response, or 0 if it was reset without one.
    answers: BTreeMap<u32, u16>,
    next: u32,
}

impl Uploader {
    fn new(gateway: &Gateway) -> Self {
        Self {
            wire: Wire::open(gateway),
            window: 65_535,
            windows: BTreeMap::new(),
            answers: BTreeMap::new(),
            next: 1,
        }
    }

    /// Starts a POST request and returns its stream.
    fn post(&mut self, path: &str) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.wire.send(&post(stream, path));
        self.windows.insert(stream, 512 * 1024);
        stream
    }

    /// Sends `bytes` bytes of a body. Waits for WINDOW_UPDATE frames when a window is exhausted.
    #[track_caller]
    fn send(&mut self, stream: u32, mut bytes: usize, ended: bool) {
        loop {
            let part = bytes.min(self.window).min(self.windows[&stream]).min(16_384);
            if part > 0 || bytes == 0 {
                bytes -= part;
                self.window -= part;
                *self.windows.get_mut(&stream).unwrap() -= part;
                let flags = if ended && bytes == 0 { END_STREAM } else { 0 };
                self.wire.send(&frame(DATA, flags, stream, &vec![b'x'; part]));
                if bytes == 0 {
                    return;
                }
            } else {
                self.read();
            }
        }
    }

    #[track_caller]
    fn read(&mut self) {
        let frame = self.wire.read().expect("the connection stays");
        self.note(&frame);
    }

    fn note(&mut self, frame: &Frame) {
        match frame.kind {
            WINDOW_UPDATE => {
                let more = u32::from_be_bytes(frame.payload[..].try_into().unwrap()) as usize;
                match frame.stream {
                    0 => self.window += more,
                    stream => *self.windows.get_mut(&stream).unwrap() += more,
                }
            }
            HEADERS => _ = self.answers.insert(frame.stream, frame.status()),
            RST_STREAM => _ = self.answers.entry(frame.stream).or_insert(0),
            GOAWAY => panic!("sent away: {}", frame.code()),
            _ => {}
        }
    }

    #[track_caller]
    fn status(&mut self, stream: u32) -> u16 {
        loop {
            if let Some(status) = self.answers.get(&stream) {
                return *status;
            }
            self.read();
        }
    }

    /// Sends a request whose body is forwarded to the upstream.
    #[track_caller]
    fn pass_on(&mut self) {
        let stream = self.post("/open/late");
        self.send(stream, BODY, true);
        assert_eq!(self.status(stream), 200);
    }
}

/// Returns a listening socket whose accept queue is full.
fn full_queue() -> (Socket, SocketAddr, Vec<Socket>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let filling = (0..3).map(|_| {
        let filling = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filling.set_nonblocking(true).unwrap();
        let _ = filling.connect(&address.into());
        filling
    });
    let filling = filling.collect();
    (socket, address, filling)
}

/// Answers each request once it has been received completely.
fn answer_all(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer_each(stream));
        }
    });
}

fn answer_each(mut stream: TcpStream) {
    let mut requests = BufReader::new(stream.try_clone().unwrap());
    while let Ok(Some(_)) = Message::read(&mut requests, |_| true) {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
}

/// `most`: the largest request body that is accepted.
fn setup(url: &str, most: &str) -> Setup {
    Gateway::in_front_of_url(url)
        .api("public = [\"GET /**\", \"POST /open/**\"]\nconnect_timeout = \"1s\"")
        .api(&format!("max_body_size = \"{most}\""))
}

#[test]
fn uploads_go_on_behind_answers_that_came_because_the_upstream_accepts_nobody() {
    let (socket, address, filling) = full_queue();
    let gateway = setup(&format!("http://{address}"), "4MiB").start();
    let mut client = Uploader::new(&gateway);
    let streams: Vec<u32> = (0..4).map(|_| client.post("/open/x")).collect();
    for stream in &streams {
        client.send(*stream, 16_000, true);
    }
    for stream in streams {
        assert_eq!(client.status(stream), 504);
    }
    drop(filling);
    // The longer accept queue spares later connections a retransmitted SYN.
    socket.listen(128).unwrap();
    answer_all(socket.into());
    for _ in 0..3 {
        let stream = client.post("/open/x");
        client.send(stream, 200_000, true);
        assert_eq!(client.status(stream), 200);
    }
}

#[test]
fn uploads_go_on_behind_bodies_that_were_too_large_and_named_no_length() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    answer_all(listener);
    let gateway = setup(&url, "10KiB").start();
    let mut client = Uploader::new(&gateway);
    for _ in 0..8 {
        let stream = client.post("/open/x");
        client.send(stream, 16_000, true);
        assert_eq!(client.status(stream), 413);
    }
    for _ in 0..20 {
        let stream = client.post("/open/x");
        client.send(stream, 9000, true);
        assert_eq!(client.status(stream), 200);
    }
}

/// How a request ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// A response at once, before the body is complete, or after the whole body.
    Early,
    Late,
    /// The gateway refuses to forward it.
    Refused,
    TooLarge,
    /// The client resets the stream.
    Reset,
    /// A timeout expires.
    TimedOut,
    /// The upstream closes the connection.
    Torn,
}

const ENDS: [End; 7] =
    [End::Early, End::Late, End::Refused, End::TooLarge, End::Reset, End::TimedOut, End::Torn];

/// Ends each request in the way that its path names.
fn break_as_told(stream: TcpStream) {
    use std::io::{BufRead as _, Read as _};
    let mut requests = BufReader::new(stream.try_clone().unwrap());
    let mut out = stream;
    let mut head = String::new();
    while requests.read_line(&mut head).is_ok_and(|read| read > 2) {}
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let ends_body = |bytes: &[u8]| bytes.ends_with(b"0\r\n\r\n");
    let mut body = Vec::new();
    let mut buffer = [0; 4096];
    if head.contains("/early") {
        let _ = out.write_all(answer);
        std::thread::sleep(Duration::from_millis(20));
    } else if head.contains("/timed") {
        std::thread::sleep(Duration::from_millis(1500));
    } else if !head.contains("/torn") {
        while !ends_body(&body) {
            match requests.read(&mut buffer) {
                Ok(read @ 1..) => body.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        let _ = out.write_all(answer);
    }
}

#[test]
// Longer than 60 lines: one upstream for all ways of ending, and one list of them.
fn window_of_a_connection_is_whole_again_whatever_ended_its_requests() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || break_as_told(stream));
        }
    });
    let gateway = setup(&url, "10KiB")
        .server("body_timeout = \"500ms\"")
        .api("response_timeout = \"500ms\"")
        .start();
    let mut client = Uploader::new(&gateway);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut roll = |sides: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % sides) as usize
    };
    // Forwarded bodies make the gateway enlarge the connection window to 1 MiB.
    for _ in 0..110 {
        client.pass_on();
    }
    let mut seen = BTreeMap::new();
    for _ in 0..60 {
        let batch: Vec<(u32, End, bool)> = (0..4)
            .map(|_| {
                let end = ENDS[roll(ENDS.len() as u64)];
                let path = match end {
                    End::Early => "/open/early",
                    End::Late | End::TooLarge | End::Reset => "/open/late",
                    End::Refused => "/closed",
                    End::TimedOut => "/open/timed",
                    End::Torn => "/open/torn",
                };
                (client.post(path), end, roll(2) == 0)
            })
            .collect();
        for (stream, end, ended) in &batch {
            let size = match end {
                End::TooLarge => 10_241 + roll(2000),
                _ => roll(10_000),
            };
            let first = roll(size as u64 + 1);
            client.send(*stream, first, false);
            client.send(*stream, size - first, *ended || matches!(end, End::Late));
            if matches!(end, End::Reset) {
                client.wire.send(&number(RST_STREAM, *stream, CANCEL));
                client.answers.insert(*stream, 0);
            }
        }
        for (stream, end, ended) in batch {
            let status = client.status(stream);
            *seen.entry((format!("{end:?}"), status)).or_insert(0) += 1;
            if !ended && roll(2) == 0 {
                client.wire.send(&number(RST_STREAM, stream, CANCEL));
            }
        }
    }
    println!("{seen:?}");
    // Credit is returned in WINDOW_UPDATE frames only once it amounts to a quarter of the window.
    let whole = (0..40).any(|_| {
        client.pass_on();
        client.window > (1 << 20) - 2 * BODY
    });
    assert!(whole, "{} bytes may be sent", client.window);
}
