//! Keygate, an authentication gateway. `ARCHITECTURE.md` is the map.

pub mod config;
pub mod policy;
