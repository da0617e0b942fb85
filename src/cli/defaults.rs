//! What commands take where nothing is named.

/// The file.
pub(super) const DEFAULT_CONFIG: &str = "gateway.toml";
