//! Random requests and responses, and their mutations.

/// A reproducible pseudo-random sequence (SplitMix64, by Steele, Lea and Flood).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Header lines that have been used for smuggling, spoofing and other attacks, and harmless ones.
const LINES: [&[u8]; 72] = [
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: chunked\x00",
    b"Transfer-Encoding: CHUNKED",
    b"Transfer-Encoding:",
    b"Transfer_Encoding: chunked",
    b"Transfer.Encoding: chunked",
    b"transfer-encoding: chunked",
    b" Transfer-Encoding: chunked",
    b"X: y\r\n Transfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: 05",
    b"Content-Length: +5",
    b"Content-Length: 5, 5",
    b"Content-Length: 0x5",
    b"Content-Length: 5 ",
    b"Content-Length : 5",
    b"Content-Length:",
    b"Content_Length: 5",
    b"Content-Length: 18446744073709551621",
    b"Content-Length: 1000",
    b"Host: b.example",
    b"Host: b.example, c.example",
    b"Host:",
    b"Host : b.example",
    b"Host: b@c",
    b"Host: b.example:80",
    b"host: b.example",
    b"X-Forwarded-Host: b.example",
    b"X-Host: b.example",
    b"Forwarded: host=b.example",
    b"X-Original-URL: /other",
    b"X-Rewrite-URL: /other",
    b"X-HTTP-Method-Override: DELETE",
    b"X-HTTP-Method: DELETE",
    b"X-Method-Override: DELETE",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: Content-Length",
    b"Connection: Transfer-Encoding",
    b"Connection: Host",
    b"Connection: close, X-Keygate-Auth",
    b"Keep-Alive: timeout=1",
    b"Proxy-Connection: keep-alive",
    b"Expect: 100-continue",
    b"Expect: 200-ok",
    b"TE: trailers",
    b"Trailer: X-Sum",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    b"Upgrade: websocket\r\nConnection: Upgrade",
    b"X-Keygate-Auth: key",
    b"X-Keygate-Key-Id: key_boss",
    b"X_Keygate_Auth: key",
    b"X-Forwarded-For: 192.0.2.1",
    b"Range: bytes=0-0",
    b"Content-Encoding: gzip",
    b"Content-Type: application/x-www-form-urlencoded",
    b"Max-Forwards: 0",
    b"Cookie: a=b",
    b"X: \xff\xfe",
    b"X: caf\xc3\xa9",
    b"X-Empty:",
    b"A: b\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a",
];

/// What follows the path.
const ENDS: [&str; 24] = [
    "",
    "",
    "",
    "/",
    "/a",
    "/a/b",
    "?x=y",
    "?",
    "?a=/../b",
    "/caf%C3%A9",
    "/a%20b",
    "/a;b=c",
    "/100%25",
    "/..",
    "/.",
    "//",
    "/%2e%2e/a",
    "/%2fa",
    "/a\\b",
    "/;x",
    "/%61",
    "/%00",
    "/a/../b",
    "/~!$&'()*+,;=:@",
];

/// Byte sequences to insert at random positions.
pub(super) const PIECES: [&[u8]; 40] = [
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x80",
    b"\xff",
    b",",
    b";",
    b":",
    b"/",
    b"//",
    b"\\",
    b"..",
    b"/../",
    b"%2e",
    b"%2f",
    b"%00",
    b"%0d%0a",
    b"#",
    b"?",
    b"@",
    b"*",
    b"0",
    b"1",
    b"f",
    b"+",
    b"-",
    b"_",
    b"\"",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b" HTTP/1.1\r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"chunked",
];

/// Returns the bytes of the case with this number: up to three requests on one connection, mutated
/// up to four times.
pub(super) fn case(random: &mut Random, number: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..=random.below(3)).flat_map(|part| request(random, number, part)).collect();
    for _ in 0..random.below(5) {
        mutate(random, &mut bytes);
    }
    bytes
}

