//! Forms that end a key or a secret of it.

use askama::Template;

use super::super::{Choice, Field, FormError, Frame, LastUse, segment};

/// `GET /keys/{id}/rotate`, and `POST` with a mistake. Fields: `grace`, `idempotency`.
#[derive(Debug, Clone, Template)]
#[template(path = "rotate.html")]
pub(in crate::control::pages) struct RotatePage {
    /// The common part.
    pub(in crate::control::pages) frame: Frame,
    /// The key's id.
    pub(in crate::control::pages) id: String,
    /// The key's name.
    pub(in crate::control::pages) name: String,
    /// When the secret so far was last used.
    pub(in crate::control::pages) last_use: LastUse,
    /// How long the secret so far goes on working, such as `24h`; `0s`: it stops at once.
    pub(in crate::control::pages) grace: Vec<Choice>,
    /// What is wrong with the choice.
    pub(in crate::control::pages) error: Option<String>,
    /// Field `idempotency`.
    pub(in crate::control::pages) idempotency: String,
}

/// `GET /keys/{id}/revoke`, and `POST` with a mistake. Fields: `confirm`, `reason`, `descendants`.
#[derive(Debug, Clone, Template)]
#[template(path = "revoke.html")]
pub(in crate::control::pages) struct RevokePage {
    /// The common part.
    pub(in crate::control::pages) frame: Frame,
    /// The key's id.
    pub(in crate::control::pages) id: String,
    /// The key's name.
    pub(in crate::control::pages) name: String,
    /// When it was last used.
    pub(in crate::control::pages) last_use: LastUse,
    /// The name, where it has to be typed. The server compares it, whatever the script does.
    pub(in crate::control::pages) confirm_name: Option<String>,
    /// What was typed for it.
    pub(in crate::control::pages) confirm: Field,
    /// Why, for the audit log.
    pub(in crate::control::pages) reason: Field,
    /// How many keys it made, and those made; they can be revoked with it. 0: none.
    pub(in crate::control::pages) descendants: u64,
}

impl RotatePage {
    /// The id in a path.
    pub(in crate::control::pages) fn segment(&self) -> String {
        segment(&self.id)
    }

    /// All mistakes.
    pub(in crate::control::pages) fn errors(&self) -> Vec<FormError<'_>> {
        FormError::of(&[("grace", &self.error)])
    }
}

impl RevokePage {
    /// The id in a path.
    pub(in crate::control::pages) fn segment(&self) -> String {
        segment(&self.id)
    }

    /// All mistakes.
    pub(in crate::control::pages) fn errors(&self) -> Vec<FormError<'_>> {
        FormError::of(&[("confirm", &self.confirm.error), ("reason", &self.reason.error)])
    }
}
