//! Tests that an accepted path or host has one reading only.

use super::*;
use crate::policy::target::decode_escape;

/// Decodes valid percent-encodings. Leaves everything else unchanged.
pub(super) fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], decode_escape(&bytes[at..])) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Returns the segments that a lenient server finds. It decodes `times` times, splits at slashes
/// and backslashes, drops path parameters, and resolves dot segments and empty segments.
/// `parameters_first`: it also drops parameters before decoding.
fn lenient(path: &[u8], times: usize, parameters_first: bool) -> Vec<Vec<u8>> {
    let without_parameters = |path: Vec<u8>| {
        let segments: Vec<&[u8]> = path
            .split(|byte| *byte == b'/')
            .map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or(&[]))
            .collect();
        segments.join(&b'/')
    };
    let mut path = path.to_vec();
    if parameters_first {
        path = without_parameters(path);
    }
    for _ in 0..times {
        path = decode(&path);
    }
    for byte in &mut path {
        if *byte == b'\\' {
            *byte = b'/';
        }
    }
    let path = without_parameters(path);
    let path = path.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let mut segments: Vec<Vec<u8>> = Vec::new();
    let all: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
    for (at, segment) in all.iter().enumerate() {
        match *segment {
            b"." => {}
            b".." => drop(segments.pop()),
            b"" if at + 1 < all.len() => {}
            other => segments.push(other.to_vec()),
        }
    }
    segments
}

/// Returns the segments that the decision finds, which splits at `/` only. For the comparison they
/// are decoded `times` times, and their parameters are dropped.
fn strict(path: &[u8], times: usize) -> Vec<Vec<u8>> {
    let segment = |segment: &[u8]| {
        let mut text = segment.to_vec();
        for _ in 0..times {
            text = decode(&text);
        }
        text.split(|byte| *byte == b';').next().unwrap_or(&[]).to_vec()
    };
    path.split(|byte| *byte == b'/').skip(1).map(segment).collect()
}

fn assert_one_reading(path: &[u8]) {
    for times in 0..=2 {
        for parameters_first in [false, true] {
            assert_eq!(
                lenient(path, times, parameters_first),
                strict(path, times),
                "{}",
                path.escape_ascii()
            );
        }
    }
}

/// Calls `visit` with `path`, and with every extension of it by up to `length` pieces.
fn every_path(pieces: &[&[u8]], length: usize, path: &mut Vec<u8>, visit: &mut impl FnMut(&[u8])) {
    visit(path);
    if length == 0 {
        return;
    }
    for piece in pieces {
        let end = path.len();
        path.extend_from_slice(piece);
        every_path(pieces, length - 1, path, visit);
        path.truncate(end);
    }
}

fn check_all(pieces: &[&[u8]], length: usize) -> (usize, usize) {
    let (mut seen, mut accepted) = (0, 0);
    every_path(pieces, length, &mut vec![b'/'], &mut |path| {
        seen += 1;
        if let Ok(text) = std::str::from_utf8(path)
            && check_path(text).is_ok()
        {
            accepted += 1;
            assert_one_reading(path);
        }
    });
    (seen, accepted)
}

#[test]
fn every_short_path_of_hostile_bytes_that_is_accepted_has_one_reading() {
    let bytes: [&[u8]; 17] = [
        b"/", b".", b"%", b"2", b"e", b"f", b"5", b"c", b"\\", b";", b"*", b"?", b"a", b"A", b"\0",
        b"3", b"b",
    ];
    let (seen, accepted) = check_all(&bytes, 5);
    assert!(seen > 1_000_000 && accepted > 1_000, "{seen} {accepted}");
}

#[test]
fn every_path_of_hostile_pieces_that_is_accepted_has_one_reading() {
    let pieces: [&[u8]; 18] = [
        b"/", b".", b"..", b"%2e", b"%2F", b"%5c", b"%25", b"2e", b"2f", b"%252e", b";", b"%3b",
        b"a", b"%61", b"%00", b"\xff", b"%", b"%20",
    ];
    let (seen, accepted) = check_all(&pieces, 4);
    assert!(seen > 100_000 && accepted > 100, "{seen} {accepted}");
}

