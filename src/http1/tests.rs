//! Tests of reading and writing heads and bodies, with valid and hostile input.

mod chunks;

use http::{Method, StatusCode, Version};
use proptest::prelude::*;

use super::*;
use crate::policy::{Fields, HeaderKind};

fn head(text: &str) -> Result<(String, Vec<(String, String)>), Malformed> {
    let mut bytes = text.as_bytes().to_vec();
    let mut fields = Fields::new();
    let head = request(&mut bytes, 10, &mut fields)?;
    let fields = fields
        .iter()
        .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned()))
        .collect();
    Ok((
        format!(
            "{} {:?} {} {:?} {:?}",
            head.method, head.target.authority, head.target.path, head.target.query, head.version
        ),
        fields,
    ))
}

fn syntax(text: &str) {
    assert_eq!(head(text).unwrap_err(), Malformed::Syntax, "{text:?}");
}

#[test]
fn sound_heads_are_read_as_they_are() {
    let (line, fields) =
        head("GET /a?b=c HTTP/1.1\r\nHost: desk\r\nX-Odd:\t \r\nAccept:text/html, */* \r\n\r\n")
            .unwrap();
    assert_eq!(line, "GET None /a Some(\"b=c\") HTTP/1.1");
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(fields, [("host", "desk"), ("x-odd", ""), ("accept", "text/html, */*")]);
    let cases = [
        ("GET http://Desk:80/a HTTP/1.1", "GET Some(\"Desk:80\") /a None HTTP/1.1"),
        ("GET HTTPS://desk HTTP/1.0", "GET Some(\"desk\") / None HTTP/1.0"),
        ("GET http://desk?x HTTP/1.1", "GET Some(\"desk\") / Some(\"x\") HTTP/1.1"),
        ("OPTIONS * HTTP/1.1", "OPTIONS None * None HTTP/1.1"),
        ("CONNECT desk:443 HTTP/1.1", "CONNECT None desk:443 None HTTP/1.1"),
        ("PURGE /? HTTP/1.1", "PURGE None / Some(\"\") HTTP/1.1"),
    ];
    for (sent, read) in cases {
        assert_eq!(head(&format!("{sent}\r\nHost: desk\r\n\r\n")).unwrap().0, read);
    }
}

#[test]
fn host_of_the_target_does_not_stand_in_for_the_field_of_http11() {
    assert_eq!(
        head("GET http://desk/a HTTP/1.1\r\nAccept: */*\r\n\r\n").unwrap().0,
        "GET None /a None HTTP/1.1"
    );
    assert_eq!(
        head("GET http://desk/a HTTP/1.0\r\nAccept: */*\r\n\r\n").unwrap().0,
        "GET Some(\"desk\") /a None HTTP/1.0"
    );
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    for line in [
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /a b HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /",
        "G(T / HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /\u{e4} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET / http/1.1",
        "GET / XTTP/1.1",
        "GET / HTTP/1.1\rX: y",
        "",
    ] {
        syntax(&format!("{line}\r\nHost: a\r\n\r\n"));
    }
    for field in [
        "Host : a",
        "Host\t: a",
        " Host: a",
        "Host",
        ": a",
        "Ho st: a",
        "Host: a\r\n b",
        "Host: a\0",
        "Host: a\rX: b",
        "H\u{e4}st: a",
        "Host: a\nX: b",
        "Host: a\u{7f}",
        "(Host): a",
        "Host: a\r",
        "Host:\u{c}a",
        "Host: a\u{b}",
    ] {
        syntax(&format!("GET / HTTP/1.1\r\n{field}\r\n\r\n"));
    }
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/1.10"] {
        assert_eq!(
            head(&format!("GET / {version}\r\n\r\n")).unwrap_err(),
            Malformed::Version,
            "{version}"
        );
    }
    let many = "X: y\r\n".repeat(11);
    assert_eq!(head(&format!("GET / HTTP/1.1\r\n{many}\r\n")).unwrap_err(), Malformed::TooLarge);
}

