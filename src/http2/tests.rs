//! Tests of HTTP/2 as bytes, without I/O.

mod credit;
mod differential;
mod frames;
mod hpack;
mod mutations;
mod peer;
mod requests;
mod windows;

/// Returns a configuration with `PROPTEST_CASES` cases, or this many if the variable is not set.
fn cases(short: u32) -> proptest::prelude::ProptestConfig {
    let cases =
        std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(short);
    proptest::prelude::ProptestConfig::with_cases(cases)
}
