//! Tests of bodies, most of them chunked.

use proptest::prelude::*;

use super::super::*;

/// Reads a body in pieces of at most `cut` bytes. Returns its data, its trailers and the bytes
/// after it.
fn whole_body(
    mut body: Body,
    bytes: &[u8],
    cut: usize,
) -> Result<(Vec<u8>, usize, Vec<u8>), Malformed> {
    let (mut data, mut trailers, mut at) = (Vec::new(), 0, 0);
    while !body.is_done() {
        let end = (at + cut).min(bytes.len());
        assert!(end > at, "the body does not end");
        let (read, piece) = body.read(&bytes[at..end])?;
        match piece {
            Piece::Data(range) => data.extend_from_slice(&bytes[at..end][range]),
            Piece::Trailers(fields) => trailers = fields.len(),
            Piece::More => assert_eq!(read, end - at, "a piece was left unread"),
            Piece::End => {}
        }
        at += read;
    }
    Ok((data, trailers, bytes[at..].to_vec()))
}

#[test]
fn line_of_a_chunk_is_as_long_as_allowed_however_it_arrives() {
    let body =
        |length: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(length - "1;\r\n".len()));
    for cut in [1, 1000, 10_000] {
        assert_eq!(
            whole_body(Body::chunked(), body(1024).as_bytes(), cut),
            Ok((b"x".to_vec(), 0, Vec::new())),
            "{cut}"
        );
        assert_eq!(
            whole_body(Body::chunked(), body(1025).as_bytes(), cut),
            Err(Malformed::TooLarge),
            "{cut}"
        );
    }
}

#[test]
fn chunk_syntax_has_no_second_reading() {
    let read = |bytes: &str| {
        (1..8).map(|cut| whole_body(Body::chunked(), bytes.as_bytes(), cut)).collect::<Vec<_>>()
    };
    for (bytes, data, trailers) in [
        ("5\r\nhello\r\n0\r\n\r\nnext", "hello", 0),
        ("005;a=b\r\nhello\r\n1 ;\r\n", "", 9),
        ("5;a;b=c;d=\"e;\\\"f\"\r\nhello\r\n0\r\n\r\nnext", "hello", 0),
        ("A\r\n0123456789\r\n00\r\nx: y\r\nz: 1\r\n\r\nnext", "0123456789", 2),
    ] {
        for outcome in read(bytes) {
            if trailers == 9 {
                assert_eq!(outcome, Err(Malformed::Syntax), "{bytes:?}");
            } else {
                assert_eq!(
                    outcome,
                    Ok((data.as_bytes().to_vec(), trailers, b"next".to_vec())),
                    "{bytes:?}"
                );
            }
        }
    }
    for bytes in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-1\r\n\r\n\r\n",
        "+5\r\nhello\r\n\r\n",
        " 5\r\nhello\r\n\r\n",
        "5 \r\nhello\r\n\r\n",
        "\r\n\r\n\r\n\r\n",
        "g\r\n\r\n\r\n\r\n",
        "1234567890abcdef\r\n\r\n\r\n",
        "5;\u{0}\r\nhello\r\n\r\n",
        "5;\r\nhello\r\n\r\n",
        "5;a=\r\nhello\r\n\r\n",
        "5;a=\"\r\nhello\r\n\r\n",
        "5; a=b\r\nhello\r\n\r\n",
        "0\r\nx y: z\r\n\r\n",
        "0\r\n x: y\r\n\r\n",
        "0\r\nx: y\n\n\r\n\r\n",
    ] {
        for outcome in read(&format!("{bytes}{}", "\r\n".repeat(20))) {
            assert_eq!(outcome.map(|(data, ..)| data), Err(Malformed::Syntax), "{bytes:?}");
        }
    }
    let endless = [b"1;".to_vec(), vec![b'a'; 2000]].concat();
    assert_eq!(whole_body(Body::chunked(), &endless, 100).unwrap_err(), Malformed::TooLarge);
    let long = [&endless[..], b"\r\nx\r\n0\r\n\r\n"].concat();
    assert_eq!(
        whole_body(Body::chunked(), &long, 10_000).unwrap_err(),
        Malformed::TooLarge,
        "also where all of it comes at once"
    );
    let endless = [b"0\r\n".to_vec(), b"x: y\r\n".repeat(4000)].concat();
    assert_eq!(whole_body(Body::chunked(), &endless, 1000).unwrap_err(), Malformed::TooLarge);
}

#[test]
fn chunks_of_one_byte_are_read_however_many_come() {
    let mut body = Body::chunked();
    let (mut data, mut input) = (0, b"1\r\nx\r\n".repeat(1_700_000));
    input.extend_from_slice(LAST_CHUNK);
    let mut at = 0;
    while !body.is_done() {
        let (read, piece) = body.read(&input[at..]).expect("sound chunks");
        data += if let Piece::Data(range) = piece { range.len() } else { 0 };
        at += read;
    }
    assert_eq!((data, at), (1_700_000, input.len()));
}

