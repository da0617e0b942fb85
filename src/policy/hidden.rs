//! Secrets in memory.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

use zeroize::Zeroizing;

/// Overwrites memory that is about to be freed and may contain a secret. It overwrites the slice as
/// a whole: byte by byte, as `zeroize` does, takes ten times as long.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // Keeps the compiler from removing the write as dead.
    std::hint::black_box(bytes);
}

/// A secret, which no log and no error shows. It is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(Zeroizing<Box<[u8]>>);

impl Hidden {
    /// Concatenates the parts.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        // Allocated at its final size: growing would leave copies in memory.
        let mut bytes = vec![0; parts.iter().map(|part| part.len()).sum()].into_boxed_slice();
        let mut rest = &mut *bytes;
        for part in parts {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        Self(Zeroizing::new(bytes))
    }

    /// Returns the secret, for its intended recipient only.
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

/// To be looked up by what it hides.
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
