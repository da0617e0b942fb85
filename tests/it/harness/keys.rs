//! API keys. They are created at run time, so that no secret scanner finds one in the source.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

/// A key and its `[[key]]` block.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The key as a client sends it.
    pub(crate) text: String,
    lines: String,
}

pub(crate) fn hex_digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Key {
    /// Creates a key that starts with `prefix`.
    pub(crate) fn new(id: &str, prefix: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let seed =
            format!("{id} {} {}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let text = format!("{prefix}{}", &hex_digest(&seed)[..36]);
        let lines = format!(
            "id = \"{id}\"\nname = \"{id} of a test\"\nsha256 = \"{}\"\n",
            hex_digest(&text)
        );
        Self { text, lines }
    }

    /// Creates a key of the `live` environment of most tests' APIs.
    pub(crate) fn live(id: &str) -> Self {
        Self::new(id, &format!("sk_{}_", "live"))
    }

    /// Creates a key of the `test` environment.
    pub(crate) fn test(id: &str) -> Self {
        Self::new(id, &format!("sk_{}_", "test"))
    }

    /// Adds a setting to the block.
    pub(crate) fn set(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push('\n');
        self
    }

    pub(crate) fn scopes(self, scopes: &[&str]) -> Self {
        self.set(&format!("scopes = {scopes:?}"))
    }

    pub(crate) fn block(&self) -> String {
        format!("\n[[key]]\n{}", self.lines)
    }
}