#[test]
fn what_chunks_hold_besides_data_is_bounded_to_the_byte() {
    let read = |lines: &[(&str, usize)]| {
        let chunks = |(line, count): &(&str, usize)| format!("{line}\r\nx\r\n").repeat(*count);
        let body: String = lines.iter().map(chunks).collect();
        whole_body(Body::chunked(), format!("{body}0\r\n\r\n").as_bytes(), 1 << 20)
            .map(|(data, ..)| data.len())
    };
    let extension = format!("1;{}", "e".repeat(511));
    // 32 times 512 bytes are 16 KiB. Every 20 bytes of data allow one byte more.
    assert_eq!(read(&[(&extension, 32)]), Ok(32));
    assert_eq!(read(&[(&extension, 32), ("01", 1)]), Ok(33));
    assert_eq!(read(&[(&extension, 32), ("001", 1)]), Err(Malformed::TooLarge));
    assert_eq!(read(&[(&extension, 32), ("1", 8), ("001", 1)]), Ok(41));
    assert_eq!(read(&[(&extension, 32), ("1", 8), ("0001", 1)]), Err(Malformed::TooLarge));
}

/// How a body ends: `Some` with the numbers of trailer fields and of bytes consumed, `None` if the
/// body is incomplete, or an error.
type End = Result<Option<(usize, usize)>, Malformed>;

/// Reads a chunked body in pieces whose lengths repeat these. Returns its data and how it ends.
fn outcome(bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, End) {
    let (mut body, mut data, mut trailers) = (Body::chunked(), Vec::new(), 0);
    let (mut at, mut cuts) = (0, cuts.iter().cycle());
    while at < bytes.len() {
        let piece = &bytes[at..bytes.len().min(at + cuts.next().unwrap())];
        let mut read = 0;
        while read < piece.len() {
            match body.read(&piece[read..]) {
                Err(fault) => return (data, Err(fault)),
                Ok((more, Piece::Data(range))) => {
                    data.extend_from_slice(&piece[read..][range]);
                    read += more;
                }
                Ok((more, Piece::Trailers(fields))) => {
                    (trailers, read) = (fields.len(), read + more)
                }
                Ok((more, _)) => read += more,
            }
            if body.is_done() {
                return (data, Ok(Some((trailers, at + read))));
            }
        }
        at += piece.len();
    }
    (data, Ok(None))
}

/// Generates parts of chunked bodies, and text that resembles them.
const PARTS: [&str; 20] = [
    "5\r\nhello\r\n",
    "1\r\nx\r\n",
    "001;a=b;c=\"d;\\\" e\";f\r\nx\r\n",
    "0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "0;z\r\n",
    "\r\n",
    "X: y\r\n",
    "\r",
    "\n",
    "1",
    "0",
    "a",
    ";",
    "=",
    "\"",
    "\\",
    " ",
    "5",
    ";eeeeeeee",
];

proptest! {
    #[test]
    fn bodies_are_the_same_however_they_come(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6),
        cut in 1_usize..400,
    ) {
        let mut bytes = Vec::new();
        parts.iter().for_each(|part| chunk(&mut bytes, part));
        bytes.extend_from_slice(LAST_CHUNK);
        bytes.extend_from_slice(b"GET");
        let data = parts.concat();
        let read = whole_body(Body::chunked(), &bytes, cut);
        prop_assert_eq!(read, Ok((data.clone(), 0, b"GET".to_vec())));
        let bytes = [&data[..], b"GET"].concat();
        let read = whole_body(Body::of_length(data.len() as u64), &bytes, cut);
        prop_assert_eq!(read, Ok((data, 0, b"GET".to_vec())));
    }

    #[test]
    fn any_split_of_chunks_has_the_same_outcome(
        sound in prop::collection::vec(0_usize..3, 0..8),
        parts in prop::collection::vec(0..PARTS.len(), 0..8),
        extensions in 0_usize..20,
        cuts in prop::collection::vec(1_usize..60, 1..20),
    ) {
        let long = format!("1;{}\r\nx\r\n", "e".repeat(1000)).repeat(extensions);
        let of = |parts: &[usize]| parts.iter().map(|part| PARTS[*part]).collect::<String>();
        let bytes = format!("{}{long}{}", of(&sound), of(&parts)).into_bytes();
        let whole = outcome(&bytes, &[bytes.len().max(1)]);
        prop_assert_eq!(&outcome(&bytes, &[1]), &whole);
        prop_assert_eq!(&outcome(&bytes, &cuts), &whole);
    }
}
