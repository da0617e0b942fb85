//! APIs that fail in many ways: the client gets the right status or sees that its response is
//! truncated, nothing is leaked, and the next request is served.

mod cut_short;
mod each_fault;
mod faulty;
mod http2;
mod refused;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use self::Seen::{Status, Torn};
use self::faulty::{Faulty, Next, say};
use crate::harness::{Gateway, PATIENCE, Setup, wait_for};

/// What the client must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// A complete response with this status.
    Status(u16),
    /// A truncated response, recognisable as such.
    Torn,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Returns the settings of an API that needs no key, with short timeouts.
fn impatient(url: &str) -> Setup {
    let times = "connect_timeout = \"1s\"\nresponse_timeout = \"1s\"\nidle_timeout = \"1s\"\n\
        keep_alive = \"2s\"";
    Gateway::in_front_of_url(url)
        .api("public = [\"GET /**\", \"HEAD /**\", \"POST /**\"]")
        .api(times)
}

/// Sends a request on a connection of its own. Returns what the client sees, and the received text.
fn ask(gateway: &Gateway, request: &str) -> (Seen, String) {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let all = String::from_utf8_lossy(&all).into_owned();
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {all:?}"));
    let whole = match head.split("\r\n").find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => length.parse() == Ok(body.len()),
        None if head.contains("transfer-encoding: chunked") => body.ends_with("0\r\n\r\n"),
        None => true,
    };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (if whole { Status(status) } else { Torn }, all.clone())
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const POST: &str =
    "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";

fn figure(gateway: &Gateway, series: &str) -> f64 {
    let page = gateway.admin("/metrics");
    page.text()
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
        .unwrap_or(0.0)
}

/// Asserts that nothing is in flight, no connection is open on either side, and no more descriptors
/// are open than before.
fn assert_back_to(gateway: &Gateway, descriptors: usize) {
    for series in
        ["keygate_requests_in_flight", "keygate_connections_open", "keygate_upstream_pool_idle"]
    {
        wait_for(series, || (figure(gateway, series) == 0.0).then_some(()));
    }
    wait_for("no descriptor is left open", || (gateway.descriptors() <= descriptors).then_some(()));
}

#[test]
fn upstream_that_is_killed_and_started_again_is_used_again_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let gateway = impatient(&format!("http://{address}")).start();
    let descriptors = gateway.descriptors_at_rest();
    drop(listener);
    for _ in 0..5 {
        let begun = Instant::now();
        for _ in 0..10 {
            assert_eq!(ask(&gateway, POST).0, Status(502));
        }
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "nobody waits for an upstream that is not there"
        );
        let upstream = Faulty::at(address);
        assert_eq!(ask(&gateway, POST).0, Status(200));
        upstream.kill();
    }
    assert_back_to(&gateway, descriptors);
}

#[test]
fn upstream_that_accepts_nobody_is_given_up_in_time() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // Fills the accept queue.
    let filling: Vec<_> = (0..3)
        .map(|_| {
            let filling =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            filling.set_nonblocking(true).unwrap();
            let _ = filling.connect(&address.into());
            filling
        })
        .collect();
    let gateway = impatient(&format!("http://{address}")).start();
    let descriptors = gateway.descriptors_at_rest();
    let begun = Instant::now();
    let (seen, all) = ask(&gateway, GET);
    assert_eq!((seen, all.contains("upstream_timeout")), (Status(504), true), "{all}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_back_to(&gateway, descriptors);
    drop(filling);
}

#[test]
fn upstream_whose_name_is_nobodys_gives_502_and_does_not_hold_up_others() {
    let well = Faulty::start();
    let other = format!(
        "[[api]]\nname = \"well\"\nbase_path = \"/well\"\npublic = [\"GET /well\"]\n\
            upstream = \"{}\"\n",
        well.url()
    );
    let gateway = impatient("http://no-such-name.invalid:80").more(&other).start();
    assert_eq!(ask(&gateway, GET).0, Status(502));
    assert_eq!(ask(&gateway, &GET.replace("/x", "/well")).0, Status(200));
}

#[test]
fn upgrade_that_is_refused_is_an_ordinary_answer_and_the_connection_goes_on() {
    let upstream = Faulty::start();
    upstream.break_with(|stream| {
        say(stream, "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno", Next::Request)
    });
    let gateway = impatient(&upstream.url()).start();
    let upgrade = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";
    let (seen, all) = ask(&gateway, &format!("{upgrade}{upgrade}{GET}"));
    assert!(seen != Torn || all.matches("HTTP/1.1 426 ").count() == 3, "{all}");
    assert_eq!(all.matches("HTTP/1.1 426 ").count(), 3, "each is answered as a request: {all}");
    upstream.heal();
    assert_eq!(ask(&gateway, GET).0, Status(200));
}
