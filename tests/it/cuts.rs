//! If a key becomes invalid during a request, the request is terminated within a second.

mod http2;

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::harness::{
    Client, Gateway, Key, Message, PATIENCE, Request, field, hex_digest, wait_for,
};

const PROMISE: Duration = Duration::from_secs(1);
const REVOKED: &str = "\n[revoked]\nkeys = [\"key_leaked\"]\n";
const TOKEN: &str = "token-of-a-test-of-cuts";
const TICK: &[u8] = b"c\r\ndata: tick\n\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";

type Stream = BufReader<TcpStream>;

/// Starts an upstream that runs the same script for each connection. The test receives what the
/// script sends.
fn upstream(
    script: impl Fn(Stream, Sender<Vec<u8>>) + Send + Sync + 'static,
) -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (say, heard) = channel();
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (script, say) = (script.clone(), say.clone());
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                if let Ok(Some(_)) = Message::read_head(&mut stream) {
                    script(stream, say);
                }
            });
        }
    });
    (url, heard)
}

/// Sends server-sent events until the gateway closes the connection, and then notifies the test.
fn tick(mut stream: Stream, say: Sender<Vec<u8>>) {
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut sent = stream.get_mut().write_all(head);
    while sent.is_ok() {
        sent = stream.get_mut().write_all(TICK);
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = say.send(Vec::new());
}

/// Sends a response body that is practically endless until the gateway closes the connection, and
/// then notifies the test.
fn flood(mut stream: Stream, say: Sender<Vec<u8>>) {
    let mut sent =
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n");
    while sent.is_ok() {
        sent = stream.get_mut().write_all(&[7; 65_536]);
    }
    let _ = say.send(Vec::new());
}

/// Notifies the test that the request has arrived. Once the gateway closes the connection, sends
/// the test everything that followed the head. Never responds.
fn listen(mut stream: Stream, say: Sender<Vec<u8>>) {
    let _ = say.send(Vec::new());
    let _ = say.send(until_closed(&mut stream));
}

/// Returns everything that is received until the peer closes the connection.
#[track_caller]
fn until_closed(stream: &mut impl Read) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 65_536]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return all,
            Ok(read) => all.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("still open"),
            Err(_) => return all,
        }
    }
}

/// A gateway with a key that is about to become invalid, and another key.
struct Desk {
    gateway: Gateway,
    leaked: Key,
    crm: Key,
}

impl Desk {
    fn open(url: &str) -> Self {
        Self::open_with(url, Key::live("key_leaked"), "")
    }

    fn open_with(url: &str, leaked: Key, more: &str) -> Self {
        let (leaked, crm) = (leaked.scopes(&["*"]), Key::live("key_crm").scopes(&["*"]));
        let setup = Gateway::in_front_of_url(url)
            .api("public = [\"GET /status\"]")
            .scope("all", &["GET /**", "POST /**"]);
        let gateway = setup.key(&leaked).key(&crm).more(more).start();
        Self { gateway, leaked, crm }
    }

    /// Sends the head of a request on a new connection.
    fn ask(&self, start: &str, key: Option<&Key>, fields: &str) -> Stream {
        let stream = TcpStream::connect(self.gateway.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let key =
            key.map(|key| format!("Authorization: Bearer {}\r\n", key.text)).unwrap_or_default();
        (&stream)
            .write_all(
                format!("{start} HTTP/1.1\r\nHost: desk.example\r\n{key}{fields}\r\n").as_bytes(),
            )
            .unwrap();
        BufReader::new(stream)
    }

    /// Sends the head of a request, reads the head of the response, and asserts its status.
    #[track_caller]
    fn open_stream(&self, start: &str, key: Option<&Key>, fields: &str, status: u16) -> Stream {
        let mut stream = self.ask(start, key, fields);
        assert_eq!(Message::read_head(&mut stream).unwrap().unwrap().status(), status);
        stream
    }

    /// Revokes the key. Returns when the revocation took effect.
    #[track_caller]
    fn revoke(&self) -> Instant {
        self.edit(|toml| toml.push_str(REVOKED))
    }

    #[track_caller]
    fn edit(&self, change: impl FnOnce(&mut String)) -> Instant {
        self.gateway.edit(change);
        wait_for("the change is in force", || {
            (!self.gateway.events("configuration changed").is_empty()).then(Instant::now)
        })
    }

    /// Asserts that exactly one request was terminated, for this reason, and that its log line says
    /// so.
    #[track_caller]
    fn assert_cut_once(&self, reason: &str, status: u16) {
        let logged =
            wait_for("the line in the log", || self.gateway.logged("outcome", reason).pop());
        assert_eq!(
            (field(&logged, "status").unwrap(), field(&logged, "api").unwrap()),
            (&status.into(), &"desk".into()),
            "{logged}"
        );
        let page = self.gateway.admin("/metrics").text().to_owned();
        let cuts: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("keygate_cuts_total{") && !line.ends_with(" 0"))
            .collect();
        assert_eq!(cuts, [format!("keygate_cuts_total{{outcome=\"{reason}\"}} 1")]);
    }
}

