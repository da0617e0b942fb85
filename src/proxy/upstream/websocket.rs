//! WebSockets: after the protocol switch, bytes are copied in both directions.
//!
//! Frame boundaries are tracked, but frames are not interpreted. So a gateway that stops or cancels
//! the connection can send a Close frame where one is allowed: between two frames.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, WriteHalf};

use crate::proxy::upstream::http1::Exchange;
use crate::proxy::worker::closing::{Closing, close};
use crate::proxy::worker::context::Worker;
use crate::proxy::worker::in_flight::CANCEL_GRACE;
use crate::proxy::worker::request_state::RequestState;
use crate::proxy::worker::stream::Stream;
use crate::state::Phase;
use crate::stats::CutShort;

/// Timeout for the other side to answer a Close frame.
const CLOSING: Duration = Duration::from_secs(2);

/// Opcode of a Close frame (RFC 6455 §5.2).
const CLOSE: u8 = 8;

/// Status code and reason of the Close frame sent to both sides (RFC 6455 §7.4.1).
#[derive(Debug, Clone, Copy)]
struct CloseReason {
    code: u16,
    reason: &'static str,
}

const STOPPING: CloseReason = CloseReason { code: 1001, reason: "the gateway is stopping" };
/// Sent whatever happened to the key. The code means a policy violation, so that clients do not
/// simply reconnect.
const CANCELLED: CloseReason = CloseReason { code: 1008, reason: "the API key is no longer valid" };
const OVERDUE: CloseReason = CloseReason { code: 1001, reason: "idle or open for too long" };

/// One side: its stream, and the bytes received after its head.
type Side = (Stream, BytesMut);

