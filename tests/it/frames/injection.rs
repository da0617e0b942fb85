//! Every byte in every position of a request's head. A byte that could end a line or a word of the
//! upstream's HTTP/1.1 request is refused. Everything else is forwarded unchanged and once.

use super::suite::Bench;
use super::wire::*;
use crate::harness::Message;

/// The number of malformed heads that a connection may send within its budget.
const EACH: usize = 64;

/// Sends one request for each byte, which `head` puts in its position. Returns the bytes that were
/// answered with 200, and the requests that reached the upstream.
fn passed(bench: &Bench, head: impl Fn(u8) -> Vec<u8>) -> (Vec<u8>, Vec<Message>) {
    bench.upstream.forget();
    let mut passed = Vec::new();
    let bytes: Vec<u8> = (0..=255).collect();
    for bytes in bytes.chunks(EACH) {
        let mut wire = Wire::open(&bench.gateway);
        for (at, byte) in bytes.iter().enumerate() {
            let stream = 2 * at as u32 + 1;
            wire.send(&frame(HEADERS, WHOLE, stream, &head(*byte)));
            let came = wire.read_until(|frame| {
                frame.stream == stream && matches!(frame.kind, HEADERS | RST_STREAM)
            });
            match came.kind {
                HEADERS if came.status() == 200 => passed.push(*byte),
                HEADERS => {
                    assert!(matches!(came.status(), 400 | 401), "{byte:#x}: {}", came.status())
                }
                _ => assert_eq!(came.code(), PROTOCOL_ERROR, "{byte:#x}"),
            }
        }
    }
    (passed, bench.upstream.requests())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns a byte as the test's upstream reads it.
fn letter(byte: u8) -> char {
    char::from(byte)
}

#[test]
fn only_bytes_that_a_name_may_hold_pass_in_names() {
    let bench = Bench::start();
    let (passed, seen) = passed(&bench, |byte| {
        [request("GET", "/", &[]), literal([b'x', byte, b'y'], "z")].concat()
    });
    let sound: Vec<u8> =
        (0..=255).filter(|byte| is_token(*byte) && !byte.is_ascii_uppercase()).collect();
    assert_eq!(passed, sound);
    assert_eq!(seen.len(), sound.len(), "each once");
    for (byte, seen) in sound.iter().zip(seen) {
        assert_eq!(seen.header(&format!("x{}y", letter(*byte))), Some("z"));
    }
}

#[test]
fn only_bytes_that_a_value_may_hold_pass_in_values() {
    let bench = Bench::start();
    let (passed, seen) = passed(&bench, |byte| {
        [request("GET", "/", &[]), literal("x-a", [b'x', byte, b'y'])].concat()
    });
    let sound: Vec<u8> =
        (0..=255).filter(|byte| (*byte >= b' ' && *byte != 0x7f) || *byte == b'\t').collect();
    assert_eq!(passed, sound);
    assert_eq!(seen.len(), sound.len(), "each once");
    for (byte, seen) in sound.iter().zip(seen) {
        assert_eq!(seen.header("x-a"), Some(&*format!("x{}y", letter(*byte))));
    }
}

#[test]
fn only_bytes_that_a_path_may_hold_pass_in_paths() {
    let bench = Bench::start();
    let path = |byte| {
        [&block(&pseudo("GET", "/")[..3])[..], &literal(":path", [b'/', b'x', byte, b'y'])].concat()
    };
    let (passed, seen) = passed(&bench, path);
    let sound: Vec<u8> = (0u8..=255)
        .filter(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(byte))
        .collect();
    assert_eq!(passed, sound);
    let lines: Vec<String> = seen.into_iter().map(|seen| seen.start).collect();
    assert_eq!(
        lines,
        sound.iter().map(|byte| format!("GET /x{}y HTTP/1.1", letter(*byte))).collect::<Vec<_>>()
    );
}

#[test]
fn only_bytes_that_a_query_may_hold_pass_in_queries() {
    let bench = Bench::start();
    let path = |byte| {
        [&block(&pseudo("GET", "/")[..3])[..], &literal(":path", [b'/', b'?', byte, b'y'])].concat()
    };
    let (passed, seen) = passed(&bench, path);
    let lines: Vec<String> = seen.into_iter().map(|seen| seen.start).collect();
    assert_eq!(
        lines,
        passed.iter().map(|byte| format!("GET /?{}y HTTP/1.1", letter(*byte))).collect::<Vec<_>>()
    );
    assert!(
        passed.iter().all(|byte| byte.is_ascii_graphic() && !b"#<>".contains(byte)),
        "{passed:?}"
    );
}

#[test]
fn only_methods_with_a_rule_pass_and_no_byte_makes_two_of_one() {
    let bench = Bench::start();
    let method = |byte| {
        [&literal(":method", [b'G', byte, b'T'])[..], &block(&pseudo("", "/")[1..])].concat()
    };
    let (passed, seen) = passed(&bench, method);
    assert_eq!(passed, b"E", "of all of these there is a rule for GET only");
    assert_eq!(seen.len(), 1);
}

#[test]
fn only_bytes_that_a_host_may_hold_pass_in_authorities() {
    let bench = Bench::start();
    let authority = |byte| {
        [
            block(&pseudo("GET", "/")[..2]),
            literal(":authority", [b'x', byte, b'1']),
            block(&pseudo("GET", "/")[3..]),
        ]
        .concat()
    };
    let (passed, seen) = passed(&bench, authority);
    let sound: Vec<u8> =
        (0u8..=255).filter(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(byte)).collect();
    assert_eq!(passed, sound);
    assert_eq!(seen.len(), sound.len(), "each once");
    for (byte, seen) in sound.iter().zip(seen) {
        assert_eq!(seen.all("host"), [format!("x{}1", letter(*byte))]);
    }
}

#[test]
fn requests_in_values_bodies_and_trailers_are_no_requests() {
    let bench = Bench::start();
    let smuggled = "x\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: desk.example\r\n\r\n";
    for name in [
        ":path",
        ":method",
        ":authority",
        ":scheme",
        "x-a",
        "cookie",
        "content-type",
        "x-request-id",
        "referer",
        "host",
    ] {
        let fields =
            pseudo("GET", "/").map(|field| if field.0 == name { (name, smuggled) } else { field });
        let more: &[(&str, &str)] = if name.starts_with(':') { &[] } else { &[(name, smuggled)] };
        let mut wire = Wire::open(&bench.gateway);
        wire.send(&frame(HEADERS, WHOLE, 1, &[block(&fields), block(more)].concat()));
        let reset = wire.read_until(|frame| frame.stream == 1);
        assert_eq!((reset.kind, reset.code()), (RST_STREAM, PROTOCOL_ERROR), "{name}");
    }
    bench.upstream.assert_untouched();
    for lengths in [&[][..], &[("content-length", "59")]] {
        bench.upstream.forget();
        let mut wire = Wire::open(&bench.gateway);
        let body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: desk.example\r\nx: 12345\r\n\r\n";
        assert_eq!(body.len(), 61);
        let head = request("POST", "/body", lengths);
        wire.send(
            &[
                frame(HEADERS, END_HEADERS, 1, &head),
                frame(DATA, 0, 1, &body[..59]),
                frame(HEADERS, WHOLE, 1, &block(&[("x-sum", "GET /t")])),
            ]
            .concat(),
        );
        assert_eq!(wire.status(1), 200);
        wire.send(&get(3, "/after"));
        assert_eq!(wire.status(3), 200);
        let seen = bench.upstream.requests();
        assert_eq!(
            seen.iter().map(|seen| &*seen.start).collect::<Vec<_>>(),
            ["POST /body HTTP/1.1", "GET /after HTTP/1.1"]
        );
        assert_eq!(seen[0].body, &body[..59]);
    }
}

#[test]
fn bodies_in_pieces_of_every_size_and_padding_arrive_as_they_are() {
    let bench = Bench::start();
    let mut wire = Wire::open(&bench.gateway);
    let body: Vec<u8> = (0u8..=255).cycle().take(20_000).collect();
    for (at, size) in [1_usize, 2, 255, 256, 4095, 16_000].into_iter().enumerate() {
        let stream = 2 * at as u32 + 1;
        let mut sent = post(stream, "/pieces");
        for (number, piece) in body.chunks(size).enumerate() {
            let padding = vec![0; number % 256];
            let flags = if (number + 1) * size >= body.len() { END_STREAM } else { 0 };
            match number % 3 {
                0 => sent.extend(frame(DATA, flags, stream, piece)),
                _ => sent.extend(frame(
                    DATA,
                    flags | PADDED,
                    stream,
                    &[&[padding.len() as u8][..], piece, &padding].concat(),
                )),
            }
            // Stay within the flow-control windows.
            if sent.len() > 60_000 {
                wire.send(&std::mem::take(&mut sent));
            }
        }
        wire.send(&sent);
        assert_eq!(wire.status(stream), 200, "{size}");
        assert!(bench.upstream.last().body == body, "{size}");
    }
}
