//! Truncated responses do not count as successes: the log and the metrics say who ended them.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use bytes::Bytes;

use super::http2::{begin, upstream as http2_upstream};
use super::{GET, PATIENCE, Seen, Torn, ask, impatient};
use crate::harness::{
    Certificates, Gateway, Key, SWITCH, Setup, WebSocket, bare_upstream, echo_frames,
    upstream_after_head, wait_for,
};

/// Sends a request over HTTP/2. Returns the number of received body bytes, and whether the body is
/// complete.
async fn ask_over_http2(gateway: &Gateway) -> (usize, Result<(), h2::Error>) {
    let stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://a/x").body(()).unwrap();
    let mut client = client.ready().await.unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let mut came = 0;
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => came += data.len(),
            Err(error) => return (came, Err(error)),
        }
    }
    (came, Ok(()))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("in time") })
}

/// Asserts that `requests` requests had this outcome, and that none was a success.
#[track_caller]
fn assert_ended(gateway: &Gateway, outcome: &str, requests: usize) {
    let lines = wait_for(outcome, || {
        Some(gateway.logged("outcome", outcome)).filter(|lines| lines.len() >= requests)
    });
    assert_eq!(lines.len(), requests, "{lines:?}");
    assert!(lines.iter().all(|line| line["status"] == 200 && line["api"] == "desk"), "{lines:?}");
    assert_eq!(gateway.logged("outcome", "forwarded").len(), 0);
    let by_outcome = |outcome: &str| {
        gateway.metric(&format!(
            "keygate_requests_total{{api=\"desk\",outcome=\"{outcome}\",status=\"2xx\"}}"
        ))
    };
    let cuts = gateway.metric(&format!("keygate_cuts_total{{outcome=\"{outcome}\"}}"));
    assert_eq!(
        (cuts, by_outcome(outcome), by_outcome("forwarded")),
        (Some(requests as f64), Some(requests as f64), Some(0.0))
    );
}

/// Asserts that clients of both protocols see that this upstream's response is truncated.
fn assert_truncated(setup: Setup) {
    let gateway = setup.start();
    let (seen, all) = ask(&gateway, GET);
    assert_eq!((seen, all.contains("ha")), (Torn, true), "{all}");
    let (came, end) = run(ask_over_http2(&gateway));
    assert!(came > 0 && end.is_err(), "{came} bytes, {end:?}");
    assert_ended(&gateway, "upstream_truncated", 2);
}

#[test]
fn answer_that_its_upstream_breaks_off_is_no_success() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nha",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nha",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nha\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhaha\r\n0\r\n\r\n",
    ] {
        let url = upstream_after_head(move |mut stream| {
            let _ = stream.get_mut().write_all(answer.as_bytes());
        });
        assert_truncated(impatient(&url));
    }
}

#[test]
fn answer_over_tls_whose_end_is_not_authentic_is_no_success() {
    let certificates = Certificates::for_names(&["localhost".to_owned()]);
    let folder = tempfile::tempdir().unwrap();
    certificates.write(folder.path());
    for head in ["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nha", "HTTP/1.1 200 OK\r\n\r\nha"] {
        let server = certificates.server_config();
        let url = bare_upstream(move |stream| {
            let session = rustls::ServerConnection::new(server.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream);
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if !stream.read(&mut byte).is_ok_and(|read| read > 0) {
                    return;
                }
                read.extend(byte);
            }
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.flush());
            // Closes without close_notify.
        });
        let url = url.replace("http://127.0.0.1", "https://localhost");
        let ca = folder.path().join("ca.pem");
        let gateway = impatient(&url).api(&format!("upstream_ca = {ca:?}")).start();
        // The upstream's name is resolved shortly after the start.
        wait_for("an answer over TLS", || ask(&gateway, GET).1.contains("\r\nha").then_some(()));
        assert_ended(&gateway, "upstream_truncated", 1);
    }
}

#[test]
fn answer_of_an_http2_upstream_that_is_reset_in_its_middle_is_no_success() {
    for (reason, length) in [(h2::Reason::INTERNAL_ERROR, None), (h2::Reason::NO_ERROR, Some(9))] {
        let url = http2_upstream(async move |mut respond| {
            let mut stream = begin(&mut respond, length);
            stream.send_data(Bytes::from_static(b"ha"), false).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            stream.send_reset(reason);
        });
        assert_truncated(impatient(&url));
    }
}

/// Starts an upstream whose response never ends.
fn endless() -> String {
    upstream_after_head(|mut stream| {
        let mut sent =
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        while sent.is_ok() {
            sent = stream.get_mut().write_all(b"5\r\nhello\r\n");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    })
}

#[test]
fn client_that_leaves_in_the_middle_of_its_answer_is_no_success() {
    let gateway = impatient(&endless()).start();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.write_all(GET.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 200]).unwrap();
    drop(stream);
    assert_ended(&gateway, "client_left", 1);
    run(async {
        let stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let request = http::Request::get("http://a/x").body(()).unwrap();
        let (answer, mut asked) = client.send_request(request, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        body.data().await.unwrap().unwrap();
        asked.send_reset(h2::Reason::CANCEL);
        // The connection must persist until the reset is sent.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    });
    assert_ended(&gateway, "client_left", 2);
}

/// The gateway has read the whole response, but the client has not.
#[test]
fn client_that_leaves_before_it_has_taken_the_rest_is_no_success() {
    const SIZE: usize = 32 << 20;
    let url = upstream_after_head(|mut stream| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        let _ = stream.get_mut().write_all(head.as_bytes());
        let _ = stream.get_mut().write_all(&vec![b'x'; SIZE]);
        let _ = stream.read(&mut [0]);
    });
    let gateway = impatient(&url).start();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.write_all(GET.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 2000]).unwrap();
    drop(stream);
    assert_ended(&gateway, "client_left", 1);
}

#[test]
fn whole_answers_and_websockets_that_end_are_successes() {
    let url = bare_upstream(|stream| {
        let mut stream = BufReader::new(stream);
        while let Ok(Some(request)) = crate::harness::Message::read_head(&mut stream) {
            if request.start.starts_with("GET /live ") {
                let _ = stream.get_mut().write_all(SWITCH);
                let _ = echo_frames(&mut stream);
                return;
            }
            let _ = stream.get_mut().write_all(super::OK.as_bytes());
        }
    });
    let key = Key::live("key_crm").scopes(&["all"]);
    let gateway = impatient(&url).scope("all", &["GET /live"]).key(&key).start();
    assert_eq!(ask(&gateway, GET).0, Seen::Status(200));
    assert!(run(ask_over_http2(&gateway)).1.is_ok());
    let mut socket = WebSocket::open(gateway.address(), None, &key);
    assert!(socket.echo(b"hello"));
    socket.close();
    wait_for("three lines", || (gateway.logged("outcome", "forwarded").len() == 3).then_some(()));
    let page = gateway.admin("/metrics");
    let cuts = page.text().lines().filter(|line| line.starts_with("keygate_cuts_total{"));
    assert!(cuts.clone().count() > 2 && cuts.clone().all(|line| line.ends_with(" 0")), "{page:?}");
}

#[test]
fn answer_that_a_stop_breaks_off_says_so() {
    let gateway = impatient(&endless()).server("drain_timeout = \"300ms\"").start();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.write_all(GET.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 200]).unwrap();
    gateway.signal("TERM");
    wait_for("the line", || gateway.logged("outcome", "gateway_stopped").pop());
    assert_eq!(gateway.ended().code(), Some(0));
}