/// Returns an upstream's response, mutated up to three times, in some cases followed by another
/// one.
pub(super) fn answer(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    if random.below(8) == 0 {
        bytes.extend_from_slice(random.pick(&[
            &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        ]));
    }
    let version = if random.below(10) == 0 { "1.0" } else { "1.1" };
    let status = random.pick(&[
        "200 OK",
        "200 OK",
        "200",
        "404 Not Found",
        "204 No Content",
        "304 Not Modified",
        "201 Odd words: here",
    ]);
    bytes.extend_from_slice(format!("HTTP/{version} {status}\r\nDate: now\r\n").as_bytes());
    let body = random.pick(&[
        &b""[..],
        b"hello",
        b"0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    ]);
    frame(random, &mut bytes, body);
    if random.below(4) == 0 {
        bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
    }
    for _ in 0..random.below(4) {
        mutate(random, &mut bytes);
    }
    bytes
}

/// Returns a target that identifies its case.
pub(super) fn target(random: &mut Random, number: usize, part: usize) -> String {
    format!("/c{number}-{part}{}", random.pick(&ENDS))
}

fn request(random: &mut Random, number: usize, part: usize) -> Vec<u8> {
    let method =
        random.pick(&["GET", "GET", "POST", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]);
    let host = format!("h{number}.example");
    let form = if random.below(12) == 0 { format!("http://{host}") } else { String::new() };
    let version = if random.below(10) == 0 { "1.0" } else { "1.1" };
    let target = target(random, number, part);
    let mut out =
        format!("{method} {form}{target} HTTP/{version}\r\nHost: {host}\r\n").into_bytes();
    for _ in 0..random.below(3) {
        // Mostly harmless lines. Mutations add the others.
        out.extend_from_slice(random.pick(&[
            &b"Accept: */*"[..],
            b"X-A: b",
            b"Content-Type: text/plain",
            b"Cookie: a=b",
            b"TE: trailers",
            b"X-Empty:",
        ]));
        out.extend_from_slice(b"\r\n");
    }
    let body = random.pick(&[
        &b""[..],
        b"hello",
        b"0\r\n\r\n",
        b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x00\xff\r\n",
        b"a=b&c=d",
    ]);
    frame(random, &mut out, body);
    out
}

/// Ends the head and adds the body: none, with `Content-Length`, or chunked.
fn frame(random: &mut Random, out: &mut Vec<u8>, body: &[u8]) {
    match random.below(4) {
        0 => out.extend_from_slice(b"\r\n"),
        1 => out
            .extend([format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()),
        _ => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            let extension = random.pick(&["", "", "", ";a", ";a=b", ";a=\"b;c\""]);
            for chunk in body.chunks(1 + random.below(40)) {
                out.extend(
                    [format!("{:x}{extension}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"]
                        .concat(),
                );
            }
            let trailers = random.pick(&[
                "",
                "",
                "",
                "X-Sum: 1\r\n",
                "Content-Length: 5\r\n",
                "X-Keygate-Auth: key\r\nX: y\r\n",
            ]);
            out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        }
    }
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    let line_ends: Vec<usize> = memchr::memmem::find_iter(&bytes[..], b"\r\n").collect();
    let line = (!line_ends.is_empty()).then(|| random.below(line_ends.len()));
    match (random.below(12), line) {
        // Insert a line, duplicate a line, delete a line, change the case of a line, or change a
        // line end.
        (0..=2, Some(line)) => {
            let more = [&b"\r\n"[..], random.pick(&LINES)].concat();
            bytes.splice(line_ends[line]..line_ends[line], more);
        }
        (3, Some(line)) => {
            let start = if line == 0 { 0 } else { line_ends[line - 1] };
            let twice = bytes[start..line_ends[line]].to_vec();
            bytes.splice(line_ends[line]..line_ends[line], twice);
        }
        (4, Some(line)) if line > 0 => drop(bytes.drain(line_ends[line - 1]..line_ends[line])),
        (5, Some(line)) => {
            let start = if line == 0 { 0 } else { line_ends[line - 1] };
            let upper = random.below(2) == 0;
            let text = &mut bytes[start..line_ends[line]];
            if upper { text.make_ascii_uppercase() } else { text.make_ascii_lowercase() }
        }
        (6, Some(line)) => {
            let end = random.pick(&[
                &b"\n"[..],
                b"\r",
                b"\r\r\n",
                b"\n\n",
                b"\n\r\n",
                b"\r\n ",
                b"\r\n\t",
                b"",
                b"\r\n\r\n",
                b" \r\n",
                b"\t\r\n",
            ]);
            bytes.splice(line_ends[line]..line_ends[line] + 2, end.iter().copied());
        }
        // Insert a piece, change a byte, delete a byte, truncate, or copy a part.
        (7 | 8, _) => drop(bytes.splice(at..at, random.pick(&PIECES).iter().copied())),
        (9, _) if !bytes.is_empty() => bytes[at] = random.pick(&PIECES)[0],
        (10, _) if !bytes.is_empty() => drop(bytes.remove(at)),
        (11, _) if random.below(3) == 0 => bytes.truncate(at),
        _ => {
            let part = bytes[at..(at + random.below(60)).min(bytes.len())].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, part);
        }
    }
}
