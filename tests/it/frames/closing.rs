//! How connections are closed: with GOAWAY, close_notify and FIN, even if the client does not
//! respond.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::wire::*;
use crate::harness::{Answer, Gateway, Setup, Upstream, wait_for};

fn setup(upstream: &Upstream, tls: bool) -> Setup {
    let setup = Gateway::in_front_of(upstream).api("public = [\"GET /**\"]");
    if tls { setup.tls(&["localhost"]) } else { setup }
}

/// Opens a connection whose client acknowledges nothing.
fn open(gateway: &Gateway, tls: bool) -> Wire {
    let mut wire = if tls { Wire::connect_tls(gateway) } else { Wire::connect(gateway) };
    wire.send(&[PREFACE, &settings(&[])].concat());
    wire
}

/// Returns the error codes of the received GOAWAY frames, and how the connection ends after them.
fn ending(wire: &mut Wire) -> (Vec<u32>, Result<(), ErrorKind>) {
    let (codes, end) = wire.ending();
    (codes, end.map_err(|error| error.kind()))
}

#[test]
fn idle_connection_whose_client_answers_no_ping_is_closed_in_order() {
    let upstream = Upstream::start();
    for tls in [false, true] {
        let gateway = setup(&upstream, tls).server("idle_timeout = \"1s\"").start();
        let mut wire = open(&gateway, tls);
        wire.send(&get(1, "/"));
        assert_eq!(wire.status(1), 200);
        assert_eq!(ending(&mut wire), (vec![0, 0], Ok(())), "TLS: {tls}");
    }
}

#[test]
fn stop_closes_in_order_though_a_client_answers_no_ping() {
    let upstream = Upstream::start();
    for tls in [false, true] {
        let gateway = setup(&upstream, tls).start();
        let mut wire = open(&gateway, tls);
        wire.send(&get(1, "/"));
        assert_eq!(wire.status(1), 200);
        gateway.signal("TERM");
        assert_eq!(ending(&mut wire), (vec![0, 0], Ok(())), "TLS: {tls}");
        drop(wire);
        assert_eq!(gateway.ended().code(), Some(0));
    }
}

#[test]
fn connection_that_is_one_too_many_is_closed_in_order() {
    let upstream = Upstream::start();
    for tls in [false, true] {
        let gateway = setup(&upstream, tls).server("max_connections = 1").start();
        let mut inside = open(&gateway, tls);
        inside.send(&get(1, "/"));
        assert_eq!(inside.status(1), 200);
        let mut wire = open(&gateway, tls);
        assert_eq!(ending(&mut wire), (vec![0, 0], Ok(())), "TLS: {tls}");
    }
}

#[test]
fn client_that_is_sent_away_or_says_nothing_sees_an_orderly_end() {
    let upstream = Upstream::start();
    let gateway = setup(&upstream, true).server("header_timeout = \"1s\"").start();
    for (what, bytes, code) in [
        ("no preface", b"nonsense of some length, more than a preface".to_vec(), 1),
        ("a PING on a stream", [PREFACE, &settings(&[]), &frame(PING, 0, 1, &[0; 8])].concat(), 1),
        ("half a preface", PREFACE[..10].to_vec(), 11),
        ("half a frame", [PREFACE, &settings(&[]), &[0, 0, 8, PING]].concat(), 11),
    ] {
        let mut wire = Wire::connect_tls(&gateway);
        wire.send(&bytes);
        assert_eq!(ending(&mut wire), (vec![code], Ok(())), "{what}");
    }
}

#[test]
fn connection_whose_client_leaves_is_answered_in_kind() {
    let upstream = Upstream::start();
    let gateway = setup(&upstream, true).start();
    let mut wire = open(&gateway, true);
    wire.send(&get(1, "/"));
    assert_eq!(wire.status(1), 200);
    wire.send(&frame(GOAWAY, 0, 0, &[0; 8]));
    assert_eq!(ending(&mut wire).1, Ok(()));
}

/// Waits until `number` requests are in flight.
fn wait_in_flight(gateway: &Gateway, number: f64) {
    wait_for("requests in flight", || {
        (gateway.metric("keygate_requests_in_flight") == Some(number)).then_some(())
    });
}

#[test]
fn clients_that_leave_with_requests_in_flight_are_noticed_even_if_they_read_nothing() {
    const LARGE: &[u8] = &[b'x'; 1 << 22];
    let upstream = Upstream::answering(|request| {
        if request.start.starts_with("GET /large ") {
            Answer::new("200 OK", &[], LARGE)
        } else {
            Answer::new("200 OK", &[], b"").after(Duration::from_secs(60))
        }
    });
    for tls in [false, true] {
        let gateway = setup(&upstream, tls).start();
        // For `/slow` the gateway waits for the upstream. For `/large` the windows are open, but
        // the clients read nothing.
        for path in ["/slow", "/large"] {
            let wires: Vec<Wire> = (0..20)
                .map(|_| {
                    let mut wire = open(&gateway, tls);
                    wire.send(
                        &[settings(&[(4, i32::MAX as u32)]), number(WINDOW_UPDATE, 0, 1 << 30)]
                            .concat(),
                    );
                    wire.send(&(0..5).flat_map(|at| get(2 * at + 1, path)).collect::<Vec<u8>>());
                    wire
                })
                .collect();
            wait_in_flight(&gateway, 100.0);
            wires.iter().for_each(Wire::end_sending);
            let begun = Instant::now();
            wait_in_flight(&gateway, 0.0);
            assert!(begun.elapsed() < Duration::from_secs(3), "{path}, TLS: {tls}");
        }
    }
}
