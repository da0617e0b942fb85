//! Runs slowhttptest (a Debian package) against the gateway while other clients use it. Every
//! connection of each attack must be closed in time, and the other clients must not be affected.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{Gateway, Key, Request, wait_for};

/// The number of connections of each attack.
const CONNECTIONS: usize = 1000;
/// The longest that an attack may last, in seconds. The timeouts that must end it are two seconds.
const LENGTH: u64 = 40;
/// The size of a response: more than a slow reader's window and the system's buffers hold.
const ANSWER: usize = 1 << 20;

/// Starts an upstream that gives a short response to `/x` and a long one to any other GET, and
/// reads bodies without answering.
fn upstream() -> String {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Otherwise this end's buffers would hold each whole response for a slow reader.
    socket.set_send_buffer_size(64 << 10).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(4096).unwrap();
    let listener = TcpListener::from(socket);
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::Builder::new()
                .stack_size(64 << 10)
                .spawn(move || answer(stream))
                .expect("a thread");
        }
    });
    url
}

fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => return,
        }
        // No body is ever complete in these attacks.
        if request.starts_with(b"GET ") && request.ends_with(b"\r\n\r\n") {
            let body =
                if request.starts_with(b"GET /x ") { vec![b'x'; 2] } else { vec![b'x'; ANSWER] };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
                return;
            }
            request.clear();
        }
    }
}

fn figure(gateway: &Gateway, series: &str) -> f64 {
    let page = gateway.admin("/metrics");
    page.text()
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
        .unwrap_or(0.0)
}

/// Lets only one attack run at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Runs an attack of this kind. Meanwhile, other clients send requests on new and persistent
/// connections.
// Longer than 60 lines: the attack and the other clients share what is measured.
fn withstands(attack: &[&str]) {
    let _turn = TURN.lock();
    // The test process needs one descriptor for each connection of the attack. The gateway inherits
    // this limit and needs up to two.
    let _ = Command::new("prlimit")
        .args(["--nofile=8192", "--pid", &std::process::id().to_string()])
        .status();
    let key = Key::live("key_crm").scopes(&["*"]);
    let setup = Gateway::in_front_of_url(&upstream())
        .api("public = [\"GET /open\", \"POST /open\"]")
        .key(&key);
    let times = "header_timeout = \"2s\"\nbody_timeout = \"2s\"\nidle_timeout = \"2s\"\n\
        min_transfer_rate = \"4KiB\"\nmax_connections_per_address = 0";
    let gateway = setup.server(times).more("[log]\nrequests = false").start();
    let descriptors = gateway.descriptors_at_rest();
    let (over, served) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for keep in [true, false] {
            let (gateway, key, over, served) = (&gateway, &key, over.clone(), &served);
            scope.spawn(move || {
                let mut client = gateway.client();
                while !over.load(Ordering::SeqCst) {
                    if !keep {
                        client = gateway.client();
                    }
                    let answer = client.send(&Request::get("/x").bearer(key));
                    assert_eq!((answer.status(), answer.text()), (200, "xx"));
                    served.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let url = format!("http://{}/open", gateway.address());
        let (many, length) = (CONNECTIONS.to_string(), LENGTH.to_string());
        let common = ["-c", &many, "-r", &many, "-l", &length, "-p", "10", "-u", &url];
        let output = Command::new("slowhttptest")
            .args(attack)
            .args(common)
            .output()
            .expect("slowhttptest: scripts/setup.sh installs it");
        over.store(true, Ordering::SeqCst);
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("No open connections left"),
            "some were still open after {LENGTH} s: {said}"
        );
        let available =
            said.lines().filter(|line| line.contains("service available")).collect::<Vec<_>>();
        assert!(available.iter().all(|line| line.contains("YES")), "{available:?}");
    });
    assert!(served.load(Ordering::SeqCst) > 50, "{served:?} requests of others were served");
    assert!(figure(&gateway, "keygate_connections_total") >= CONNECTIONS as f64);
    for series in ["keygate_connections_open", "keygate_requests_in_flight"] {
        wait_for(series, || (figure(&gateway, series) == 0.0).then_some(()));
    }
    // Upstream connections of the two other clients may be idle in the pool.
    wait_for("no descriptor is left open", || {
        (gateway.descriptors() <= descriptors + 8).then_some(())
    });
}

#[test]
fn slow_heads_of_a_thousand_connections_are_cut_off_and_nobody_else_notices() {
    withstands(&["-H", "-i", "1"]);
}

#[test]
fn slow_bodies_of_a_thousand_connections_are_cut_off_and_nobody_else_notices() {
    withstands(&["-B", "-i", "1", "-s", "65536", "-x", "8"]);
}

#[test]
fn slow_readers_of_a_thousand_answers_are_cut_off_and_nobody_else_notices() {
    // The attack reads everything that it has received before it notices that the connection is
    // closed.
    withstands(&["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "512"]);
}
