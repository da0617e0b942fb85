//! Each kind of upstream: a Unix socket, TLS and HTTP/2.

use std::convert::Infallible;
use std::io::{BufReader, Write};
use std::net::TcpListener;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;

use super::{open, read_head};
use crate::harness::{Certificates, Gateway, Request, wait_for};

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
                continue; // the handshake failed, as it must in the second part
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

/// Echoes bodies with a trailer field, over HTTP/2 without TLS.
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
