//! What passes through the gateway: protocols, bodies, interim answers, trailers, and every kind of
//! upstream.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;

use crate::harness::{
    Answer, Certificates, Gateway, Key, Request, Setup, Upstream, bare_upstream, wait_for,
};

fn open(setup: Setup) -> (Setup, Key) {
    let key = Key::live("key_all").scopes(&["*"]);
    (setup.scope("all", &["GET /**", "POST /**"]).key(&key), key)
}

/// Reads a head; returns it in lower case.
fn read_head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).is_ok_and(|read| read > 0) {}
    head.to_ascii_lowercase()
}

fn browser(certificates: &Certificates) -> reqwest::ClientBuilder {
    reqwest::Client::builder().use_preconfigured_tls((*certificates.client_config()).clone())
}

#[tokio::test]
async fn alpn_chooses_http2_and_http1_serves_the_same() {
    let upstream = Upstream::start();
    let (setup, key) = open(Gateway::in_front_of(&upstream).tls(&["localhost"]));
    let gateway = setup.start();
    let url = format!("https://localhost:{}/api/v1/tickets", gateway.address().port());
    let mut alpn = (*gateway.certificates().client_config()).clone();
    alpn.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let modern = reqwest::Client::builder().use_preconfigured_tls(alpn).build().unwrap();
    let old = browser(gateway.certificates()).http1_only().build().unwrap();
    for (client, version) in [(modern, http::Version::HTTP_2), (old, http::Version::HTTP_11)] {
        let answer = client.get(&url).bearer_auth(&key.text).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        assert_eq!(answer.text().await.unwrap(), r#"{"data":[]}"#);
    }
    let seen = upstream.requests();
    assert!(seen.iter().all(|request| request.start == "GET /api/v1/tickets HTTP/1.1"), "{seen:?}");
    assert_eq!(seen[0].header("via"), Some("2 keygate"));
    assert_eq!(seen[0].header("host"), Some(&*format!("localhost:{}", gateway.address().port())));
}

#[test]
fn cookies_of_one_http2_request_reach_the_upstream_as_one_field() {
    let upstream = Upstream::start();
    let (setup, key) = open(Gateway::in_front_of(&upstream));
    let gateway = setup.start();
    let answer = gateway
        .send(&Request::get("/").bearer(&key).header("Cookie", "a=1").header("Cookie", "b=2"));
    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.last().all("cookie"), ["a=1; b=2"]);
}

#[test]
fn head_has_the_length_and_no_body() {
    let upstream = Upstream::start();
    let (setup, key) = open(Gateway::in_front_of(&upstream));
    let gateway = setup.start();
    let mut client = gateway.client();
    let answer = client.send(&Request::new("HEAD", "/x").bearer(&key));
    assert_eq!(
        (answer.status(), answer.header("content-length"), answer.text()),
        (200, Some("11"), "")
    );
    assert_eq!(
        client.send(&Request::get("/x").bearer(&key)).text(),
        r#"{"data":[]}"#,
        "the connection goes on"
    );
    assert_eq!(upstream.requests()[0].start, "HEAD /x HTTP/1.1");
}

/// Content would be a broken stream to the client.
#[tokio::test]
async fn head_over_http2_is_refused_without_content_but_with_its_length() {
    let upstream = Upstream::start();
    let (setup, _) = open(Gateway::in_front_of(&upstream));
    let gateway = setup.start();
    let url = format!("http://{}/x", gateway.address());
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let full = client.get(&url).send().await.unwrap();
    let answer = client.head(&url).send().await.unwrap();
    assert_eq!((answer.status(), answer.version()), (full.status(), http::Version::HTTP_2));
    assert_eq!(answer.headers()["content-length"], full.headers()["content-length"]);
    assert_eq!(full.status().as_u16(), 401);
    assert_eq!(answer.bytes().await.expect("a whole stream").len(), 0);
}

