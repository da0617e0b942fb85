//! Scopes, which are named permissions of one API, and sets of them.

use super::pattern::Pattern;

/// A named permission, and the endpoints that it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The name, such as `tickets:read`.
    pub name: Box<str>,
    /// The description, for people.
    pub description: Box<str>,
    /// The endpoints that the scope allows.
    pub allows: Vec<Pattern>,
}

/// A set of scopes of one API, by their indices in its list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(u128);

impl ScopeSet {
    /// The most scopes that one API can have.
    pub const CAPACITY: usize = 128;

    /// Returns the set with the scope at `index` added. Indices from [`Self::CAPACITY`] on are
    /// ignored.
    #[must_use]
    pub fn with(self, index: usize) -> Self {
        if index < Self::CAPACITY { Self(self.0 | 1 << index) } else { self }
    }

    /// Returns whether the scope at `index` is in the set.
    #[must_use]
    pub fn contains(self, index: usize) -> bool {
        index < Self::CAPACITY && self.0 >> index & 1 == 1
    }

    /// Returns all scopes that are in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether any scope is in both sets.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the index of the first scope in file order.
    #[must_use]
    pub fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize)
    }
}
