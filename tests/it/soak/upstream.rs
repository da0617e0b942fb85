//! The upstreams of the soak test: one that reports what it was asked, and one that fails in many
//! ways.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Message, SWITCH, bare_upstream, echo_frames};

/// Starts an upstream that responds with the request line and the key id in fields, and with the
/// request's body. It echoes WebSocket frames.
pub(super) fn echo() -> String {
    bare_upstream(|stream| {
        let _ = stream.set_nodelay(true);
        let Ok(mut out) = stream.try_clone() else { return };
        let mut stream = BufReader::new(stream);
        while let Ok(Some(request)) = Message::read(&mut stream, |_| true) {
            if request.has("upgrade") {
                let _ = out.write_all(SWITCH);
                echo_frames(&mut stream);
                return;
            }
            if out.write_all(&answer(&request)).is_err() {
                return;
            }
        }
    })
}

fn answer(request: &Message) -> Vec<u8> {
    let key = request.header("x-keygate-key-id").unwrap_or("nobody");
    let asked = format!("X-Asked: {}\r\nX-By: {key}\r\n", request.start);
    let head = format!("HTTP/1.1 200 OK\r\n{asked}Content-Length: {}\r\n\r\n", request.body.len());
    [head.as_bytes(), &request.body].concat()
}

/// Starts an upstream that in turn responds, pauses, closes, resets, truncates, or sends invalid
/// bytes.
pub(super) fn shaky() -> String {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    bare_upstream(|stream| {
        let Ok(mut out) = stream.try_clone() else { return };
        let mut stream = BufReader::new(stream);
        while let Ok(Some(request)) = Message::read(&mut stream, |_| true) {
            let whole = answer(&request);
            let bytes: &[u8] = match TURN.fetch_add(1, Ordering::Relaxed) % 9 {
                0..3 => &whole,
                3 => {
                    std::thread::sleep(Duration::from_millis(30));
                    &whole
                }
                4 => &whole[..20],
                5 => b"",
                6 => {
                    reset(&out);
                    return;
                }
                7 => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
                _ => b"220 mail.example ESMTP\r\n\r\n",
            };
            if out.write_all(bytes).is_err() || bytes.len() != whole.len() {
                return;
            }
        }
    })
}

/// Makes the connection end with a reset instead of an orderly close.
pub(super) fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
