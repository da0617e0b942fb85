//! Stalls.