#[test]
fn end_of_a_head_is_found_however_it_comes_and_never_waited_for_in_vain() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    for come in 0..bytes.len() {
        for searched in 0..=come {
            let end = find_end(&bytes[..come], searched.min(come), 100);
            let expected = (come >= 27).then_some(27);
            if searched < 27 {
                assert_eq!(end, Ok(expected), "{come} {searched}");
            }
        }
    }
    assert_eq!(find_end(bytes, 0, 26), Err(Malformed::TooLarge));
    assert_eq!(find_end(&bytes[..20], 0, 19), Err(Malformed::TooLarge));
    assert_eq!(find_end(b"GET / HTTP/1.1\nHost: a\n\n", 0, 100), Err(Malformed::Syntax));
    assert_eq!(find_end(b"\n", 0, 100), Err(Malformed::Syntax));
    for bare in ["\rG", "GET / HTTP/1.1\rH", "GET / HTTP/1.1\r\nHost: a\r\r\n", "a\r\n\rb"] {
        assert_eq!(find_end(bare.as_bytes(), 0, 100), Err(Malformed::Syntax), "{bare:?}");
    }
    assert_eq!(find_end(b"GET / HTTP/1.1\r", 0, 100), Ok(None), "its LF may come");
}

/// Returns the framing that these header lines of a request declare.
fn framing(lines: &str) -> Result<Option<u64>, Malformed> {
    let mut bytes = format!("POST / {lines}\r\n").into_bytes();
    let mut fields = Fields::new();
    let head = request(&mut bytes, 10, &mut fields)?;
    request_body(head.version, &fields).map(|body| body.length())
}

#[test]
fn length_of_a_body_has_one_spelling() {
    assert_eq!(framing("HTTP/1.1\r\n"), Ok(Some(0)));
    assert_eq!(framing("HTTP/1.1\r\nContent-Length: 0042\r\n"), Ok(Some(42)));
    assert_eq!(framing("HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n"), Ok(None));
    for lines in [
        "Content-Length: +4",
        "Content-Length: -1",
        "Content-Length: 4, 4",
        "Content-Length: 0x4",
        "Content-Length:",
        "Content-Length: 4 4",
        "Content-Length: 18446744073709551616",
        "Content-Length: 4\r\nContent-Length: 4",
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding:",
    ] {
        assert_eq!(
            framing(&format!("HTTP/1.1\r\n{lines}\r\n")),
            Err(Malformed::Framing),
            "{lines}"
        );
    }
    assert_eq!(framing("HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"), Err(Malformed::Framing));
}

#[test]
fn answers_are_read_with_the_length_that_their_status_allows() {
    let read = |text: &str, to_head| {
        let mut bytes = text.as_bytes().to_vec();
        let mut fields = Fields::new();
        let (status, version) = response(&mut bytes, 10, &mut fields).unwrap();
        let head = ResponseHead { status, version, fields: &fields };
        (
            head.status,
            head.version,
            response_body(&head, to_head).map(|body| (body.is_done(), body.length())),
        )
    };
    let whole = Ok((true, Some(0)));
    assert_eq!(
        read("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", false),
        (StatusCode::OK, Version::HTTP_11, Ok((false, Some(5))))
    );
    assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true).2, whole);
    assert_eq!(read("HTTP/1.1 304\r\ncontent-length: 5\r\n\r\n", false).2, whole);
    assert_eq!(read("HTTP/1.1 204 \r\n\r\n", false).2, whole);
    assert_eq!(
        read("HTTP/1.0 200 Fine\r\n\r\n", false),
        (StatusCode::OK, Version::HTTP_10, Ok((false, None)))
    );
    assert_eq!(
        read("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", false).2,
        Err(Malformed::Framing)
    );
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 600 OK",
        "HTTP/1.1  200",
        "HTTP/1.1 2000",
        "HTTP/1.1\t200 OK",
        "ICY 200 OK",
        "HTTP/1.1 200 \u{1}",
        "",
    ] {
        assert!(
            response(&mut format!("{line}\r\n\r\n").into_bytes(), 10, &mut Fields::new()).is_err(),
            "{line}"
        );
    }
}