#[track_caller]
fn assert_in_time(in_force: Instant) {
    assert!(in_force.elapsed() < PROMISE, "it took {:?}", in_force.elapsed());
}

#[track_caller]
fn assert_ticks(stream: &mut Stream) {
    let mut ticks = vec![0; 3 * TICK.len()];
    stream.read_exact(&mut ticks).unwrap();
}

#[test]
fn server_sent_events_are_cut_and_those_of_others_live_on() {
    let (url, closed) = upstream(tick);
    let desk = Desk::open(&url);
    let [mut leaked, mut crm, mut public] =
        [("/a", Some(&desk.leaked)), ("/b", Some(&desk.crm)), ("/status", None)]
            .map(|(path, key)| desk.open_stream(&format!("GET {path}"), key, "", 200));
    assert_ticks(&mut leaked);
    let in_force = desk.revoke();
    let body = until_closed(&mut leaked);
    assert_in_time(in_force);
    assert!(!body.ends_with(b"0\r\n\r\n"), "a part must not look like the whole");
    closed.recv_timeout(PATIENCE).expect("the upstream's side is closed");
    for other in [&mut crm, &mut public] {
        // Discard everything received so far, so that these ticks are new.
        other.get_ref().set_nonblocking(true).unwrap();
        while other.read(&mut [0; 4096]).is_ok() {}
        other.get_ref().set_nonblocking(false).unwrap();
        assert_ticks(other);
    }
    assert!(closed.try_recv().is_err(), "the others' upstream connections stay");
    desk.assert_cut_once("revoked_key", 200);
}

#[test]
fn request_that_has_ended_is_not_cut() {
    let (url, _closed) = upstream(|mut stream, _| {
        let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        until_closed(&mut stream);
    });
    let desk = Desk::open(&url);
    let mut client = desk.gateway.client();
    let request = Request::get("/").bearer(&desk.leaked);
    assert_eq!(client.send(&request).status(), 200);
    desk.revoke();
    // The connection persists. Only the key is refused.
    wait_for("401", || (client.send(&request).status() == 401).then_some(()));
    assert_eq!(client.send(&request.clone().header("X", "y")).status(), 401);
    let page = desk.gateway.admin("/metrics");
    assert!(
        page.text().contains("keygate_cuts_total{outcome=\"revoked_key\"} 0\n"),
        "{}",
        page.text()
    );
}

#[test]
fn download_that_the_client_does_not_read_is_cut() {
    let (url, closed) = upstream(flood);
    let desk = Desk::open(&url);
    let mut stream = desk.open_stream("GET /file", Some(&desk.leaked), "", 200);
    let in_force = desk.revoke();
    closed.recv_timeout(PATIENCE).expect("the upstream's side is closed");
    assert_in_time(in_force);
    desk.assert_cut_once("revoked_key", 200);
    // Data in flight may still arrive.
    assert!(until_closed(&mut stream).len() < 1_000_000_000);
}

#[test]
fn request_that_waits_for_its_answer_is_refused() {
    let (url, heard) = upstream(listen);
    let desk = Desk::open(&url);
    let mut stream = desk.ask("GET /slow", Some(&desk.leaked), "");
    heard.recv_timeout(PATIENCE).expect("the request is at the upstream");
    let in_force = desk.revoke();
    let answer = Message::read(&mut stream, |_| true).unwrap().unwrap();
    assert_eq!((answer.status(), answer.header("connection")), (401, Some("close")));
    assert_eq!(answer.json()["code"], "revoked_key");
    until_closed(&mut stream);
    assert_in_time(in_force);
    heard.recv_timeout(PATIENCE).expect("the upstream's side is closed");
    desk.assert_cut_once("revoked_key", 401);
}

