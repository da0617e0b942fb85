//! Keygate.
fn main() {}
