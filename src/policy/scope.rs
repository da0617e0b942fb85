//! Scopes: named permissions of one API, and sets of them.

use super::pattern::Pattern;

/// A named permission and the endpoints that it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Its name, such as `tickets:read`.
    pub name: Box<str>,
    /// For people.
    pub description: Box<str>,
    /// The endpoints.
    pub allows: Vec<Pattern>,
}

/// A set of scopes of one API, by their place in its list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(u128);

impl ScopeSet {
    /// How many scopes one API can have.
    pub const CAPACITY: usize = 128;

    /// The set with the scope at `index` added. An index from [`Self::CAPACITY`] on changes
    /// nothing.
    #[must_use]
    pub fn with(self, index: usize) -> Self {
        if index < Self::CAPACITY { Self(self.0 | 1 << index) } else { self }
    }

    /// Whether the scope at `index` is in the set.
    #[must_use]
    pub fn contains(self, index: usize) -> bool {
        index < Self::CAPACITY && self.0 >> index & 1 == 1
    }

    /// All scopes that are in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any scope is in both.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The scope that comes first in the file.
    #[must_use]
    pub fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize)
    }
}
