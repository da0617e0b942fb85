//! An HTTP/2 upstream has not processed a request that it refuses, so the gateway sends it once
//! more (RFC 9113 §8.7). A server that restarts causes no error.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::{PATIENCE, figure, impatient};
use crate::harness::{Gateway, Request, wait_for};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const REFUSED_STREAM: u32 = 7;

/// The upstream's end of a connection, frame by frame.
struct Wire(TcpStream);

impl Wire {
    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat();
        let _ = self.0.write_all(&frame);
    }

    /// Returns the kind, flags, stream and payload of the next frame, or `None` at the end.
    fn read(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// Responds 200 with this body.
    fn answer(&mut self, stream: u32, body: &[u8]) {
        self.send(HEADERS, 4, stream, &[0x88]);
        for part in body.chunks(16_384) {
            self.send(DATA, 0, stream, part);
        }
        self.send(DATA, END_STREAM, stream, &[]);
    }

    /// Sends GOAWAY: no stream after `last` is served.
    fn go_away(&mut self, last: u32) {
        self.send(GOAWAY, 0, 0, &[&last.to_be_bytes()[..], &[0; 4]].concat());
    }
}

/// What the upstream does when a stream has begun and when it has ended. Returns `false` to close
/// the connection.
type Script = dyn Fn(&mut Wire, Stream<'_>) -> bool + Send + Sync;

struct Stream<'s> {
    /// The number of the connection, from 0.
    connection: usize,
    id: u32,
    /// The body, or `None` until it is complete.
    body: Option<&'s [u8]>,
}

struct Upstream {
    url: String,
    connections: Arc<AtomicUsize>,
}

fn upstream(script: impl Fn(&mut Wire, Stream<'_>) -> bool + Send + Sync + 'static) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let (script, count): (Arc<Script>, _) = (Arc::new(script), connections.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (script, connection) = (script.clone(), count.fetch_add(1, Ordering::SeqCst));
            std::thread::spawn(move || serve(Wire(stream), connection, &*script));
        }
    });
    Upstream { url, connections }
}

fn serve(mut wire: Wire, connection: usize, script: &Script) -> Option<()> {
    wire.0.set_nodelay(true).ok()?;
    wire.0.set_read_timeout(Some(PATIENCE)).ok()?;
    wire.0.read_exact(&mut [0; 24]).ok()?;
    wire.send(SETTINGS, 0, 0, &[]);
    let mut bodies = std::collections::HashMap::<u32, Vec<u8>>::new();
    loop {
        let (kind, flags, id, payload) = wire.read()?;
        match kind {
            SETTINGS if flags == 0 => wire.send(SETTINGS, 1, 0, &[]),
            PING if flags == 0 => wire.send(PING, 1, 0, &payload),
            HEADERS | DATA => {
                let body = bodies.entry(id).or_default();
                if kind == DATA {
                    body.extend(&payload);
                    if !payload.is_empty() {
                        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
                        wire.send(WINDOW_UPDATE, 0, 0, &length);
                        wire.send(WINDOW_UPDATE, 0, id, &length);
                    }
                } else if !script(&mut wire, Stream { connection, id, body: None }) {
                    return None;
                }
                if flags & END_STREAM != 0 {
                    let body = bodies.remove(&id);
                    if !script(&mut wire, Stream { connection, id, body: body.as_deref() }) {
                        return None;
                    }
                }
            }
            _ => {}
        }
    }
}

fn gateway(upstream: &Upstream) -> Gateway {
    impatient(&upstream.url).start()
}

fn retries(gateway: &Gateway) -> f64 {
    figure(gateway, "keygate_upstream_retries_total")
}

#[test]
fn request_that_is_refused_is_sent_again_whole_on_a_new_connection() {
    type Refuse = fn(&mut Wire, u32);
    let reset: Refuse = |wire, id| wire.send(RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes());
    let go_away: Refuse = |wire, id| wire.go_away(id - 1);
    let whole = vec![b'x'; 60_000];
    let requests = [("POST", &whole[..]), ("POST", b"short"), ("GET", b"")];
    for (refuse, (method, body)) in
        [reset, go_away].into_iter().flat_map(|refuse| requests.map(|request| (refuse, request)))
    {
        // The upstream refuses before the body has arrived, or after it.
        for early in [true, false] {
            let upstream = upstream(move |wire, Stream { connection, id, body }| {
                match (connection, body) {
                    (0, body) if body.is_none() == early => refuse(wire, id),
                    (0, _) | (_, None) => {}
                    (_, Some(body)) => wire.answer(id, body),
                }
                true
            });
            let gateway = gateway(&upstream);
            let request = Request::new(method, "/x");
            let request = if body.is_empty() { request } else { request.body(body) };
            let answer = gateway.send(&request);
            assert_eq!((answer.status(), answer.body.len()), (200, body.len()), "{method}");
            assert_eq!(upstream.connections.load(Ordering::SeqCst), 2);
            assert_eq!(retries(&gateway), 1.0);
        }
    }
}

