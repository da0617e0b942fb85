//! HTTP/2 clients, whose field names and values may contain any syntax of HTTP/1.1.

use super::mutation::{PIECES, Random, target};
use super::{Case, Seen};

/// Fields that HTTP/1.1 clients have used for smuggling and spoofing, and harmless ones.
const FIELDS: [(&[u8], &[u8]); 34] = [
    (b"transfer-encoding", b"chunked"),
    (b"content-length", b"5"),
    (b"content-length", b"0"),
    (b"content-length", b"+5"),
    (b"content-length", b"1000"),
    (b"connection", b"close"),
    (b"connection", b"x-keygate-auth"),
    (b"keep-alive", b"timeout=1"),
    (b"upgrade", b"websocket"),
    (b"host", b"b.example"),
    (b"host", b"a.example, b.example"),
    (b"Host", b"b.example"),
    (b"te", b"trailers"),
    (b"te", b"chunked"),
    (b"expect", b"100-continue"),
    (b":method", b"DELETE"),
    (b":path", b"/other"),
    (b":authority", b"b.example"),
    (b":scheme", b"http"),
    (b":protocol", b"websocket"),
    (b":unknown", b"x"),
    (b"x", b"y\r\ntransfer-encoding: chunked"),
    (b"x", b"y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a"),
    (b"x: y\r\nz", b"w"),
    (b"x", b" y"),
    (b"x y", b"z"),
    (b"x:", b"y"),
    (b"", b"y"),
    (b"x-keygate-auth", b"key"),
    (b"x_keygate_auth", b"key"),
    (b"x-forwarded-for", b"192.0.2.1"),
    (b"x-original-url", b"/other"),
    (b"cookie", b"a=b"),
    (b"accept", b"*/*"),
];

/// The preface (RFC 9113 §3.4) and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Returns the case of one request on a connection of its own.
pub(super) fn case(random: &mut Random, number: usize) -> Case {
    let method = random.pick(&["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]);
    let host = format!("h{number}.example");
    let path = target(random, number, 0);
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = [
        (":method", method),
        (":scheme", "http"),
        (":authority", &host),
        (":path", &path),
        ("x-a", "b"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .to_vec();
    if random.below(8) == 0 {
        fields[2].0 = b"host".to_vec();
        fields.swap(2, 3);
    }
    let body = random.pick(&[
        &b""[..],
        b"hello",
        b"0\r\n\r\n",
        b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    ]);
    for _ in 0..random.below(3) {
        mutate(random, &mut fields);
    }
    let block: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| [&[0][..], &text(name), &text(value)].concat())
        .collect();
    let ended = if body.is_empty() { END_STREAM } else { 0 };
    let mut bytes = [PREFACE, &frame(HEADERS, END_HEADERS | ended, &block)].concat();
    if !body.is_empty() {
        bytes.extend(frame(DATA, END_STREAM, body));
    }
    let first = |name: &[u8]| {
        fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.iter().map(|byte| char::from(*byte)).collect::<String>())
    };
    let host = first(b":authority").or(first(b"host"));
    let seen = match (first(b":method"), first(b":path"), host) {
        // With `content-length: 0` the request is forwarded before its stream has ended. Excess
        // data is discarded.
        (Some(method), Some(target), Some(host))
            if first(b"content-length").as_deref() == Some("0") =>
        {
            Some(Seen { method, target, host, body: Vec::new() })
        }
        (Some(method), Some(target), Some(host)) => {
            Some(Seen { method, target, host, body: body.to_vec() })
        }
        _ => None,
    };
    Case { bytes, authorised: seen.into_iter().collect(), ended: Box::new(has_ended) }
}

fn mutate(random: &mut Random, fields: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    let (at, to) = (random.below(fields.len()), random.below(fields.len() + 1));
    match random.below(8) {
        0..=2 => {
            let (name, value) = random.pick(&FIELDS);
            fields.insert(to, (name.to_vec(), value.to_vec()));
        }
        3 => {
            let twice = fields[at].clone();
            fields.insert(to, twice);
        }
        4 if fields.len() > 1 => drop(fields.remove(at)),
        5 => fields[at].0.make_ascii_uppercase(),
        part => {
            let text = if part == 6 { &mut fields[at].0 } else { &mut fields[at].1 };
            let place = random.below(text.len() + 1);
            text.splice(place..place, random.pick(&PIECES).iter().copied());
        }
    }
}

/// Encodes a string without Huffman coding (RFC 7541 §5.2).
fn text(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match u8::try_from(text.len()).ok().filter(|length| *length < 127) {
        Some(length) => bytes.push(length),
        None => {
            let mut rest = text.len() - 127;
            bytes.push(127);
            while rest >= 128 {
                bytes.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            bytes.push(rest as u8);
        }
    }
    bytes.extend_from_slice(text);
    bytes
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, 1][..], payload].concat()
}

/// Returns whether the stream or the connection has ended.
fn has_ended(mut come: &[u8]) -> bool {
    while let Some((head, rest)) = come.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let ends = matches!(kind, RST_STREAM | GOAWAY)
            || (matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0);
        if ends {
            return true;
        }
        let Some(behind) = rest.get(length..) else { return false };
        come = behind;
    }
    false
}
