//! Fuzzes heads and bodies of HTTP/1.1. The result must not depend on how the bytes are split, and
//! another parser must read an accepted head in the same way.
#![no_main]

use keygate::http1::{self, Body, Malformed, Piece};
use keygate::policy::Fields;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    read_head(data, usize::from(*cut));
    for length in [None, Some(u64::from(*cut))] {
        let body = || length.map_or_else(Body::chunked, Body::of_length);
        let whole = read_body(body(), data, data.len().max(1));
        assert_eq!(whole, read_body(body(), data, 1), "byte by byte");
        assert_eq!(whole, read_body(body(), data, usize::from(*cut).max(1)), "in parts of {cut}");
    }
});

fn read_head(data: &[u8], cut: usize) {
    let whole = http1::find_end(data, 0, 4096);
    let mut in_parts = Ok(None);
    for end in (0..=data.len()).step_by(cut.max(1)).chain([data.len()]) {
        in_parts = http1::find_end(&data[..end], end.saturating_sub(cut.max(1)), 4096);
        if !matches!(in_parts, Ok(None)) {
            break;
        }
    }
    // Neither way sees an error after the end of the head. A bare CR is refused on arrival if the
    // head comes in parts, and in a whole head when that is parsed.
    assert!(whole == in_parts || in_parts == Err(Malformed::Syntax), "{whole:?}, {in_parts:?}");
    let Ok(Some(end)) = whole else { return };
    let mut head = data[..end].to_vec();
    let mut fields = Fields::new();
    let Ok(ours) = http1::request(&mut head, 60, &mut fields) else { return };
    assert_eq!(whole, in_parts);
    let mut room = [httparse::EMPTY_HEADER; 64];
    let mut theirs = httparse::Request::new(&mut room);
    let length =
        theirs.parse(&data[..end]).expect("what is accepted is a head to others too").unwrap();
    assert_eq!(length, end);
    assert_eq!(theirs.method, Some(ours.method.as_str()));
    let path = theirs.path.expect("a target");
    assert!(path.contains(ours.target.path) || ours.target.path == "/");
    assert_eq!(theirs.headers.len(), fields.len());
    for (ours, theirs) in fields.iter().zip(theirs.headers.iter()) {
        assert!(ours.name.eq_ignore_ascii_case(theirs.name));
        assert_eq!(ours.value, theirs.value);
    }
}

/// Reads a body in steps of `step` bytes. Returns its content, the number of trailer fields if it
/// has any, and whether it is complete.
///
/// # Errors
/// Returns why the body is malformed.
fn read_body(
    mut body: Body,
    data: &[u8],
    step: usize,
) -> Result<(Vec<u8>, Option<usize>, bool), Malformed> {
    let (mut content, mut trailers, mut at) = (Vec::new(), None, 0);
    let mut end = step.min(data.len());
    loop {
        let (read, piece) = body.read(&data[at..end])?;
        match piece {
            Piece::Data(range) => content.extend_from_slice(&data[at..end][range]),
            Piece::Trailers(fields) => trailers = Some(fields.len()),
            Piece::End => return Ok((content, trailers, true)),
            Piece::More if end == data.len() => return Ok((content, trailers, false)),
            Piece::More => end = (end + step).min(data.len()),
        }
        at += read;
    }
}
