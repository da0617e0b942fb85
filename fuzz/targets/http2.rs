//! Fuzzes a client's HTTP/2 connection, with the bytes split anywhere. Nothing may panic, the
//! output must be complete frames, and no more streams may be open than the limit allows.
#![no_main]

use http::StatusCode;
use keygate::http2::{Block, Connection, Event, HeaderBlock, Limits, PREFACE, Reason, request};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { streams: 8, size: 4096, fields: 30, budget: 10_000 };
const FRAME_HEAD: usize = 9;

fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    let bytes = [PREFACE, data].concat();
    let mut connection = Connection::<()>::new(LIMITS, 0);
    let mut block = Block::default();
    let mut open: Vec<usize> = Vec::new();
    let step = usize::from(*cut).max(1);
    let (mut at, mut end, mut now) = (0, 0, 0);
    while end < bytes.len() {
        end = (end + step).min(bytes.len());
        now += 1000;
        loop {
            let event = match connection.read(&bytes[at..end], &mut block, now) {
                Ok(Some((read, event))) => {
                    assert!(read > 0, "an event of nothing");
                    at += read;
                    event
                }
                Ok(None) => break,
                Err(reason) => {
                    assert_ne!(reason, Reason::INTERNAL_ERROR);
                    connection.go_away(reason);
                    return check_frames(&connection.out);
                }
            };
            match event {
                Event::Request { key, ended } => {
                    open.push(key);
                    assert!(open.len() <= LIMITS.streams as usize, "too many streams");
                    connection.with_stream(key, |sender, ()| match request(&block) {
                        Ok(head) if head.length.is_none_or(|length| sender.expect(length)) => {
                            sender.send_head(StatusCode::OK, &HeaderBlock::with_capacity(0), false);
                            let room = sender.room().min(10);
                            sender.send_data(&b"0123456789"[..room], ended);
                        }
                        _ => sender.refuse(),
                    });
                }
                Event::Data { key, credit, ended, .. } => {
                    drop(credit);
                    connection.with_stream(key, |sender, ()| {
                        sender.raise_window(0);
                        if ended {
                            sender.send_data(b"", true);
                        }
                    });
                    connection.raise_window();
                }
                Event::Trailers { key, .. } => {
                    connection.with_stream(key, |sender, ()| sender.send_data(b"", true));
                }
                Event::Reset { .. } | Event::Window { .. } | Event::Nothing => {}
            }
            open.retain(|key| connection.is_open(*key));
        }
    }
    check_frames(&connection.out);
});

fn check_frames(mut out: &[u8]) {
    while !out.is_empty() {
        assert!(out.len() >= FRAME_HEAD, "half a frame");
        let length = usize::from(out[0]) << 16 | usize::from(out[1]) << 8 | usize::from(out[2]);
        assert!(length <= 16_384, "a frame of {length} bytes");
        out = out.get(FRAME_HEAD + length..).expect("a whole frame");
    }
}
