//! What passes through the gateway: protocols, bodies, interim responses, trailer fields, and every
//! kind of upstream.

mod failing;
mod kinds;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{
    Answer, Certificates, Gateway, Key, Request, Setup, Upstream, bare_upstream, wait_for,
};

fn open(setup: Setup) -> (Setup, Key) {
    let key = Key::live("key_all").scopes(&["*"]);
    (setup.scope("all", &["GET /**", "POST /**"]).key(&key), key)
}

/// Reads a head and returns it in lower case.
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

/// With content, the client would treat the stream as broken.
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
            // The next event is sent only when the client has confirmed this one.
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
        let body = read_head(&mut stream); // ends like a head: chunks, then trailers
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
        std::thread::sleep(Duration::from_millis(50)); // the attack itself, not a wait
    }
    assert_eq!(asking.join().unwrap().text(), "slow", "a request in flight is no silence");
    assert!(asked.elapsed() >= Duration::from_millis(900));
    assert!(silent.is_closed());
    wait_for("the end of the dripping connection", || dripping.is_closed().then_some(()));
    upstream.answer(|_| Answer::new("200 OK", &[], b""));
}
