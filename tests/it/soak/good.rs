//! Clients that behave correctly and check every response.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::Scene;
use crate::harness::{Key, Message, Request, WebSocket};

/// Checks that this is the upstream's echo of the request.
fn is_echo(answer: &Message, asked: &str, by: &str, body: &[u8]) -> Result<(), String> {
    let echo =
        (answer.status(), answer.header("x-asked"), answer.header("x-by"), answer.body == body);
    if echo == (200, Some(asked), Some(by), true) {
        Ok(())
    } else {
        Err(format!("{asked} got {}", answer.start))
    }
}

/// Sends one request after the other, on the same connection for as long as it persists, but at
/// most 200 requests.
fn converse(
    scene: &Scene,
    what: &str,
    mut ask: impl FnMut(u64) -> Request,
    look: impl Fn(u64, &Message) -> Result<(), String>,
) {
    let mut client = None;
    for number in 0.. {
        if scene.is_over() {
            return;
        }
        let connected = client.get_or_insert_with(|| scene.gateway.client());
        match connected.try_send(&ask(number)) {
            Some(answer) => {
                scene.tally.note(what, look(number, &answer));
                if answer.header("connection") == Some("close") || number % 200 == 199 {
                    client = None;
                }
            }
            None => {
                scene.tally.note(what, Err(format!("request {number} got no answer")));
                client = None;
            }
        }
    }
}

/// Sends small requests over HTTP/1.1.
pub(super) fn http1(scene: &Scene) {
    let target = |number| format!("/api/tickets/{number}?page={number}");
    let ask = |number| Request::get(&target(number)).bearer(&scene.all);
    converse(scene, "http1", ask, |number, answer| {
        is_echo(answer, &format!("GET {} HTTP/1.1", target(number)), "key_all", b"")
    });
}

/// Sends bodies of less than 200 KB.
pub(super) fn bodies(scene: &Scene) {
    let body = |number: u64| -> Vec<u8> {
        (0..number * 7919 % 200_000).map(|at| (at * number) as u8).collect()
    };
    let ask = |number| Request::new("POST", "/api/notes").bearer(&scene.all).body(&body(number));
    converse(scene, "bodies", ask, |number, answer| {
        is_echo(answer, "POST /api/notes HTTP/1.1", "key_all", &body(number))
    });
}

/// Sends requests with a rate-limited key.
pub(super) fn limited(scene: &Scene) {
    let ask = |_| Request::get("/api/limited").bearer(&scene.limited);
    converse(scene, "limited", ask, |_, answer| {
        match answer.status() {
            200 => _ = scene.tally.admitted.fetch_add(1, Ordering::Relaxed),
            // Wait a little, but less than `Retry-After` says.
            429 if answer.has("retry-after") => std::thread::sleep(Duration::from_millis(3)),
            _ => return Err(answer.start.clone()),
        }
        Ok(())
    });
}

/// Sends requests with unknown keys.
pub(super) fn strangers(scene: &Scene) {
    converse(
        scene,
        "strangers",
        |number| Request::get("/api/tickets").bearer(&Key::live(&number.to_string())),
        |_, answer| {
            std::thread::sleep(Duration::from_millis(1));
            if answer.status() == 401 { Ok(()) } else { Err(answer.start.clone()) }
        },
    );
}

/// Sends requests to the upstream that fails. A complete response must be the right one or 502.
pub(super) fn shaky(scene: &Scene) {
    let mut number = 0;
    while !scene.is_over() {
        number += 1;
        let target = format!("/shaky/{number}");
        let outcome = match scene.gateway.client().try_send(&Request::get(&target)) {
            Some(answer) if answer.status() == 502 => Ok(()),
            Some(answer) => is_echo(&answer, &format!("GET {target} HTTP/1.1"), "nobody", b""),
            None => Ok(()), // truncated by the upstream
        };
        scene.tally.note("shaky", outcome);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends eight requests at a time over HTTP/2.
pub(super) fn http2(scene: &Scene) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut number = 0;
        while !scene.is_over() {
            let mut sender = connect_http2(scene).await;
            for _ in 0..50 {
                let asked: Vec<_> = (0..8)
                    .map(|_| {
                        number += 1;
                        let request = http::Request::post(format!("https://localhost/h2/{number}"));
                        let request =
                            request.header("authorization", format!("Bearer {}", scene.all.text));
                        let body = Bytes::from(format!("body of {number}"));
                        let answer =
                            sender.send_request(request.body(Full::new(body.clone())).unwrap());
                        (number, body, answer)
                    })
                    .collect();
                for (number, body, answer) in asked {
                    scene.tally.note("http2", look_http2(number, &body, answer).await);
                }
                if scene.is_over() || sender.is_closed() {
                    break;
                }
            }
        }
    });
}

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn connect_http2(scene: &Scene) -> Sender {
    let mut tls = (*scene.gateway.certificates().client_config()).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(scene.gateway.address()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

async fn look_http2(
    number: u64,
    body: &Bytes,
    answer: impl Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>>,
) -> Result<(), String> {
    let answer = match answer.await {
        Ok(answer) => answer,
        // The request was never sent, because GOAWAY had arrived in the meantime.
        Err(error) if error.is_canceled() => return Ok(()),
        Err(error) => return Err(format!("request {number}: {error:?}")),
    };
    let asked = answer.headers().get("x-asked").map(|asked| asked.as_bytes().to_vec());
    let status = answer.status();
    let echo = answer
        .into_body()
        .collect()
        .await
        .map_err(|error| format!("answer {number}: {error:?}"))?
        .to_bytes();
    let right = status == 200
        && asked == Some(format!("POST /h2/{number} HTTP/1.1").into_bytes())
        && echo == *body;
    if right { Ok(()) } else { Err(format!("request {number} got {status}")) }
}

/// Echoes messages on one WebSocket connection after the other.
pub(super) fn websocket(scene: &Scene) {
    while !scene.is_over() {
        let mut socket = WebSocket::open(
            scene.gateway.address(),
            Some(scene.gateway.certificates()),
            &scene.all,
        );
        for number in 0..100 {
            if scene.is_over() {
                break;
            }
            let echoed = socket.echo(&[number; 20]);
            scene.tally.note(
                "websocket",
                if echoed { Ok(()) } else { Err(format!("message {number} did not come back")) },
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        socket.close();
    }
}
