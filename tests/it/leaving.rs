//! Clients that disconnect while their request is in flight. The gateway notices this whatever data
//! is unread in between, and frees what they held. Also: what an idle connection costs.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{
    Gateway, Message, PATIENCE, Setup, Upstream, bare_upstream, upstream_after_head, wait_for,
};

/// The longest that the gateway may take to notice that a client has disconnected, on a busy
/// machine.
const SOON: Duration = Duration::from_secs(3);
const CLIENTS: usize = 200;

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

fn setup(url: &str, tls: bool) -> Setup {
    let setup = Gateway::in_front_of_url(url)
        .api("public = [\"GET /**\", \"POST /**\"]")
        .server("max_connections_per_address = 0");
    if tls { setup.tls(&["localhost"]) } else { setup }
}

fn connect(gateway: &Gateway, tls: bool) -> Box<dyn Stream> {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    if !tls {
        return Box::new(stream);
    }
    let name = gateway.certificates().name().to_owned().try_into().unwrap();
    let session =
        rustls::ClientConnection::new(gateway.certificates().client_config(), name).unwrap();
    Box::new(rustls::StreamOwned::new(session, stream))
}

fn in_flight(gateway: &Gateway) -> f64 {
    gateway.metric("keygate_requests_in_flight").expect("the gauge")
}

/// Waits until all clients are in flight, disconnects them, and asserts that this is noticed in
/// time.
#[track_caller]
fn assert_noticed(gateway: &Gateway, clients: Vec<Box<dyn Stream>>, what: &str) {
    let all = clients.len() as f64;
    wait_for("all requests", || (in_flight(gateway) == all).then_some(()));
    // Lets the gateway receive everything that was sent.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(in_flight(gateway), all, "{what}: they are waited for as long as they stay");
    drop(clients);
    let begun = Instant::now();
    while in_flight(gateway) > 0.0 {
        let left = in_flight(gateway);
        assert!(begun.elapsed() < SOON, "{what}: {left} of {all} requests are still in flight");
        std::thread::sleep(Duration::from_millis(20));
    }
    wait_for("their connections", || {
        (gateway.metric("keygate_connections_open") == Some(0.0)).then_some(())
    });
}

fn ask(gateway: &Gateway, tls: bool, bytes: &[u8]) -> Vec<Box<dyn Stream>> {
    let clients = 0..CLIENTS;
    clients
        .map(|_| {
            let mut stream = connect(gateway, tls);
            stream.write_all(bytes).and_then(|()| stream.flush()).unwrap();
            stream
        })
        .collect()
}

#[test]
fn clients_that_leave_are_noticed_though_they_have_sent_more_ahead_than_is_read() {
    let url = upstream_after_head(|mut stream| drop(stream.read(&mut [0])));
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for tls in [false, true] {
        let gateway = setup(&url, tls).start();
        for ahead in [16 * 1024, 40 * 1024] {
            let bytes = [&get[..], &vec![b'x'; ahead]].concat();
            let clients = ask(&gateway, tls, &bytes);
            assert_noticed(&gateway, clients, &format!("{ahead} bytes ahead, TLS: {tls}"));
        }
    }
}

#[test]
fn clients_that_leave_are_noticed_though_the_upstream_has_not_taken_their_body() {
    // The upstream accepts connections and reads nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let small = socket2::SockRef::from(&listener);
    small.set_recv_buffer_size(4096).unwrap();
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    // A body that exceeds what the buffers on the way can hold.
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 1 << 30);
    for tls in [false, true] {
        let gateway = setup(&url, tls).api("max_body_size = \"2GiB\"").start();
        let mut clients = Vec::new();
        for _ in 0..4 {
            let stream = TcpStream::connect(gateway.address()).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            // Unsent data must not delay the notice of the close.
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            let mut stream: Box<dyn Stream> = if tls {
                let name = gateway.certificates().name().to_owned().try_into().unwrap();
                let config = gateway.certificates().client_config();
                let session = rustls::ClientConnection::new(config, name).unwrap();
                Box::new(rustls::StreamOwned::new(session, stream))
            } else {
                Box::new(stream)
            };
            stream.write_all(head.as_bytes()).unwrap();
            let until = Instant::now() + Duration::from_secs(1);
            while stream.write_all(&[b'x'; 64 * 1024]).is_ok() && Instant::now() < until {}
            clients.push(stream);
        }
        assert_noticed(&gateway, clients, &format!("body unread, TLS: {tls}"));
    }
}

