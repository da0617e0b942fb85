//! How the gateway stops: it accepts nothing new, finishes what is in flight, and notifies its
//! peers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::harness::{Answer, Client, Gateway, Key, Request, Setup, Upstream, wait_for};

fn open(setup: Setup) -> (Gateway, Key) {
    let key = Key::live("key_all").scopes(&["*"]);
    (setup.scope("all", &["GET /**"]).key(&key).start(), key)
}

#[test]
fn request_in_flight_is_finished_and_the_exit_is_clean() {
    let upstream = Upstream::answering(|_| {
        Answer::new("200 OK", &[], b"done").after(Duration::from_millis(600))
    });
    let (gateway, key) = open(Gateway::in_front_of(&upstream));
    let mut client = gateway.client();
    let request = Request::get("/slow").bearer(&key);
    let asking = std::thread::spawn(move || (client.send(&request), client));
    upstream.last();
    gateway.signal("TERM");
    let (address, admin) = (gateway.address(), gateway.admin_address());
    wait_for("no new connections", || TcpStream::connect(address).is_err().then_some(()));
    assert_eq!(Client::plain(admin).send(&Request::get("/readyz").host("127.0.0.1")).status(), 503);
    let (answer, mut client) = asking.join().unwrap();
    assert_eq!((answer.status(), answer.text()), (200, "done"));
    assert!(client.is_closed(), "an idle connection is closed");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn drain_has_a_deadline() {
    let upstream =
        Upstream::answering(|_| Answer::new("200 OK", &[], b"").after(Duration::from_secs(30)));
    let (gateway, key) = open(Gateway::in_front_of(&upstream).server("drain_timeout = \"300ms\""));
    let mut client = gateway.client();
    client.write(
        format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", key.text)
            .as_bytes(),
    );
    upstream.last();
    assert_eq!(gateway.stop().code(), Some(0));
}

#[tokio::test]
async fn http2_client_is_told_to_go_away_and_its_request_is_finished() {
    let upstream = Upstream::answering(|_| {
        Answer::new("200 OK", &[], b"done").after(Duration::from_millis(600))
    });
    let (gateway, key) = open(Gateway::in_front_of(&upstream).tls(&["localhost"]));
    let mut tls = (*gateway.certificates().client_config()).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io)
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request =
        http::Request::get(format!("https://localhost:{}/slow", gateway.address().port()));
    let request = request
        .header("authorization", format!("Bearer {}", key.text))
        .body(http_body_util::Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.unwrap());
    let stopping = tokio::task::spawn_blocking(move || {
        upstream.last();
        gateway.stop()
    });
    assert_eq!(answer.await.unwrap().status(), 200);
    connection.await.unwrap().expect("GOAWAY ends the connection without an error");
    assert_eq!(stopping.await.unwrap().code(), Some(0));
}

