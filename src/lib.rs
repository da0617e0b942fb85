//! Keygate, an API-key authentication gateway. `ARCHITECTURE.md` describes its structure.

pub mod cli;
pub mod config;
pub mod control;
pub mod events;
pub mod handover;
pub mod http1;
pub mod http2;
pub mod keystore;
pub mod policy;
pub mod proof;
pub mod proxy;
pub mod serve;
pub mod state;
pub mod stats;
pub mod syntax;
pub mod systemd;
pub mod text;
pub mod words;
