//! Peers that are slow, silent, gone, or up to something.

use crate::harness::{Answer, Client, Gateway, Key, Request, Setup, Upstream, wait_for};
use keygate::policy::{Keyring, Snapshot};
use keygate::proxy::{LogWriter, Worker, bind};
use keygate::state::Published;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn open(setup: Setup) -> (Gateway, Key) {
    let key = Key::live("key_all").scopes(&["*"]);
    (setup.scope("all", &["GET /**", "POST /**"]).key(&key).start(), key)
}

/// Accepts connections and keeps them, without a word.
fn silent_listener() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    port
}

#[test]
fn chunked_body_of_a_get_is_forwarded_too() {
    let upstream = Upstream::start();
    let (gateway, key) = open(Gateway::in_front_of(&upstream));
    let mut client = gateway.client();
    let head = format!("GET /search HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n", key.text);
    client.write(format!("{head}5\r\nhello\r\n0\r\n\r\n").as_bytes());
    assert_eq!(client.read("GET").status(), 200);
    assert_eq!(String::from_utf8_lossy(&upstream.last().body), "hello");
}

#[test]
fn names_that_a_client_smuggles_in_trailers_are_dropped() {
    let upstream = Upstream::start();
    let (gateway, key) = open(Gateway::in_front_of(&upstream).api("credentials = [\"bearer\", \"header:X-API-Key\"]"));
    let mut client = gateway.client();
    let names = ["X-Keygate-Key-Id", "X_Keygate_Key_Id", "X-Forwarded-For", "X-API-Key", "X-Request-Id", "X-Check"];
    client.write(
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTrailer: {}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{}\r\n",
            key.text,
            names.join(", "),
            names.map(|name| format!("{name}: 7\r\n")).concat(),
        )
        .as_bytes(),
    );
    assert_eq!(client.read("POST").status(), 200);
    let trailers: Vec<String> = upstream.last().trailers.into_iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(trailers, ["x-check"]);
}

#[test]
fn connection_cannot_take_away_the_credential_that_let_a_request_pass() {
    let upstream = Upstream::start();
    let (gateway, _) =
        open(Gateway::in_front_of(&upstream).api("pass_through = [\"header:DeskToken\"]\npass_through_allows = [\"GET /**\"]"));
    let request = Request::get("/").header("DeskToken", "t").header("Connection", "DeskToken");
    assert_eq!(gateway.send(&request).status(), 200);
    assert_eq!(upstream.last().header("desktoken"), Some("t"));
}

#[test]
fn upstream_that_stops_reading_an_upload_is_to_blame_and_not_the_client() {
    let (gateway, key) =
        open(Gateway::in_front_of_url(&format!("http://127.0.0.1:{}", silent_listener())).api("response_timeout = \"1s\""));
    let length = 64 << 20;
    let mut client = gateway.client();
    client
        .write(format!("POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: {length}\r\n\r\n", key.text).as_bytes());
    // What is not taken any more once the answer is there does not matter.
    client.write(&vec![b'x'; length]);
    let answer = client.read("POST");
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
}

#[test]
fn client_that_stops_sending_its_body_is_to_blame() {
    let (gateway, key) =
        open(Gateway::in_front_of_url(&format!("http://127.0.0.1:{}", silent_listener())).api("response_timeout = \"500ms\""));
    let mut client = gateway.client();
    client.write(format!("POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: 10\r\n\r\nhalf", key.text).as_bytes());
    assert_eq!(client.read("POST").json()["code"], "client_aborted");
}

#[test]
fn requests_that_wait_for_one_http2_connection_do_not_wait_for_each_other_in_turn() {
    let setup = Gateway::in_front_of_url(&format!("h2://127.0.0.1:{}", silent_listener())).api("connect_timeout = \"500ms\"");
    let (gateway, key) = open(setup);
    let started = Instant::now();
    let asking: Vec<_> = (0..24)
        .map(|_| {
            let (mut client, request) = (gateway.client(), Request::get("/").bearer(&key));
            std::thread::spawn(move || client.send(&request).status())
        })
        .collect();
    assert!(asking.into_iter().all(|asking| asking.join().unwrap() == 504));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn http2_connection_without_requests_is_closed_though_its_client_answers_pings() {
    let upstream = Upstream::answering(|_| Answer::new("200 OK", &[], b"done").after(Duration::from_millis(1500)));
    let (gateway, key) = open(Gateway::in_front_of(&upstream).server("idle_timeout = \"500ms\""));
    let io = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::connect(gateway.address()).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get(format!("http://a:{}/", gateway.address().port()));
    let request = request.header("authorization", format!("Bearer {}", key.text)).body(http_body_util::Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200, "a request in flight is no idleness, however long it takes");
    drop(answer);
    let closed = tokio::time::timeout(Duration::from_secs(5), connection).await;
    assert!(closed.is_ok(), "the connection is still open");
}

#[test]
fn http2_client_that_says_nothing_after_the_handshake_is_let_go() {
    let upstream = Upstream::start();
    let (gateway, _) = open(Gateway::in_front_of(&upstream).server("idle_timeout = \"300ms\"").tls(&["localhost"]));
    let mut tls = (*gateway.certificates().client_config()).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let mut session = rustls::ClientConnection::new(Arc::new(tls), "localhost".try_into().unwrap()).unwrap();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut stream).unwrap();
    }
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    wait_for("the end of the connection", || matches!(stream.read(&mut [0; 1024]), Ok(0)).then_some(()));
}

#[test]
fn request_that_is_cut_off_by_the_deadline_for_stopping_is_logged() {
    let upstream = Upstream::answering(|_| Answer::new("200 OK", &[], b"").after(Duration::from_secs(30)));
    let (gateway, key) = open(Gateway::in_front_of(&upstream).server("drain_timeout = \"300ms\""));
    let mut client = gateway.client();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: cut\r\nAuthorization: Bearer {}\r\n\r\n", key.text);
    client.write(request.as_bytes());
    upstream.last();
    gateway.signal("TERM");
    wait_for("its line", || gateway.logged("request_id", "cut").pop());
}

#[test]
fn old_configuration_is_freed_while_connections_from_its_time_stay_open() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let toml = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[log]\nrequests = false\n[[api]]\nname = \"desk\"\nupstream = \"http://127.0.0.1:9\"\n";
    std::fs::write(&file, toml).unwrap();
    let shared = keygate::control::start(&file).unwrap().shared;
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let worker = {
        let shared = shared.clone();
        std::thread::spawn(move || Worker::run(0, shared, vec![listener], &LogWriter::start(true).unwrap()))
    };
    let mut client = Client::plain(address);
    assert_eq!(client.send(&Request::get("/")).status(), 401);

    let server = shared.published().server.clone();
    let snapshot = Snapshot::new(Vec::new(), Keyring::new([]), Vec::new());
    let next = Published { snapshot, apis: Vec::new(), server, tls: None, log_requests: false };
    let old = Arc::downgrade(&shared.publish(Arc::new(next)));
    wait_for("the old configuration is freed", || (old.strong_count() == 0).then_some(()));
    assert_eq!(client.send(&Request::get("/")).status(), 404, "the connection lives on under the new one");
    shared.drain();
    worker.join().unwrap().unwrap();
}