#[test]
fn continue_is_said_only_once_the_request_is_admitted() {
    let upstream = Upstream::start();
    let (setup, key) = open(Gateway::in_front_of(&upstream));
    let gateway = setup.start();
    let mut stream = BufReader::new(TcpStream::connect(gateway.address()).unwrap());
    let head = |credential: &str| {
        format!(
            "POST /x HTTP/1.1\r\nHost: a\r\n{credential}Expect: 100-continue\r\n\
                Content-Length: 5\r\n\r\n"
        )
    };
    stream
        .get_mut()
        .write_all(head(&format!("Authorization: Bearer {}\r\n", key.text)).as_bytes())
        .unwrap();
    assert!(read_head(&mut stream).starts_with("http/1.1 100 "));
    stream.get_mut().write_all(b"hello").unwrap();
    assert!(read_head(&mut stream).starts_with("http/1.1 200 "));
    let seen = upstream.last();
    assert_eq!((seen.text(), seen.header("expect")), ("hello", None));

    let mut stream = BufReader::new(TcpStream::connect(gateway.address()).unwrap());
    stream.get_mut().write_all(head("").as_bytes()).unwrap();
    assert!(
        read_head(&mut stream).starts_with("http/1.1 401 "),
        "without a key there is nothing to continue"
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn events_arrive_as_they_are_sent() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Mutex::new(receiver);
    let upstream = bare_upstream(move |stream| {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
            transfer-encoding: chunked\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            stream
                .get_mut()
                .write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
                .unwrap();
            // The next event is sent only when the client says that it has this one.
            let _ = receiver.lock().unwrap().recv_timeout(Duration::from_secs(10));
        }
        stream.get_mut().write_all(b"0\r\n\r\n").unwrap();
    });
    let (setup, key) = open(Gateway::in_front_of_url(&upstream));
    let gateway = setup.start();
    let mut stream = BufReader::new(TcpStream::connect(gateway.address()).unwrap());
    stream.get_ref().set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
        .get_mut()
        .write_all(
            format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", key.text)
                .as_bytes(),
        )
        .unwrap();
    assert!(read_head(&mut stream).contains("text/event-stream"));
    for expected in ["data: 1", "data: 2"] {
        let mut line = String::new();
        while !line.contains(expected) {
            assert!(stream.read_line(&mut line).expect("the event before the next is sent") > 0);
        }
        sender.send(()).unwrap();
    }
}

#[test]
fn trailers_pass_both_ways() {
    let upstream = bare_upstream(|stream| {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream);
        let body = read_head(&mut stream); // chunks and trailers end like a head
        let answer = format!(
            "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n\
                {body}\r\n0\r\nx-sum: 42\r\n\r\n",
            body.len()
        );
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
    });
    let (setup, key) = open(Gateway::in_front_of_url(&upstream));
    let gateway = setup.start();
    let mut stream = BufReader::new(TcpStream::connect(gateway.address()).unwrap());
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTE: trailers\r\n\
            Trailer: x-check\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         5\r\nhello\r\n0\r\nx-check: 7\r\n\r\n",
        key.text
    );
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains("hello") && answer.contains("x-check: 7"),
        "the upstream saw the request's trailer: {answer}"
    );
    assert!(
        answer.ends_with("0\r\nx-sum: 42\r\n\r\n"),
        "the client saw the answer's trailer: {answer}"
    );
}

#[test]
fn bodies_of_any_size_pass_in_constant_memory() {
    const SIZE: usize = 256 << 20;
    let upstream = bare_upstream(|stream| {
        let mut stream = BufReader::with_capacity(1 << 16, stream);
        read_head(&mut stream);
        let mut left = SIZE;
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            left -= stream.read(&mut buffer[..left.min(1 << 16)]).unwrap();
        }
        stream
            .get_mut()
            .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n").as_bytes())
            .unwrap();
        for _ in 0..SIZE >> 16 {
            stream.get_mut().write_all(&buffer).unwrap();
        }
    });
    let (setup, key) = open(Gateway::in_front_of_url(&upstream));
    let gateway = setup.start();
    let mut stream = BufReader::new(TcpStream::connect(gateway.address()).unwrap());
    let before = gateway.memory("VmHWM");
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: {SIZE}\r\n\r\n",
        key.text
    );
    stream.get_mut().write_all(head.as_bytes()).unwrap();
    let piece = vec![b'x'; 1 << 16];
    for _ in 0..SIZE >> 16 {
        stream.get_mut().write_all(&piece).unwrap();
    }
    assert!(read_head(&mut stream).starts_with("http/1.1 200 "));
    let mut received = 0;
    let mut buffer = vec![0; 1 << 16];
    while received < SIZE {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the answer ended after {received} bytes");
        received += read;
    }
    let grown = gateway.memory("VmHWM") - before;
    assert!(grown < 16 * 1024, "512 MiB passed and the gateway grew by {grown} KiB");
}