#[test]
fn every_path_of_encoded_pieces_that_is_accepted_has_one_reading() {
    let pieces: [&[u8]; 30] = [
        b"/",
        b".",
        b"..",
        b";",
        b"%3b",
        b"%3B",
        b"%2F",
        b"%2f",
        b"%5C",
        b"\\",
        b"%25",
        b"25",
        b"%252f",
        b"%255c",
        b"%253b",
        b"%25252e",
        b"%c0",
        b"%ae",
        b"%AF",
        b"%e0",
        b"%80",
        b"a",
        b"%41",
        b"#",
        b" ",
        b"%0a",
        b"%7f",
        b"\xc3\xa9",
        b"+",
        b"%2",
    ];
    let (seen, accepted) = check_all(&pieces, 4);
    assert!(seen > 800_000 && accepted > 10_000, "{seen} {accepted}");
}

#[test]
fn overlong_utf8_is_refused_and_other_encodings_are_not() {
    for path in [
        "/a/%c0%ae%C0%AE/b",
        "/a/%F8%80%80%80%AF/b",
        "/a/%FC%80%80%80%80%AE/b",
        "/a/%c0%af",
        "/a%c1%9cb",
        "/%e0%80%af",
        "/%E0%80%AE/x",
        "/%f0%80%80%af",
    ] {
        assert_eq!(check_path(path), Err(BadTarget::Encoded), "{path}");
    }
    for path in ["/%C0", "/%C0/%80", "/%C0%C1", "/%E0%A4%95", "/%F0%9F%8E%AB", "/voil%E0%20"] {
        assert_eq!(check_path(path), Ok(()), "{path}");
    }
}

#[test]
fn ordinary_paths_are_accepted() {
    for path in [
        "/",
        "/api/v1/tickets",
        "/api/v1/tickets/",
        "/a.b/c..d/...",
        "/.well-known/x",
        "/~user/!$&'()*+,;=:@",
        "/caf%C3%A9/100%25",
        "/a%20b",
        "/a;v=1/b",
        "/%E2%82%AC",
        "/approvals/GetApprovalNotComplete",
    ] {
        assert_eq!(check_path(path), Ok(()), "{path}");
    }
}

#[test]
fn paths_with_two_readings_are_refused_with_their_reason() {
    for (path, why) in [
        ("*", BadTarget::NotAPath),
        ("", BadTarget::NotAPath),
        ("a/b", BadTarget::NotAPath),
        ("/a b", BadTarget::Byte),
        ("/a\\b", BadTarget::Byte),
        ("/a\u{7f}", BadTarget::Byte),
        ("/é", BadTarget::Byte),
        ("/\"", BadTarget::Byte),
        ("/%", BadTarget::Escape),
        ("/%2", BadTarget::Escape),
        ("/%zz", BadTarget::Escape),
        ("/a%2Fb", BadTarget::Encoded),
        ("/a%5cb", BadTarget::Encoded),
        ("/%2e%2e/x", BadTarget::Encoded),
        ("/%61", BadTarget::Encoded),
        ("/%00", BadTarget::Encoded),
        ("/a%0d%0ab", BadTarget::Encoded),
        ("/%252e", BadTarget::Encoded),
        ("/.", BadTarget::DotSegment),
        ("/a/..", BadTarget::DotSegment),
        ("/a/../b", BadTarget::DotSegment),
        ("/a/..;x/b", BadTarget::DotSegment),
        ("/a/.;/b", BadTarget::DotSegment),
        ("/a/..%3bx/b", BadTarget::DotSegment),
        ("/a/;x/b", BadTarget::EmptySegment),
        ("/a/%3Bx/b", BadTarget::EmptySegment),
        ("//", BadTarget::EmptySegment),
        ("//a", BadTarget::EmptySegment),
        ("/a//b", BadTarget::EmptySegment),
    ] {
        assert_eq!(check_path(path), Err(why), "{path}");
    }
}