#[test]
fn request_that_is_refused_twice_is_a_502_and_so_is_one_that_may_have_been_processed() {
    let refuses = upstream(|wire, Stream { id, .. }| {
        wire.send(RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes());
        true
    });
    let fails = upstream(|wire, Stream { id, .. }| {
        wire.send(RST_STREAM, 0, id, &2u32.to_be_bytes());
        true
    });
    // The stream is covered by the last stream id of GOAWAY, so it may have been processed.
    let leaves = upstream(|wire, Stream { id, body, .. }| {
        if body.is_some() {
            wire.go_away(id);
        }
        body.is_none()
    });
    for (upstream, asked) in [(&refuses, 2), (&fails, 1), (&leaves, 1)] {
        let gateway = gateway(upstream);
        let answer = gateway.send(&Request::get("/x"));
        assert_eq!(
            (answer.status(), answer.json()["code"].as_str()),
            (502, Some("upstream_failed"))
        );
        assert_eq!(upstream.connections.load(Ordering::SeqCst), asked);
    }
}

#[test]
fn request_of_whose_body_too_much_is_gone_is_not_sent_again() {
    let upstream = upstream(|wire, Stream { connection, id, body }| {
        match (connection, body) {
            (_, None) => {}
            (0, Some(_)) => wire.send(RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes()),
            (_, Some(body)) => wire.answer(id, body),
        }
        true
    });
    let gateway = gateway(&upstream);
    assert_eq!(gateway.send(&Request::new("POST", "/x").body(&[7; 70_000])).status(), 502);
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
    // The buffered part of the body is freed with the request.
    wait_for("nothing in flight", || {
        (figure(&gateway, "keygate_requests_in_flight") == 0.0).then_some(())
    });
}

/// Each connection serves some requests and refuses those that are then in flight.
#[test]
fn restarts_under_load_cost_no_error() {
    let served = Arc::new(Mutex::new(std::collections::HashMap::<usize, u32>::new()));
    let upstream = upstream(move |wire, Stream { connection, id, body }| {
        let Some(body) = body else { return true };
        let mut served = served.lock().unwrap();
        let served = served.entry(connection).or_default();
        if *served == 0 || id <= *served {
            wire.answer(id, body);
        }
        // A new connection may send GOAWAY only after it has answered a request.
        if id >= 21 && *served == 0 {
            *served = id;
            wire.go_away(id);
        }
        true
    });
    load(&upstream.url, 40);
    assert!(upstream.connections.load(Ordering::SeqCst) > 4, "there were restarts");
}

/// Uses a real server, which first announces the shutdown and then the last stream that it
/// processed.
#[test]
fn graceful_restarts_of_a_real_server_cost_no_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    let restarts = Arc::new(AtomicUsize::new(0));
    let count = restarts.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let count = count.clone();
                tokio::task::spawn_local(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    let mut accepted = 0;
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        tokio::task::spawn_local(async move {
                            let (mut body, mut all) = (request.into_body(), Vec::new());
                            while let Some(Ok(data)) = body.data().await {
                                let _ = body.flow_control().release_capacity(data.len());
                                all.extend(data);
                            }
                            tokio::time::sleep(Duration::from_millis(2)).await;
                            let head = http::Response::new(());
                            if let Ok(mut stream) = respond.send_response(head, false) {
                                let _ = stream.send_data(Bytes::from(all), true);
                            }
                        });
                        accepted += 1;
                        if accepted == 12 {
                            connection.graceful_shutdown();
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
    });
    load(&url, 40);
    assert!(restarts.load(Ordering::SeqCst) > 4, "there were restarts");
}

/// Runs eight clients at once. Asserts that each request gets its own body back.
#[track_caller]
fn load(url: &str, rounds: usize) {
    let gateway = impatient(url).start();
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|client| {
                let gateway = &gateway;
                scope.spawn(move || {
                    let mut connection = gateway.client();
                    for round in 0..rounds {
                        let body = vec![b'a' + client; 10_000 + round];
                        let answer = connection.send(&Request::new("POST", "/x").body(&body));
                        assert_eq!(answer.status(), 200, "{}", answer.text());
                        assert!(answer.body == body, "{} bytes came back", answer.body.len());
                    }
                })
            })
            .collect();
        asking.into_iter().for_each(|asking| asking.join().unwrap());
    });
    let requests = "keygate_requests_total{api=\"desk\",outcome=\"forwarded\",status=\"2xx\"}";
    wait_for("all are counted, each once", || {
        (gateway.metric(requests) == Some((8 * rounds) as f64)).then_some(())
    });
}