#[test]
fn upstream_may_be_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("desk.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            read_head(&mut stream);
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nunix")
                .unwrap();
        }
    });
    let (setup, key) = open(Gateway::in_front_of_url(&format!("unix:{}", path.display())));
    assert_eq!(setup.start().send(&Request::get("/").bearer(&key)).text(), "unix");
}

#[test]
fn upstream_with_tls_is_believed_only_under_the_configured_authority() {
    let certificates = Certificates::for_names(&["localhost".to_owned()]);
    let folder = tempfile::tempdir().unwrap();
    certificates.write(folder.path());
    let server = certificates.server_config();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(server.clone()).unwrap();
            let mut stream = BufReader::new(rustls::StreamOwned::new(session, stream));
            if read_head(&mut stream).is_empty() {
                continue; // the handshake failed, as it should in the second part
            }
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nover")
                .unwrap();
            let _ = stream.get_mut().flush();
        }
    });
    let url = format!("https://localhost:{port}");
    let ca = folder.path().join("ca.pem");
    let (setup, key) = open(Gateway::in_front_of_url(&url).api(&format!("upstream_ca = {ca:?}")));
    let gateway = setup.start();
    wait_for("an answer over TLS", || {
        Some(gateway.send(&Request::get("/").bearer(&key))).filter(|answer| answer.text() == "over")
    });

    let (setup, key) = open(Gateway::in_front_of_url(&url));
    let answer = setup.start().send(&Request::get("/").bearer(&key));
    assert_eq!(
        (answer.status(), answer.json()["code"].as_str()),
        (502, Some("upstream_unreachable"))
    );
}

#[test]
fn http2_upstream_gets_and_sends_trailers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || serve_http2(listener));
    let (setup, key) = open(Gateway::in_front_of_url(&url));
    let gateway = setup.start();
    let answer = gateway.send(
        &Request::new("POST", "/echo").bearer(&key).header("TE", "trailers").body(b"over http/2"),
    );
    assert_eq!(answer.status(), 200);
    assert!(answer.text().contains("over http/2"), "{answer:?}");
    assert_eq!(answer.header("x-host"), Some("desk.example"), "the authority is the client's host");
}

/// Echoes bodies with a trailer, over HTTP/2 without TLS.
fn serve_http2(listener: TcpListener) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    listener.set_nonblocking(true).unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(
                |request: http::Request<hyper::body::Incoming>| async move {
                    let host = request.uri().authority().map_or(String::new(), ToString::to_string);
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("x-sum", http::HeaderValue::from(body.len()));
                    let body = Full::new(body)
                        .with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) });
                    Ok::<_, Infallible>(
                        http::Response::builder()
                            .header("x-host", host)
                            .header("trailer", "x-sum")
                            .body(body)
                            .unwrap(),
                    )
                },
            );
            let serving = hyper::server::conn::http2::Builder::new(Local)
                .serve_connection(TokioIo::new(stream), service);
            tokio::task::spawn_local(serving);
        }
    });
}

#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

#[test]
fn upstream_that_is_down_gives_502_and_recovers_at_once() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let (setup, key) = open(
        Gateway::in_front_of_url(&format!("http://127.0.0.1:{port}"))
            .api("rate_limit = \"10/min\""),
    );
    let gateway = setup.start();
    let answer = gateway.send(&Request::get("/").bearer(&key));
    assert_eq!(
        (answer.status(), answer.json()["code"].as_str()),
        (502, Some("upstream_unreachable"))
    );
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("9"), "it was charged");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            read_head(&mut stream);
            let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nback");
        }
    });
    assert_eq!(gateway.send(&Request::get("/").bearer(&key)).text(), "back");
}

