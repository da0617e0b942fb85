//! Fuzzes the path rule: all servers must read an accepted path in the same way.
#![no_main]

use keygate::policy::{Fields, Target, check_path, host_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, host) = text.split_once('\n').unwrap_or((text, ""));
    if check_path(path).is_ok() {
        has_one_reading(path);
    }
    let mut fields = Fields::new();
    fields.push("host", host.as_bytes());
    let target = Target { authority: None, path: "/", query: None };
    if let Ok(host) = host_of(&target, &fields) {
        for text in [host.name, host.authority] {
            assert!(!text.is_empty() && !text.contains(['@', ',', '/', '\\', ' ']), "{text}");
        }
    }
});

/// Checks that a path keeps its segments whatever lenient servers do to it: decode it once or
/// twice, and cut off path parameters.
fn has_one_reading(path: &str) {
    let bytes = path.as_bytes();
    let segments = |bytes: &[u8]| bytes.iter().filter(|byte| matches!(byte, b'/' | b'\\')).count();
    assert_eq!(bytes[0], b'/');
    let once = decode(bytes);
    let twice = decode(&once);
    for reading in [bytes, &once, &twice] {
        assert_eq!(segments(reading), segments(bytes), "a slash came out of {path:?}");
        assert!(
            !reading.iter().any(|byte| matches!(byte, 0..=0x1f | 0x7f)),
            "a control character came out of {path:?}"
        );
        let names: Vec<&[u8]> = reading.split(|byte| *byte == b'/').skip(1).collect();
        for (index, name) in names.iter().enumerate() {
            // Some servers cut off path parameters before they resolve dot segments.
            let name = name.split(|byte| *byte == b';').next().unwrap_or_default();
            assert!(name != b"." && name != b"..", "a dot segment came out of {path:?}");
            assert!(
                !name.is_empty() || index + 1 == names.len(),
                "an empty segment came out of {path:?}"
            );
        }
    }
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |at: usize| bytes.get(at).and_then(|byte| (*byte as char).to_digit(16));
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}
