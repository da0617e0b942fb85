//! Checks the ids of keys.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use thiserror::Error;

/// The id of a key: 1 to 128 ASCII letters, digits, `.`, `_`, `:` or `-`. These are safe in logs,
/// metrics and headers. The id is not a secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Arc<str>);

/// A text that is not a valid id. The error omits the text, which may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an id has 1 to {} of letters, digits, `.`, `_`, `:` and `-`", KeyId::LONGEST)]
pub struct BadKeyId;

impl KeyId {
    /// The maximum length in bytes.
    pub const LONGEST: usize = 128;

    /// Parses an id.
    ///
    /// # Errors
    /// Returns [`BadKeyId`] if the text is empty, is too long or has other characters.
    pub fn parse(text: &str) -> Result<Self, BadKeyId> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(BadKeyId)
        }
    }

    /// Returns the length in bytes.
    pub(super) fn length(&self) -> u8 {
        const { assert!(Self::LONGEST <= u8::MAX as usize) };
        // `parse` bounds the length, so the cast is exact.
        self.0.len() as u8
    }
}

impl Deref for KeyId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_that_is_too_long_or_empty_or_has_other_characters_is_no_id() {
        let longest = "k".repeat(KeyId::LONGEST);
        for good in ["k", "key_crm", "a.b:c-d_1", &longest] {
            assert_eq!(KeyId::parse(good).as_deref(), Ok(good));
        }
        for bad in ["", &format!("{longest}k"), "key crm", "ключ", "key\n", "k\u{202e}"] {
            assert_eq!(KeyId::parse(bad), Err(BadKeyId), "{bad:?}");
        }
    }
}
