//! Tests of which header blocks are accepted as requests.

use http::Method;

use super::super::decode::{Block, Decoder};
use super::super::encode::HeaderBlock;
use super::super::request::{Malformed, request, trailers};
use crate::policy::{HeaderKind, Sink as _};

fn block(fields: &[(&str, &str)]) -> Block {
    let mut written = HeaderBlock::default();
    for (name, value) in fields {
        written.put(name, value.as_bytes());
    }
    let mut block = Block::default();
    Decoder::new(1 << 16, 100).decode(&written.0, &mut block).unwrap();
    block
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/x?y=z")];

#[test]
fn request_is_read_in_its_parts() {
    let block =
        block(&[&GET[..], &[("content-length", "5"), ("te", "trailers"), ("x-a", "")]].concat());
    let head = request(&block).unwrap();
    assert_eq!((head.method, head.length), (Method::GET, Some(5)));
    assert_eq!(
        (head.target.authority, head.target.path, head.target.query),
        (Some("a.example"), "/x", Some("y=z"))
    );
    assert_eq!((head.fields.len(), head.fields.first(HeaderKind::Te)), (3, Some(&b"trailers"[..])));
}

#[test]
fn malformed_requests_are_refused() {
    let with = |field| [&GET[..], &[field]].concat();
    let without = |name| GET.into_iter().filter(|field| field.0 != name).collect::<Vec<_>>();
    let replaced =
        |name, value| GET.map(|field| if field.0 == name { (name, value) } else { field }).to_vec();
    let cases = [
        (with(("Upper", "x")), "a capital letter"),
        (with(("", "x")), "no name"),
        (with(("a b", "x")), "a space in a name"),
        (with(("a:b", "x")), "a colon in a name"),
        (with(("x", " a")), "a space before a value"),
        (with(("x", "a\t")), "a tab behind a value"),
        (with(("x", "a\r\nb: c")), "a line end in a value"),
        (with(("x", "a\0")), "a NUL in a value"),
        (with(("connection", "close")), "a connection field"),
        (with(("keep-alive", "1")), "a connection field"),
        (with(("proxy-connection", "close")), "a connection field"),
        (with(("transfer-encoding", "chunked")), "a coding"),
        (with(("upgrade", "websocket")), "an upgrade"),
        (with(("te", "gzip")), "another coding than trailers"),
        (with(("te", "trailers, gzip")), "another coding than trailers"),
        (with(("content-length", "+1")), "a length with a sign"),
        (with(("content-length", "")), "an empty length"),
        (with(("content-length", "99999999999999999999")), "a length without bounds"),
        ([&GET[..], &[("content-length", "1"), ("content-length", "1")]].concat(), "two lengths"),
        (with((":path", "/again")), "a pseudo-header field twice"),
        (with((":protocol", "websocket")), "an extension that was not offered"),
        (with((":status", "200")), "a field of responses"),
        ([&GET[..3], &[("x", "y"), GET[3]]].concat(), "a pseudo-header field behind others"),
        (without(":method"), "no method"),
        (without(":scheme"), "no scheme"),
        (without(":path"), "no path"),
        (replaced(":path", ""), "an empty path"),
        (replaced(":path", "/a b"), "a space in the path"),
        (replaced(":path", "/a#b"), "a fragment"),
        (replaced(":path", "/\u{e4}"), "another character than ASCII in the path"),
        (replaced(":authority", ""), "an empty authority"),
        (replaced(":scheme", "ht tp"), "a space in the scheme"),
        (replaced(":scheme", "ftp"), "another scheme"),
        (replaced(":method", "GE T"), "a space in the method"),
        (replaced(":method", "CONNECT"), "CONNECT with a path"),
    ];
    for (fields, why) in cases {
        assert_eq!(request(&block(&fields)).err(), Some(Malformed), "{why}");
    }
}

#[test]
fn connect_has_an_authority_only() {
    let block = block(&[(":method", "CONNECT"), (":authority", "a.example:443")]);
    let head = request(&block).unwrap();
    assert_eq!((head.target.authority, head.target.path), (Some("a.example:443"), ""));
}

#[test]
fn trailers_have_no_pseudo_header_fields() {
    assert_eq!(trailers(&block(&[("x-sum", "7")])).unwrap()["x-sum"], "7");
    assert_eq!(trailers(&block(&[(":path", "/")])).err(), Some(Malformed));
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("content-length", "1"),
        ("x", "a\r\nb: c"),
    ] {
        assert_eq!(trailers(&block(&[(name, value)])).err(), Some(Malformed), "{name}");
    }
}