#[test]
fn upstream_that_is_slow_gives_504_and_nonsense_gives_502() {
    let upstream =
        Upstream::answering(|_| Answer::new("200 OK", &[], b"late").after(Duration::from_secs(3)));
    let (setup, key) = open(Gateway::in_front_of(&upstream).api("response_timeout = \"200ms\""));
    let gateway = setup.start();
    let answer = gateway.send(&Request::get("/").bearer(&key));
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
    upstream.answer(|_| Answer::raw("what?\r\n\r\n").then_close());
    let answer = gateway.send(&Request::get("/").bearer(&key));
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (502, Some("upstream_failed")));
}

#[test]
fn connection_that_the_upstream_closed_is_no_reason_to_fail() {
    let served = Arc::new(AtomicUsize::new(0));
    let counted = served.clone();
    let upstream = bare_upstream(move |stream| {
        let mut stream = BufReader::new(stream);
        // Every connection answers one request, promises to stay, and is gone when the next one
        // comes.
        read_head(&mut stream);
        counted.fetch_add(1, Ordering::SeqCst);
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        let mut next = [0; 1];
        let _ = stream.read(&mut next);
    });
    let (setup, key) = open(Gateway::in_front_of_url(&upstream));
    let gateway = setup.start();
    let mut client = gateway.client();
    for _ in 0..20 {
        assert_eq!(client.send(&Request::get("/").bearer(&key)).status(), 200);
    }
    assert_eq!(served.load(Ordering::SeqCst), 20);
}

#[test]
fn request_that_may_have_had_an_effect_is_not_sent_twice() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let upstream = bare_upstream(move |stream| {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream);
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        if read_head(&mut stream).starts_with("post") {
            counted.fetch_add(1, Ordering::SeqCst); // read, and no answer
        }
    });
    let (setup, key) = open(Gateway::in_front_of_url(&upstream));
    let gateway = setup.start();
    let mut client = gateway.client();
    assert_eq!(client.send(&Request::get("/").bearer(&key)).status(), 200);
    let answer = client.send(&Request::new("POST", "/").bearer(&key).body(b"once"));
    assert_eq!(answer.status(), 502);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[test]
fn early_answer_passes_and_the_connection_is_not_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let upstream = bare_upstream(move |stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        let mut stream = BufReader::new(stream);
        while read_head(&mut stream).contains("http/1.1") {
            let _ = stream
                .get_mut()
                .write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
        }
    });
    let (setup, key) = open(Gateway::in_front_of_url(&upstream));
    let gateway = setup.start();
    for _ in 0..2 {
        let mut client = gateway.client();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
                Content-Length: 1000000\r\n\r\nfirst bytes",
            key.text
        );
        client.write(head.as_bytes());
        let answer = client.read("POST");
        assert_eq!((answer.status(), answer.text()), (413, "big"));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[test]
fn head_that_does_not_end_and_silence_are_cut_off_in_time() {
    let upstream = Upstream::answering(|_| {
        Answer::new("200 OK", &[], b"slow").after(Duration::from_millis(900))
    });
    let (setup, key) = open(Gateway::in_front_of(&upstream).server("header_timeout = \"400ms\""));
    let gateway = setup.start();
    let (mut silent, mut dripping) = (gateway.client(), gateway.client());
    let mut busy = gateway.client();
    let asked = std::time::Instant::now();
    let asking = std::thread::spawn(move || busy.send(&Request::get("/").bearer(&key)));
    dripping.write(b"GET / HTTP/1.1\r\n");
    for _ in 0..20 {
        dripping.write(b"X-Drip: 1\r\n");
        std::thread::sleep(Duration::from_millis(50)); // the attack itself, not a wait for anything
    }
    assert_eq!(asking.join().unwrap().text(), "slow", "a request in flight is no silence");
    assert!(asked.elapsed() >= Duration::from_millis(900));
    assert!(silent.is_closed());
    wait_for("the end of the dripping connection", || dripping.is_closed().then_some(()));
    upstream.answer(|_| Answer::new("200 OK", &[], b""));
}
