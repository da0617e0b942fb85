//! Pages that make a key, change it, and show it once.

use askama::Template;

use super::super::{Frame, KeyForm, Moment, segment};

/// `GET /keys/new`, and `POST /keys` with a mistake or with `change`.
///
/// With `review=1` `POST /keys` makes nothing yet: it answers with a [`ReviewKeyPage`], or with
/// this page where something is wrong. Without `review` it makes the key. The form sends
/// `review=1`; a script that shows the sentences while one types takes it out.
#[derive(Debug, Clone, Template)]
#[template(path = "new_key.html")]
pub(in crate::control::pages) struct NewKeyPage {
    /// The common part.
    pub(in crate::control::pages) frame: Frame,
    /// What was typed.
    pub(in crate::control::pages) form: KeyForm,
    /// Field `idempotency`.
    pub(in crate::control::pages) idempotency: String,
}

/// `POST /keys` with `review=1`: says what is asked for. Its form has all fields, hidden, and two
/// buttons: one makes the key, one (field `change=1`) leads back to the form.
#[derive(Debug, Clone, Template)]
#[template(path = "review_key.html")]
pub(in crate::control::pages) struct ReviewKeyPage {
    /// The common part.
    pub(in crate::control::pages) frame: Frame,
    /// What was typed.
    pub(in crate::control::pages) form: KeyForm,
    /// Field `idempotency`.
    pub(in crate::control::pages) idempotency: String,
}

/// `GET /keys/{id}/edit`, and `POST` with a mistake.
#[derive(Debug, Clone, Template)]
#[template(path = "edit_key.html")]
pub(in crate::control::pages) struct EditKeyPage {
    /// The common part.
    pub(in crate::control::pages) frame: Frame,
    /// The key's id.
    pub(in crate::control::pages) id: String,
    /// The key's name so far.
    pub(in crate::control::pages) name: String,
    /// What was typed, or how the key is. APIs and environment cannot be changed: both `None`.
    pub(in crate::control::pages) form: KeyForm,
    /// Field `revision`: the change is made only while the key still has it.
    pub(in crate::control::pages) revision: u64,
}

/// The answer to `POST /keys` and `POST /keys/{id}/rotate`: the key, once.
#[derive(Clone, Template)]
#[template(path = "key_shown.html")]
pub(in crate::control::pages) struct KeyShownPage {
    /// The common part.
    pub(in crate::control::pages) frame: Frame,
    /// The key's id.
    pub(in crate::control::pages) id: String,
    /// The key itself.
    pub(in crate::control::pages) key: String,
    /// A call with the key, ready to paste.
    pub(in crate::control::pages) curl: String,
    /// Whether the key was rotated, not made.
    pub(in crate::control::pages) rotated: bool,
    /// Until when the secret so far goes on working. `None`: it has stopped, or there was none.
    pub(in crate::control::pages) old_until: Option<Moment>,
}

/// The answer to a repeat of either: the key exists and is not shown again.
#[derive(Debug, Clone, Template)]
#[template(path = "already_shown.html")]
pub(in crate::control::pages) struct AlreadyShownPage {
    /// The common part.
    pub(in crate::control::pages) frame: Frame,
    /// The key's id.
    pub(in crate::control::pages) id: String,
    /// The key's name.
    pub(in crate::control::pages) name: String,
    /// Whether a new secret can be had here.
    pub(in crate::control::pages) may_rotate: bool,
    /// Whether it can be revoked here.
    pub(in crate::control::pages) may_revoke: bool,
}

impl EditKeyPage {
    /// The id in a path.
    pub(in crate::control::pages) fn segment(&self) -> String {
        segment(&self.id)
    }
}

impl KeyShownPage {
    /// The id in a path.
    pub(in crate::control::pages) fn segment(&self) -> String {
        segment(&self.id)
    }
}

impl AlreadyShownPage {
    /// The id in a path.
    pub(in crate::control::pages) fn segment(&self) -> String {
        segment(&self.id)
    }
}