/// Copies between both sides until both have ended, then notes how they have, drops `entry` and
/// closes both connections.
pub(in crate::proxy) async fn serve(
    worker: &Rc<Worker>,
    (mut client, sent): Side,
    mut exchange: Box<Exchange>,
    entry: impl Sized,
) {
    let Some((mut upstream, answered)) = exchange.take_stream() else { return };
    worker.stats().upgrades_open.add(1);
    let state = exchange.state();
    let too_late = async {
        state.until_cancelled().await;
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    let copying = run(worker, state, (&mut client, sent), (&mut upstream, answered));
    let (down, up) = tokio::select! {
        closings = copying => closings,
        () = too_late => (Closing::Abandoned, Closing::Abandoned),
    };
    worker.stats().upgrades_open.sub(1);
    match (down, up) {
        // What is passed on to the client was cut short by the upstream.
        (Closing::Truncated, _) => state.cut_short(CutShort::UpstreamTruncated),
        (_, Closing::Truncated) | (Closing::Abandoned, _) => state.cut_short(CutShort::ClientLeft),
        (_, Closing::Abandoned) => state.cut_short(CutShort::UpstreamTruncated),
        _ => state.set_delivered(),
    }
    drop(entry);
    let (client, upstream) = (RefCell::new(client), RefCell::new(upstream));
    tokio::join!(
        close(worker, || client.borrow_mut(), down),
        close(worker, || upstream.borrow_mut(), up),
    );
}

/// Copies in both directions. Returns how to close the client's connection and the upstream's.
async fn run(
    worker: &Rc<Worker>,
    state: &RequestState,
    (client, sent): (&mut Stream, BytesMut),
    (upstream, answered): (&mut Stream, BytesMut),
) -> (Closing, Closing) {
    let (client_in, client_out) = tokio::io::split(client);
    let (upstream_in, upstream_out) = tokio::io::split(upstream);
    let down = copy(worker, state, (&answered[..]).chain(upstream_in), client_out, None);
    // Frames from a client are masked (RFC 6455 §5.3). The mask is random, so that nobody can
    // choose the bytes on the wire.
    let mut mask = [0; 4];
    let _ = getrandom::fill(&mut mask);
    let up = copy(worker, state, (&sent[..]).chain(client_in), upstream_out, Some(mask));
    // A side that has failed cannot be written to either.
    let down = async { down.await.map_err(|Broken| (Closing::Truncated, Closing::Abandoned)) };
    let up = async { up.await.map_err(|Broken| (Closing::Abandoned, Closing::Truncated)) };
    tokio::try_join!(down, up).unwrap_or_else(|closings| closings)
}

/// The side that is read from has failed.
struct Broken;

/// Copies one direction until it ends, or until the gateway stops or cancels the request and a
/// Close frame has been sent. Returns how to close the connection that is written to.
///
/// # Errors
/// Returns `Broken` if the side that is read from fails.
// Longer than 60 lines: one loop, of which each turn is one event.
async fn copy(
    worker: &Worker,
    state: &RequestState,
    mut from: impl AsyncRead + Unpin,
    mut to: WriteHalf<&mut Stream>,
    mask: Option<[u8; 4]>,
) -> Result<Closing, Broken> {
    let mut phase = worker.shared().phase();
    let mut frames = Frames::default();
    let mut buffer = vec![0; 16 * 1024];
    let mut close = None;
    let closing = loop {
        if let Some(close) = close
            && frames.between()
        {
            let _ = to.write_all(&close_frame(close, mask)).await;
            let _ = to.flush().await;
            // What follows is the other side's Close frame, or late frames that nobody will read.
            let discard =
                async { while from.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
            let _ = tokio::time::timeout(CLOSING, discard).await;
            break Closing::Orderly;
        }
        let read = tokio::select! {
            // Checked first. Otherwise a client that leaves as soon as it gets the Close frame
            // would keep the upstream from getting one.
            biased;
            refusal = state.until_cancelled(), if close.is_none() => {
                close = Some(if refusal.is_about_time() { OVERDUE } else { CANCELLED });
                continue;
            }
            _ = phase.wait_for(|phase| *phase >= Phase::Draining), if close.is_none() => {
                close = Some(STOPPING);
                continue;
            }
            read = from.read(&mut buffer) => read,
        };
        state.moved(worker.soon(Duration::ZERO));
        let ended = match read {
            Ok(0) => Ok(Closing::Orderly),
            Ok(read) => {
                frames.follow(&buffer[..read]);
                if pass_on(&buffer[..read], &mut to).await.is_ok() {
                    continue;
                }
                Ok(Closing::Abandoned)
            }
            // After a Close frame nothing is missing, however the connection ends.
            Err(_) if frames.closed => Ok(Closing::Orderly),
            Err(_) => Err(Broken),
        };
        // The client may have got its Close frame and left before this direction noticed the stop.
        if close.is_none() && *phase.borrow() >= Phase::Draining {
            close = Some(STOPPING);
            continue;
        }
        break ended?;
    };
    if closing == Closing::Orderly {
        // The other direction may continue.
        let _ = to.shutdown().await;
    }
    Ok(closing)
}

async fn pass_on(bytes: &[u8], to: &mut WriteHalf<&mut Stream>) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Builds a Close frame (RFC 6455 §5.5.1).
fn close_frame(close: CloseReason, mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut payload = close.code.to_be_bytes().to_vec();
    payload.extend(close.reason.as_bytes());
    let length = u8::try_from(payload.len()).unwrap_or(0); // Short by construction.
    let mut frame = vec![0x88, length | if mask.is_some() { 0x80 } else { 0 }];
    if let Some(mask) = mask {
        frame.extend(mask);
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
    frame.extend(payload);
    frame
}

/// Position in the stream of frames (RFC 6455 §5.2).
#[derive(Debug, Default)]
struct Frames {
    /// Bytes of the current frame's header so far, at most 14.
    header: Vec<u8>,
    /// Bytes of the frame's payload that are still to come.
    payload: u64,
    /// Whether a Close frame has been seen.
    closed: bool,
}

impl Frames {
    /// Returns whether the position is between two frames.
    fn between(&self) -> bool {
        self.header.is_empty() && self.payload == 0
    }

    /// Advances over `bytes`.
    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
                self.payload -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.header.push(bytes[0]);
            bytes = &bytes[1..];
            if let Some(payload) = payload_length(&self.header) {
                self.payload = payload;
                self.closed |= self.header[0] & 0x0f == CLOSE;
                self.header.clear();
            }
        }
    }
}

/// Returns the length of the payload, or `None` if the header is incomplete.
fn payload_length(header: &[u8]) -> Option<u64> {
    let second = *header.get(1)?;
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let length = header.get(2..2 + extended)?;
    let whole = header.len() == 2 + extended + mask;
    let wide = || length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    whole.then(|| if extended == 0 { u64::from(second & 0x7f) } else { wide() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: usize, masked: bool) -> Vec<u8> {
        let bit = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match payload {
            0..126 => frame.push(bit | payload as u8),
            126..65_536 => {
                frame.push(bit | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(bit | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend(vec![7; payload + if masked { 4 } else { 0 }]);
        frame
    }

    proptest::proptest! {
        #[test]
        fn frame_boundaries_are_found_however_the_bytes_are_cut(
            payloads in proptest::collection::vec((0usize..70_000, proptest::bool::ANY), 1..6),
            cut in 1usize..5000,
        ) {
            let mut frames = Frames::default();
            for (payload, masked) in payloads {
                let bytes = frame(payload, masked);
                let (body, last) = bytes.split_at(bytes.len() - 1);
                for piece in body.chunks(cut) {
                    frames.follow(piece);
                    proptest::prop_assert!(!frames.between());
                }
                frames.follow(last);
                proptest::prop_assert!(frames.between());
            }
        }
    }

    #[test]
    fn a_close_frame_carries_the_code_and_the_reason() {
        let plain = close_frame(STOPPING, None);
        assert_eq!((plain[0], plain[1] as usize), (0x88, plain.len() - 2));
        assert_eq!(plain[2..4], 1001u16.to_be_bytes());
        let masked = close_frame(STOPPING, Some([1, 2, 3, 4]));
        assert_eq!(masked[1] & 0x80, 0x80);
        assert_eq!(masked[6] ^ 1, plain[2]);
    }
}
