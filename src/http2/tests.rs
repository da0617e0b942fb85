//! Tests of the codec.

mod credit;
mod differential;
mod frames;
mod hpack;
mod mutations;
mod peer;
mod requests;
mod windows;

/// Returns a configuration with this many cases, or with as many as `PROPTEST_CASES` says.
fn cases(short: u32) -> proptest::prelude::ProptestConfig {
    let cases =
        std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(short);
    proptest::prelude::ProptestConfig::with_cases(cases)
}