#[test]
fn upload_is_refused_and_its_connection_closed_while_the_client_still_sends() {
    let (url, heard) = upstream(listen);
    let desk = Desk::open(&url);
    let mut stream = desk.ask("POST /upload", Some(&desk.leaked), "Transfer-Encoding: chunked\r\n");
    let mut sender = stream.get_ref().try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        while sender.write_all(b"5\r\nhello\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    heard.recv_timeout(PATIENCE).expect("the request is at the upstream");
    let in_force = desk.revoke();
    let answer = Message::read(&mut stream, |_| true).unwrap().unwrap();
    assert_eq!((answer.status(), answer.header("connection")), (401, Some("close")));
    let body = heard.recv_timeout(PATIENCE).expect("the upstream's side is closed");
    sending.join().unwrap();
    assert_in_time(in_force);
    assert!(
        body.starts_with(b"5\r\nhello") && !body.ends_with(b"0\r\n\r\n"),
        "a part must not look like the whole"
    );
    desk.assert_cut_once("revoked_key", 401);
}

#[test]
fn key_that_expires_loses_its_stream() {
    let (url, _closed) = upstream(tick);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = now().as_secs() + 5;
    let expires = jiff::Timestamp::from_second(i64::try_from(end).unwrap()).unwrap();
    let desk =
        Desk::open_with(&url, Key::live("key_leaked").set(&format!("expires_at = {expires}")), "");
    let mut stream = desk.open_stream("GET /events", Some(&desk.leaked), "", 200);
    until_closed(&mut stream);
    let late = now().checked_sub(Duration::from_secs(end)).expect("not before it expires");
    assert!(late < PROMISE, "{late:?}");
    desk.assert_cut_once("expired_key", 200);
}

#[test]
fn key_whose_block_is_deleted_loses_its_stream() {
    let (url, _closed) = upstream(tick);
    let desk = Desk::open(&url);
    let mut stream = desk.open_stream("GET /events", Some(&desk.leaked), "", 200);
    let in_force = desk.edit(|toml| *toml = toml.replace(&desk.leaked.block(), ""));
    until_closed(&mut stream);
    assert_in_time(in_force);
    desk.assert_cut_once("unknown_key", 200);
}

#[test]
fn key_that_is_paused_through_the_api_loses_its_stream() {
    let (url, _closed) = upstream(tick);
    let folder = tempfile::tempdir().unwrap();
    let settings = format!(
        "\n[store]\npath = \"{}\"\n\n[[admin.token]]\nname = \"ops\"\nrole = \"manage\"\n\
            sha256 = \"{}\"\n",
        folder.path().join("keys.db").display(),
        hex_digest(TOKEN)
    );
    let desk = Desk::open_with(&url, Key::live("key_leaked"), &settings);
    let post = |path: &str, body: &str| {
        let request = Request::new("POST", path)
            .host("127.0.0.1")
            .header("Authorization", &format!("Bearer {TOKEN}"));
        let request = if body.is_empty() {
            request
        } else {
            request.header("Content-Type", "application/json").body(body.as_bytes())
        };
        Client::plain(desk.gateway.admin_address()).send(&request)
    };
    let made = post("/v1/keys", "{\"name\":\"Phone\",\"scopes\":[\"all\"]}");
    assert_eq!(made.status(), 201, "{}", made.text());
    let made = made.json();
    let bearer = format!("Authorization: Bearer {}\r\n", made["key"].as_str().unwrap());
    let mut stream = desk.open_stream("GET /events", None, &bearer, 200);
    let paused = post(&format!("/v1/keys/{}/pause", made["id"].as_str().unwrap()), "");
    let in_force = Instant::now();
    assert_eq!(paused.status(), 200, "{}", paused.text());
    until_closed(&mut stream);
    assert_in_time(in_force);
    desk.assert_cut_once("paused_key", 200);
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\
    Sec-WebSocket-Version: 13\r\n";

#[test]
fn websocket_is_closed_with_a_reason_though_nobody_answers_it() {
    let (url, heard) = upstream(|mut stream, say| {
        stream.get_mut().write_all(SWITCH).unwrap();
        let _ = say.send(until_closed(&mut stream));
    });
    let desk = Desk::open(&url);
    let mut stream = desk.open_stream("GET /live", Some(&desk.leaked), UPGRADE, 101);
    let in_force = desk.revoke();
    let close = until_closed(&mut stream);
    let masked = heard.recv_timeout(PATIENCE).expect("the upstream's side is closed");
    assert_in_time(in_force);
    assert_eq!(
        (close[0], &close[2..4], &close[4..]),
        (0x88, &1008u16.to_be_bytes()[..], &b"the API key is no longer valid"[..])
    );
    assert_eq!(
        (masked[0], masked[1] & 0x80, masked.len()),
        (0x88, 0x80, close.len() + 4),
        "the upstream is told too"
    );
    desk.assert_cut_once("revoked_key", 101);
}

#[test]
fn websocket_whose_client_does_not_read_is_closed() {
    let (url, heard) = upstream(|mut stream, say| {
        let frame = [&[0x82, 126, 0x40, 0][..], &[7; 0x4000]].concat();
        let mut sent = stream.get_mut().write_all(SWITCH);
        while sent.is_ok() {
            sent = stream.get_mut().write_all(&frame);
        }
        let _ = say.send(Vec::new());
    });
    let desk = Desk::open(&url);
    let _stream = desk.open_stream("GET /live", Some(&desk.leaked), UPGRADE, 101);
    let in_force = desk.revoke();
    heard.recv_timeout(PATIENCE).expect("the upstream's side is closed");
    assert_in_time(in_force);
    desk.assert_cut_once("revoked_key", 101);
}