#[test]
// Longer than 60 lines: one conversation, in order.
fn websocket_passes_and_is_closed_with_a_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (told, upstream_saw) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            stream.read_line(&mut head).unwrap();
        }
        let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
        stream.get_mut().write_all(switch.as_bytes()).unwrap();
        let mut frame = [0; 8]; // a masked text frame of two bytes
        stream.read_exact(&mut frame).unwrap();
        stream.get_mut().write_all(b"\x81\x02ok").unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        told.send((head.to_ascii_lowercase(), rest)).unwrap();
    });
    let (gateway, key) = open(Gateway::in_front_of_url(&url));
    let mut stream = BufReader::new(TcpStream::connect(gateway.address()).unwrap());
    stream.get_ref().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "GET /live HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
            Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        key.text
    );
    stream.get_mut().write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        stream.read_line(&mut answer).unwrap();
    }
    let answer = answer.to_ascii_lowercase();
    assert!(
        answer.starts_with("http/1.1 101 ") && answer.contains("sec-websocket-accept: x"),
        "{answer}"
    );
    assert!(
        answer.contains("upgrade: websocket") && answer.contains("connection: upgrade"),
        "{answer}"
    );
    stream.get_mut().write_all(b"\x81\x82\0\0\0\0hi").unwrap();
    let mut frame = [0; 4];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(&frame, b"\x81\x02ok");

    gateway.signal("TERM");
    let mut close = [0; 4];
    stream.read_exact(&mut close).unwrap();
    assert_eq!(
        (close[0], close[2..4].to_vec()),
        (0x88, 1001u16.to_be_bytes().to_vec()),
        "a Close frame, going away"
    );
    let mut reason = vec![0; usize::from(close[1]) - 2];
    stream.read_exact(&mut reason).unwrap();
    assert_eq!(String::from_utf8(reason).unwrap(), "the gateway is stopping");
    drop(stream);
    let (head, rest) = upstream_saw.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(head.contains("upgrade: websocket") && !head.contains("authorization"), "{head}");
    assert_eq!(
        (rest[0], rest[1] & 0x80),
        (0x88, 0x80),
        "the upstream is told too, in a masked frame"
    );
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn gateway_serves_everything_and_says_that_it_is_not_ready_for_the_time_before_it_stops() {
    let upstream = Upstream::start();
    let (gateway, key) =
        open(Gateway::in_front_of(&upstream).server("shutdown_delay = \"1500ms\""));
    let request = Request::get("/x").bearer(&key);
    let mut open_before = gateway.client();
    assert_eq!(open_before.send(&request).status(), 200);
    assert_eq!(gateway.admin("/readyz").status(), 200);
    let told = std::time::Instant::now();
    gateway.signal("TERM");
    let ready = wait_for("/readyz says so", || {
        Some(gateway.admin("/readyz")).filter(|answer| answer.status() == 503)
    });
    assert_eq!(ready.text(), "about to stop\n");
    while told.elapsed() < Duration::from_millis(1200) {
        assert_eq!(gateway.send(&request).status(), 200, "on a new connection");
        let answer = open_before.send(&request);
        assert_eq!(
            (answer.status(), answer.header("connection")),
            (200, None),
            "on one that was open before"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(open_before);
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(told.elapsed() >= Duration::from_millis(1500));
}

#[test]
fn second_signal_and_interrupt_do_not_wait_for_the_time_before_the_stop() {
    for signals in [&["TERM", "TERM"][..], &["INT"]] {
        let upstream = Upstream::start();
        let (gateway, _) = open(Gateway::in_front_of(&upstream).server("shutdown_delay = \"1h\""));
        gateway.signal(signals[0]);
        if signals.len() > 1 {
            wait_for("the delay begins", || {
                (gateway.admin("/readyz").status() == 503).then_some(())
            });
            gateway.signal(signals[1]);
        }
        assert_eq!(gateway.ended().code(), Some(0));
    }
}

#[test]
fn process_leaves_no_core_dump_unless_it_is_allowed_to() {
    let upstream = Upstream::start();
    let soft_limit = |gateway: &Gateway| {
        let limits =
            std::fs::read_to_string(format!("/proc/{}/limits", gateway.process())).unwrap();
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max core file size"))
            .unwrap()
            .to_owned();
        line.split_whitespace().next().unwrap().to_owned()
    };
    // The `/proc` files of a process that is not dumpable belong to root, whoever runs it.
    let owner = |gateway: &Gateway| {
        std::os::unix::fs::MetadataExt::uid(
            &std::fs::metadata(format!("/proc/{}/fd", gateway.process())).unwrap(),
        )
    };
    let (gateway, _) = open(Gateway::in_front_of(&upstream));
    assert_eq!((soft_limit(&gateway).as_str(), owner(&gateway)), ("0", 0));
    gateway.upgrade();
    assert_eq!(soft_limit(&gateway), "0");
    // With `core_dumps = true` the gateway raises the soft limit to the hard limit.
    let (allowed, _) = open(Gateway::in_front_of(&upstream).server("core_dumps = true"));
    let own = std::fs::read_to_string("/proc/self/limits").unwrap();
    let hard = own
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .to_owned();
    assert_eq!(soft_limit(&allowed), hard);
}