#[test]
fn client_that_leaves_is_noticed_while_the_upstream_does_not_accept_its_body_at_all() {
    // The accept queue is full, so connecting lasts until `connect_timeout`.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let _full: Vec<_> = (0..8)
        .map(|_| {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        })
        .collect();
    let gateway =
        setup(&format!("http://{address}"), false).api("connect_timeout = \"60s\"").start();
    let bytes = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf";
    let clients = ask(&gateway, false, bytes);
    assert_noticed(&gateway, clients, "connecting");
}

#[test]
fn client_whose_end_cannot_come_through_is_waited_for_as_long_as_for_a_body() {
    let url = upstream_after_head(|mut stream| drop(stream.read(&mut [0])));
    let gateway = setup(&url, false).server("body_timeout = \"3s\"").start();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wait_for("the request", || (in_flight(&gateway) == 1.0).then_some(()));
    while stream.write_all(&[b'x'; 16 * 1024]).is_ok() {}
    drop(stream);
    wait_for("its end", || (in_flight(&gateway) == 0.0).then_some(()));
}

#[test]
fn client_that_has_sent_ahead_and_waits_gets_its_responses_however_long_they_take() {
    let url = bare_upstream(|stream| {
        let mut stream = BufReader::new(stream);
        while let Ok(Some(_)) = Message::read_head(&mut stream) {
            std::thread::sleep(Duration::from_millis(1500));
            let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let gateway = setup(&url, false).server("body_timeout = \"500ms\"").start();
    let mut stream = connect(&gateway, false);
    let next = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(9000));
    stream.write_all(next.repeat(3).as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    for _ in 0..3 {
        let answer = Message::read(&mut stream, |_| true).unwrap().unwrap();
        assert_eq!((answer.status(), answer.text()), (200, "ok"));
    }
}

/// Returns the memory of each of many idle connections that have sent this request, in bytes.
fn cost(gateway: &Gateway, request: &[u8]) -> u64 {
    const CONNECTIONS: usize = 500;
    let ask = || {
        let mut stream = connect(gateway, false);
        stream.write_all(request).unwrap();
        let mut stream = BufReader::new(stream);
        assert_eq!(Message::read(&mut stream, |_| true).unwrap().unwrap().status(), 200);
        stream
    };
    let mut waiting: Vec<_> = (0..50).map(|_| ask()).collect();
    let before = gateway.memory("VmRSS");
    waiting.extend((0..CONNECTIONS).map(|_| ask()));
    let after = gateway.memory("VmRSS");
    after.saturating_sub(before) * 1024 / CONNECTIONS as u64
}

#[test]
fn connection_that_has_uploaded_costs_as_little_as_one_that_has_not() {
    let upstream = Upstream::start();
    let start = || setup(&upstream.url(), false).start();
    let get = cost(&start(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let body = vec![b'x'; 200_000];
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let sized = cost(&start(), &[head.as_bytes(), &body].concat());
    let mut chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(1000) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend([chunk, b"\r\n"].concat());
    }
    chunked.extend(b"0\r\n\r\n");
    let chunked = cost(&start(), &chunked);
    upstream.forget();
    println!("{get} bytes behind a GET, {sized} and {chunked} behind an upload");
    assert!(sized.max(chunked) < get + 4096, "{get} bytes behind a GET, {sized} and {chunked}");
}