proptest! {
    #[test]
    fn any_split_of_a_head_has_the_same_end(
        parts in prop::collection::vec(
            prop::sample::select(vec!["GET / HTTP/1.1\r\n", "a: b\r\n", "\r\n", "\r", "\n", "x"]),
            0..12,
        ),
        cuts in prop::collection::vec(1_usize..20, 1..20),
        size in 1_usize..80,
    ) {
        let bytes = parts.concat().into_bytes();
        let in_pieces = |cuts: &[usize]| {
            let (mut end, mut cuts, mut searched) = (0, cuts.iter().cycle(), 0);
            while end < bytes.len() {
                end = bytes.len().min(end + cuts.next().unwrap());
                let found = find_end(&bytes[..end], searched, size);
                if found != Ok(None) {
                    return found;
                }
                searched = end;
            }
            Ok(None)
        };
        let whole = find_end(&bytes, 0, size);
        for cuts in [&[1][..], &cuts] {
            let in_pieces = in_pieces(cuts);
            if in_pieces != whole {
                // A bare CR in an incomplete head is refused at once. In a complete head it is
                // refused when the head is read.
                prop_assert_eq!(in_pieces, Err(Malformed::Syntax));
                let end = whole.unwrap().expect("an end");
                let mut head = bytes[..end].to_vec();
                let read = request(&mut head, 100, &mut Fields::new()).unwrap_err();
                prop_assert_eq!(read, Malformed::Syntax);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_codec_panic_or_read_more_than_came(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        hint in 0..5,
    ) {
        let starts: [&[u8]; 5] =
            [b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", b"", b"5\r\n", b"0\r\nx: "];
        let start = starts[hint as usize];
        let bytes = [start, &bytes, b"\r\n\r\n"].concat();
        let _ = find_end(&bytes, 0, 100);
        let _ = request(&mut bytes.clone(), 10, &mut Fields::new());
        let _ = response(&mut bytes.clone(), 10, &mut Fields::new());
        let mut body = Body::chunked();
        let mut at = 0;
        while let Ok((read, piece)) = body.read(&bytes[at..]) {
            at += read;
            if matches!(piece, Piece::More | Piece::End) {
                break;
            }
        }
        prop_assert!(at <= bytes.len());
    }

    /// Compares with `httparse`, which hyper uses and which is more lenient. It must read every
    /// head that Keygate accepts in the same way.
    #[test]
    fn what_is_accepted_is_read_as_httparse_reads_it(
        method in "[A-Z]{1,7}",
        target in "(/|http://[a-z]{1,5}/)[a-zA-Z0-9/._~?&=%-]{0,30}",
        fields in prop::collection::vec(
            ("[a-zA-Z0-9_-]{1,12}", "[ \t]{0,2}[!-~ ]{0,20}[ \t]{0,2}", 0..12),
            0..8,
        ),
    ) {
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value, odd) in &fields {
            let separator = match odd { 0 => " :", 1 => ":\r\n ", 2 => ":\n", _ => ":" };
            text.push_str(&format!("{name}{separator}{value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.clone().into_bytes();
        let mut read = Fields::new();
        if let Ok(head) = request(&mut bytes, 100, &mut read) {
            let mut places = [httparse::EMPTY_HEADER; 100];
            let mut theirs = httparse::Request::new(&mut places);
            prop_assert!(theirs.parse(text.as_bytes()).unwrap().is_complete());
            prop_assert_eq!(head.method.as_str(), theirs.method.unwrap());
            prop_assert_eq!(read.len(), theirs.headers.len());
            for (ours, theirs) in read.iter().zip(theirs.headers.iter()) {
                prop_assert!(ours.name.eq_ignore_ascii_case(theirs.name));
                prop_assert_eq!(ours.value, theirs.value.trim_ascii());
            }
        }
    }
}

#[test]
fn what_is_written_is_read_back_the_same() {
    let mut out = Vec::new();
    let mut sent = b"PUT /a%20b?c=d HTTP/1.1\r\n\r\n".to_vec();
    let head = request(&mut sent, 10, &mut Fields::new()).unwrap();
    request_line(&mut out, &head.method, &head.target);
    assert_eq!((head.method, &out[..]), (Method::PUT, &b"PUT /a%20b?c=d HTTP/1.1\r\n"[..]));
    for code in [200, 201, 404, 599] {
        let mut out = Vec::new();
        status_line(&mut out, StatusCode::from_u16(code).unwrap());
        out.extend_from_slice(b"Date: now\r\n\r\n");
        let mut fields = Fields::new();
        let (status, _) = response(&mut out, 10, &mut fields).unwrap();
        assert_eq!((status.as_u16(), fields.first(HeaderKind::Date)), (code, Some(&b"now"[..])));
    }
}
