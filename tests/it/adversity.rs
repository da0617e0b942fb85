//! Peers that are slow, silent, gone or hostile.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use keygate::policy::{Keyring, Routes, Snapshot, Tombstones};
use keygate::proxy::{LogWriter, bind};
use keygate::state::{Phase, Published, Runtime};

use crate::harness::{Answer, Client, Gateway, Key, Request, Setup, Upstream, wait_for};

/// Longer than any step here takes, and far shorter than the default timeouts.
const SOON: Duration = Duration::from_secs(10);

fn open(setup: Setup) -> (Gateway, Key) {
    let key = Key::live("key_all").scopes(&["*"]);
    (setup.scope("all", &["GET /**", "POST /**"]).key(&key).start(), key)
}

/// Accepts connections, keeps them open and sends nothing. Returns the port.
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
    let head = format!(
        "GET /search HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
            Transfer-Encoding: chunked\r\n\r\n",
        key.text
    );
    client.write(format!("{head}5\r\nhello\r\n0\r\n\r\n").as_bytes());
    assert_eq!(client.read("GET").status(), 200);
    assert_eq!(String::from_utf8_lossy(&upstream.last().body), "hello");
}

#[test]
fn connection_cannot_take_away_the_credential_that_let_a_request_pass() {
    let upstream = Upstream::start();
    let (gateway, _) = open(
        Gateway::in_front_of(&upstream)
            .api("pass_through = [\"header:DeskToken\"]\npass_through_allows = [\"GET /**\"]"),
    );
    let request = Request::get("/").header("DeskToken", "t").header("Connection", "DeskToken");
    assert_eq!(gateway.send(&request).status(), 200);
    assert_eq!(upstream.last().header("desktoken"), Some("t"));
}

#[test]
fn upstream_that_stops_reading_an_upload_is_to_blame_and_not_the_client() {
    let (gateway, key) = open(
        Gateway::in_front_of_url(&format!("http://127.0.0.1:{}", silent_listener()))
            .api("response_timeout = \"1s\""),
    );
    let length = 64 << 20;
    let mut client = gateway.client();
    client.write(
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
            Content-Length: {length}\r\n\r\n",
            key.text
        )
        .as_bytes(),
    );
    // The gateway may stop reading once it has responded, so a failed write does not matter.
    client.write(&vec![b'x'; length]);
    let answer = client.read("POST");
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
}

#[test]
fn client_that_stops_sending_its_body_is_to_blame() {
    let setup = Gateway::in_front_of_url(&format!("http://127.0.0.1:{}", silent_listener()));
    let (gateway, key) =
        open(setup.api("response_timeout = \"300ms\"").server("body_timeout = \"800ms\""));
    let mut client = gateway.client();
    client.write(
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
        Content-Length: 10\r\n\r\nhalf",
            key.text
        )
        .as_bytes(),
    );
    assert_eq!(
        client.read("POST").json()["code"],
        "client_timeout",
        "not the upstream's time is up"
    );
}

#[test]
fn requests_that_wait_for_one_http2_connection_do_not_wait_for_each_other_in_turn() {
    let setup = Gateway::in_front_of_url(&format!("h2://127.0.0.1:{}", silent_listener()))
        .api("connect_timeout = \"500ms\"");
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

#[test]
fn http2_client_that_says_nothing_after_the_handshake_is_let_go() {
    let upstream = Upstream::start();
    let (gateway, _) = open(
        Gateway::in_front_of(&upstream).server("idle_timeout = \"300ms\"").tls(&["localhost"]),
    );
    let mut tls = (*gateway.certificates().client_config()).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let mut session =
        rustls::ClientConnection::new(Arc::new(tls), "localhost".try_into().unwrap()).unwrap();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut stream).unwrap();
    }
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    wait_for("the end of the connection", || {
        matches!(stream.read(&mut [0; 1024]), Ok(0)).then_some(())
    });
}

#[test]
fn request_that_is_cut_off_by_the_deadline_for_stopping_is_logged() {
    let upstream =
        Upstream::answering(|_| Answer::new("200 OK", &[], b"").after(Duration::from_secs(30)));
    let (gateway, key) = open(Gateway::in_front_of(&upstream).server("drain_timeout = \"300ms\""));
    let mut client = gateway.client();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: cut\r\nAuthorization: Bearer {}\r\n\r\n",
        key.text
    );
    client.write(request.as_bytes());
    upstream.last();
    gateway.signal("TERM");
    wait_for("its line", || gateway.logged("request_id", "cut").pop());
}

#[test]
fn old_configuration_is_freed_while_connections_from_its_time_stay_open() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let toml = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[log]\nrequests = false\n\
        [[api]]\nname = \"desk\"\nupstream = \"http://127.0.0.1:9\"\n";
    std::fs::write(&file, toml).unwrap();
    let shared = keygate::control::prepare(&file, None, |_| ()).unwrap().open().unwrap().shared;
    shared.enter(Phase::Running);
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let worker = {
        let shared = shared.clone();
        std::thread::spawn(move || {
            keygate::proxy::run(0, shared, vec![listener], &LogWriter::start(true).unwrap())
        })
    };
    let mut client = Client::plain(address);
    assert_eq!(client.send(&Request::get("/")).status(), 401);

    let server = shared.published().runtime.server.clone();
    let routes = Arc::new(Routes::new(Vec::new(), Vec::new()));
    let snapshot = Snapshot {
        routes: routes.clone(),
        grants: Arc::new([]),
        keyring: Keyring::default(),
        tombstones: Tombstones::default(),
        closed: Arc::default(),
    };
    let runtime =
        Arc::new(Runtime { routes, apis: Vec::new(), server, tls: None, log_requests: false });
    let next = Published { snapshot, runtime };
    let old = Arc::downgrade(&shared.publish(Arc::new(next)));
    wait_for("the old configuration is freed", || (old.strong_count() == 0).then_some(()));
    assert_eq!(
        client.send(&Request::get("/")).status(),
        404,
        "the connection lives on under the new one"
    );
    shared.enter(Phase::Draining);
    worker.join().unwrap().unwrap();
}

