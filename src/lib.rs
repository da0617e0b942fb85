//! Keygate, an authentication gateway. `ARCHITECTURE.md` is the map.

pub mod config;
pub mod control;
pub mod policy;
pub mod state;
pub mod stats;
