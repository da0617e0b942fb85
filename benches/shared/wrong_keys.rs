//! Wrong keys that resemble a real one to different degrees.

use keygate::policy::{Digest, new_key};

/// Returns `count` keys of each kind, and what is special about the kind. `real` is a key that the
/// gateway knows. All keys of a kind have the same length, because the duration of hashing depends
/// on it.
pub(crate) fn wrong_keys(real: &str, count: usize) -> Vec<(&'static str, Vec<String>)> {
    let (prefix, start) = (&real[..8], Digest::of(real.as_bytes()).as_bytes()[0]);
    // No real key ends like this: those of tests and benchmarks end in digits.
    let letter = |number: usize| char::from(b"ghijklmnopqrstuvwxyz"[number % 20]);
    let ends_wrongly = |number: usize| {
        format!("{}{}{}", &real[..real.len() - 2], letter(number / 20), letter(number))
    };
    let begins_alike = |key: &String| Digest::of(key.as_bytes()).as_bytes()[0] == start;
    vec![
        ("their last characters are wrong", (0..count).map(ends_wrongly).collect()),
        (
            "their digests begin as that of the real one",
            (1_000_000..)
                .map(|number| unlike(real, number))
                .filter(begins_alike)
                .take(count)
                .collect(),
        ),
        (
            "their checksums are right",
            (0..count).map(|number| checked(prefix, real.len(), number)).collect(),
        ),
    ]
}

/// Returns a key that shares only its prefix and its length with the real one.
pub(crate) fn unlike(real: &str, number: usize) -> String {
    let text = Digest::of(&number.to_le_bytes()).to_string();
    format!("{}x{}", &real[..8], &text[..real.len() - 9])
}

/// Returns a key of the format and the length of new keys, with a valid checksum.
fn checked(prefix: &str, length: usize, number: usize) -> String {
    let random: Vec<u8> =
        (0..length).map(|at| u8::try_from((at * 31 + number * 17) % 240).unwrap_or(0)).collect();
    new_key(prefix, &random).expect("enough random bytes")
}
