//! Keys that are wrong, from not at all like a real one to nearly it.

use keygate::policy::{Digest, new_key};

/// What each is, and the key. `real` is one that the gateway knows.
pub(crate) fn wrong_keys(real: &str) -> Vec<(&'static str, String)> {
    let prefix = &real[..real.len().min(8)];
    let mut last = real.to_owned();
    let end = if last.ends_with('0') { '1' } else { '0' };
    last.pop();
    last.push(end);
    vec![
        ("its last character is wrong", last),
        ("its digest begins as that of the real one", with_the_same_start(real)),
        ("its checksum is right", new_key(prefix, &[7; 64]).expect("enough random bytes")),
    ]
}

/// A key of the same length and prefix whose digest has the first byte of the real one's.
fn with_the_same_start(real: &str) -> String {
    let start = Digest::of(real.as_bytes()).as_bytes()[0];
    let candidates = (0_u64..).map(|number| format!("{}{number:0width$}", &real[..8], width = real.len() - 8));
    candidates.filter(|key| Digest::of(key.as_bytes()).as_bytes()[0] == start).find(|key| key != real).expect("one in 256 has it")
}