fn host(target: &str, fields: &[&str]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(http::header::HOST, HeaderValue::from_str(field).expect("a field value"));
    }
    let uri: Uri = target.parse().expect("a target");
    host_of(&Target::from(&uri), &Fields::from(&headers))
        .ok()
        .map(|host| format!("{}|{}", host.name, host.authority))
}

#[test]
fn host_is_read_from_the_field_or_the_target_when_they_agree() {
    assert_eq!(
        host("/", &["Desk.Example:8443"]).as_deref(),
        Some("Desk.Example|Desk.Example:8443")
    );
    assert_eq!(host("http://desk.example/", &[]).as_deref(), Some("desk.example|desk.example"));
    assert_eq!(
        host("http://desk.example:80/", &["DESK.example:80"]).as_deref(),
        Some("desk.example|desk.example:80")
    );
    assert_eq!(
        host("/", &["[2001:db8::1]:443"]).as_deref(),
        Some("[2001:db8::1]|[2001:db8::1]:443")
    );
    assert_eq!(host("/", &["127.0.0.1"]).as_deref(), Some("127.0.0.1|127.0.0.1"));
}

#[test]
fn missing_repeated_malformed_and_contradictory_hosts_are_refused() {
    assert_eq!(host("/", &[]), None);
    assert_eq!(host("/", &["a", "a"]), None);
    assert_eq!(host("http://a/", &["b"]), None);
    assert_eq!(host("http://a:80/", &["a"]), None);
    for bad in [
        "",
        ":80",
        "a:",
        "a:b",
        "a:99999",
        "a:123456",
        "a b",
        "a/b",
        "a@b",
        "user:pw@a",
        "[::1",
        "[::1]x",
        "[x]",
        "[::1]:x",
        ".",
        ".a",
        "a.",
        "a.:80",
        "a..b",
        "a,b",
        "a?b",
        "a#b",
        "%61",
    ] {
        // RFC 3986 §3.2.3 allows an empty port, as in `name:`, but servers read it differently.
        assert_eq!(host("/", &[bad]), None, "{bad:?}");
    }
}

/// Returns the names that careless servers may find in a `Host`.
fn careless_names(host: &str) -> Vec<&str> {
    let before =
        |text: &'static str| host.split(|letter| text.contains(letter)).next().unwrap_or_default();
    let mut names = vec![
        host.rsplit('@').next().unwrap_or_default(),
        host.split(',').next().unwrap_or_default(),
        host.rsplit(',').next().unwrap_or_default().trim(),
        before("/?#\\"),
        before(" \t;"),
        host.trim_end_matches('.'),
        host.trim_start_matches('.'),
    ];
    if !host.starts_with('[') {
        names.push(before(":"));
        names.push(host.rsplit_once(':').map_or(host, |(name, _)| name));
    }
    names
}

#[test]
fn every_short_host_that_is_accepted_names_one_host() {
    let pieces: [&[u8]; 16] = [
        b"a", b"A", b".", b":", b"1", b"@", b",", b"[::1]", b"[", b"]", b"/", b"\\", b"%2e", b" ",
        b"_", b";",
    ];
    let (mut seen, mut accepted) = (0, 0);
    every_path(&pieces, 5, &mut Vec::new(), &mut |host| {
        seen += 1;
        let host = std::str::from_utf8(host).expect("ASCII");
        let mut head = Fields::new();
        head.push("host", host.trim().as_bytes());
        let Ok(read) = host_of(&Target { authority: None, path: "/", query: None }, &head) else {
            return;
        };
        accepted += 1;
        let bare = |name: &str| {
            name.strip_suffix(&read.authority[read.name.len()..]).unwrap_or(name).to_owned()
        };
        for name in careless_names(read.authority) {
            assert_eq!(bare(name), read.name, "{host:?}");
        }
        let port = &read.authority[read.name.len()..];
        assert!(port.is_empty() || port[1..].parse::<u16>().is_ok(), "{host:?}");
    });
    assert!(seen > 1_000_000 && accepted > 1_000, "{seen} {accepted}");
}
