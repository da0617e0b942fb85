//! How Keygate's codec and rules parse bytes, without any connection.

use http::{Method, Version};
use keygate::http1::{self, Piece, find_end};
use keygate::policy::{Fields, HeaderKind, check_path, host_of};

use super::Seen;

/// The defaults of the configuration.
const LARGEST_HEAD: usize = 32 * 1024;
const MOST_FIELDS: usize = 100;

/// What the bytes of a connection contain.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The requests that may arrive, in order.
    pub(super) authorised: Vec<Seen>,
    /// The number of final responses to the client.
    pub(super) answers: usize,
}

pub(super) fn read(bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut at = 0;
    loop {
        match find_end(&bytes[at..], 0, LARGEST_HEAD) {
            Ok(Some(end)) => {
                let behind = &bytes[at + end..];
                match request(&mut bytes[at..at + end].to_vec(), behind) {
                    Next::Request { seen, behind: read, goes_on } => {
                        reading.authorised.extend(seen);
                        reading.answers += 1;
                        at += end + read;
                        if !goes_on {
                            return reading;
                        }
                    }
                    Next::Unfinished => return reading,
                    Next::Refused => {
                        reading.answers += 1;
                        return reading;
                    }
                }
            }
            Ok(None) => return reading,
            Err(_) => {
                reading.answers += 1;
                return reading;
            }
        }
    }
}

enum Next {
    /// A complete request. `seen`: `None` if it is refused for its content. `behind`: the length of
    /// its body as sent.
    Request { seen: Option<Seen>, behind: usize, goes_on: bool },
    /// The request is incomplete.
    Unfinished,
    /// The end of the request is unknown.
    Refused,
}

fn request(head: &mut [u8], behind: &[u8]) -> Next {
    let mut fields = Fields::new();
    let Ok(head) = http1::request(head, MOST_FIELDS, &mut fields) else { return Next::Refused };
    let Ok(mut framing) = http1::request_body(head.version, &fields) else { return Next::Refused };
    let (mut body, mut read) = (Vec::new(), 0);
    while !framing.is_done() {
        match framing.read(&behind[read..]) {
            Ok((_, Piece::More)) if read == behind.len() => return Next::Unfinished,
            Ok((taken, piece)) => {
                if let Piece::Data(range) = piece {
                    body.extend_from_slice(&behind[read..][range]);
                }
                read += taken;
            }
            Err(_) => return Next::Refused,
        }
    }
    let closes = fields.lists(HeaderKind::Connection, b"close");
    let goes_on = !closes
        && (head.version == Version::HTTP_11
            || fields.lists(HeaderKind::Connection, b"keep-alive"));
    let is_refused = [Method::TRACE, Method::CONNECT]
        .iter()
        .any(|method| head.method.as_str().eq_ignore_ascii_case(method.as_str()));
    let accepted = !is_refused
        && check_path(head.target.path).is_ok()
        && host_of(&head.target, &fields).is_ok();
    let host = fields
        .first(HeaderKind::Host)
        .or(head.target.authority.map(str::as_bytes))
        .unwrap_or_default();
    let target = head.target.query.map_or_else(
        || head.target.path.to_owned(),
        |query| format!("{}?{query}", head.target.path),
    );
    let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect();
    let seen =
        accepted.then(|| Seen { method: head.method.to_string(), target, host: text(host), body });
    Next::Request { seen, behind: read, goes_on }
}