#[tokio::test]
async fn unused_http2_connection_is_closed_though_its_client_answers_pings() {
    let slow = Duration::from_millis(2500);
    let upstream = Upstream::answering(move |_| Answer::new("200 OK", &[], b"done").after(slow));
    let key = Key::live("key_crm").scopes(&["*"]);
    let gateway = Gateway::in_front_of(&upstream).server("idle_timeout = \"1s\"").key(&key).start();
    let io = hyper_util::rt::TokioIo::new(
        tokio::net::TcpStream::connect(gateway.address()).await.unwrap(),
    );
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io)
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get(format!("http://{}/slow", gateway.address()))
        .header("authorization", format!("Bearer {}", key.text));
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "done",
        "a request outlives the idle timeout"
    );
    // The sender is kept, so that the gateway and not the client closes the connection.
    tokio::time::timeout(SOON, connection)
        .await
        .expect("closed")
        .unwrap()
        .expect("with GOAWAY, not with an error");
    drop(sender);
}

#[test]
fn silent_http2_connection_does_not_delay_a_stop() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream).start();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
    wait_for("the connection is accepted", || {
        let metrics = String::from_utf8(gateway.admin("/metrics").body).unwrap();
        metrics.contains("\nkeygate_connections_open 1\n").then_some(())
    });
    let begun = Instant::now();
    assert_eq!(gateway.stop().code(), Some(0));
    assert!(
        begun.elapsed() < SOON,
        "the drain timeout of 30 s was not waited for: {:?}",
        begun.elapsed()
    );
}

#[test]
fn trailers_cannot_say_who_calls() {
    let upstream = Upstream::start();
    let key = Key::live("key_crm").scopes(&["*"]);
    let table = "[api.upstream_headers]\nX-Desk-Staff = \"yes\"";
    let gateway = Gateway::in_front_of(&upstream)
        .api("credentials = [\"bearer\", \"header:X-API-Key\"]")
        .table(table)
        .key(&key)
        .start();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    let trailers = [
        "X-Keygate-Key-Id: key_boss",
        "x_keygate_auth: key",
        "X-Forwarded-For: 192.0.2.1",
        "X-Original-URL: /admin",
        "X-Desk-Staff: boss",
        "X-API-Key: other",
        "X-Request-Id: other",
        "Cookie: a=b",
        "X-Sum: 7",
    ];
    let names: Vec<&str> = trailers.iter().filter_map(|line| line.split(':').next()).collect();
    let request = format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTE: trailers\r\n\
            Trailer: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         5\r\nhello\r\n0\r\n{}\r\n\r\n",
        key.text,
        names.join(", "),
        trailers.join("\r\n")
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(upstream.last().trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[test]
fn pipe_in_place_of_the_file_holds_up_neither_the_next_edit_nor_a_stop() {
    let upstream = Upstream::start();
    let key = Key::live("key_crm").scopes(&["*"]);
    let gateway = Gateway::in_front_of(&upstream).key(&key).start();
    let good = std::fs::read_to_string(gateway.file()).unwrap();
    std::fs::remove_file(gateway.file()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(gateway.file()).status().unwrap().success());
    wait_for("the pipe is complained of", || gateway.events("this is not a regular file").pop());
    std::fs::remove_file(gateway.file()).unwrap();
    std::fs::write(gateway.file(), good + "\n[revoked]\nkeys = [\"key_crm\"]\n").unwrap();
    wait_for("the key is revoked", || {
        (gateway.send(&Request::get("/x").bearer(&key)).status() == 401).then_some(())
    });
    assert_eq!(gateway.stop().code(), Some(0));
}

#[test]
fn connection_that_the_upstream_resets_when_it_is_reused_costs_no_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                assert!(stream.read(&mut head).unwrap() > 0);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                // Closing with the next request unread causes a reset.
                let _ = stream.peek(&mut head);
            });
        }
    });
    let key = Key::live("key_crm").scopes(&["*"]);
    let gateway = Gateway::in_front_of_url(&url).key(&key).start();
    let mut client = gateway.client();
    for _ in 0..50 {
        assert_eq!(client.send(&Request::get("/x").bearer(&key)).status(), 200);
    }
}

#[test]
fn client_that_closes_its_side_is_taken_for_gone_and_nothing_is_left_of_it() {
    let upstream = Upstream::answering(|_| {
        Answer::new("200 OK", &[], b"late").after(Duration::from_millis(300))
    });
    let (gateway, key) = open(Gateway::in_front_of(&upstream));
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream
        .write_all(
            format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", key.text)
                .as_bytes(),
        )
        .unwrap();
    upstream.last();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(
        stream.read(&mut [0; 64]).unwrap_or(0),
        0,
        "as with most gateways, whoever closes early gets no answer"
    );
    wait_for("nothing in flight", || {
        gateway.admin("/metrics").text().contains("\nkeygate_requests_in_flight 0\n").then_some(())
    });
    assert_eq!(
        gateway.send(&Request::get("/").bearer(&key)).text(),
        "late",
        "the next caller is served"
    );
}
