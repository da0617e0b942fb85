//! Defaults that several commands share.

/// The configuration file.
pub(super) const DEFAULT_CONFIG: &str = "gateway.toml";
