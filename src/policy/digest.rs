//! The digest that is stored instead of a key.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// The SHA-256 digest of a key. Keygate never stores the key itself. Serialised as 64 hexadecimal
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of a key, exactly as the caller presents it.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(sha2::Sha256::digest(key).into())
    }

    /// Parses 64 lowercase hexadecimal digits. Returns `None` for any other text.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 || bytes.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
            let digit = |at: usize| (pair[at] as char).to_digit(16);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        }
        Some(Self(digest))
    }

    /// Returns the hash for the key table. A digest is uniformly distributed, so its first bytes
    /// are the hash, and its last ones select the shard. Comparison in variable time discloses
    /// nothing: only a caller who has the key could choose the bytes of its digest.
    pub(super) fn hash(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(first)
    }

    /// Returns the shard number: twelve bits that [`Self::hash`] does not use.
    pub(super) fn shard(&self) -> usize {
        usize::from(u16::from_le_bytes([self.0[30], self.0[31]])) & 0xfff
    }

    /// Returns the bytes, for storage.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Makes a digest from the bytes that [`Self::as_bytes`] returned.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::from_hex(&text).ok_or("64 lowercase hexadecimal digits are expected")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Digest({self})")
    }
}
