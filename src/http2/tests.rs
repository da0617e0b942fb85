//! Tests of the codec.

mod frames;
mod hpack;
mod requests;
