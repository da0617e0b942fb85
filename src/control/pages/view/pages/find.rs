//! Finds the key that a leaked string opens.

use askama::Template;

use super::super::{Field, FormError, Frame, KeyState, LastUse, Moment, segment};

/// `GET` and `POST /find`. The form sends `key` (a key, with blanks or `Bearer` around it, or its
/// digest), or `sha256` where a script has hashed it. What was pasted is never shown again.
#[derive(Debug, Clone, Template)]
#[template(path = "find.html")]
pub(in crate::control::pages) struct FindPage {
    /// The common part.
    pub(in crate::control::pages) frame: Frame,
    /// Only its error is shown.
    pub(in crate::control::pages) pasted: Field,
    /// What was found. `None`: nothing was asked yet.
    pub(in crate::control::pages) found: Option<Found>,
}

/// The answer to a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) enum Found {
    /// It opens this key.
    Key(Box<FoundKey>),
    /// It opens no key that can be seen here.
    Unknown,
}

/// The key that a leaked string opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct FoundKey {
    /// Never changes.
    pub(in crate::control::pages) id: String,
    /// For people.
    pub(in crate::control::pages) name: String,
    /// Shown to operators.
    pub(in crate::control::pages) organization: Option<String>,
    /// Whether it is accepted.
    pub(in crate::control::pages) state: KeyState,
    /// When it was last used.
    pub(in crate::control::pages) last_use: LastUse,
    /// Of a secret that was replaced and still works: until when.
    pub(in crate::control::pages) secret_ends: Option<Moment>,
    /// Whether a new secret can be had here.
    pub(in crate::control::pages) may_rotate: bool,
    /// Whether it can be revoked here.
    pub(in crate::control::pages) may_revoke: bool,
}

impl FoundKey {
    /// The id in a path.
    pub(in crate::control::pages) fn segment(&self) -> String {
        segment(&self.id)
    }
}

impl FindPage {
    /// All mistakes.
    pub(in crate::control::pages) fn errors(&self) -> Vec<FormError<'_>> {
        FormError::of(&[("pasted", &self.pasted.error)])
    }
}
