//! One key.

use askama::Template;

use super::super::{Access, Frame, KeyState, KeyUsage, LastUse, Mark, Moment, segment};
use super::AuditTable;

/// `GET /keys/{id}`. What is not known is `None` and left out.
#[derive(Debug, Clone, Template)]
#[template(path = "key.html")]
pub(in crate::control::pages) struct KeyPage {
    /// The common part. Its heading is the key's name.
    pub(in crate::control::pages) frame: Frame,
    /// What is set.
    pub(in crate::control::pages) key: KeyFacts,
    /// What can be done here.
    pub(in crate::control::pages) actions: Actions,
    /// Its use.
    pub(in crate::control::pages) usage: Option<KeyUsage>,
    /// The newest first; lost at a restart.
    pub(in crate::control::pages) refusals: Option<Vec<RefusalRow>>,
    /// More than one only while it is being rotated.
    pub(in crate::control::pages) secrets: Vec<SecretRow>,
    /// What was done with it, the newest first.
    pub(in crate::control::pages) audit: Option<AuditTable>,
}

/// What is set for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct KeyFacts {
    /// Never changes.
    pub(in crate::control::pages) id: String,
    /// For people.
    pub(in crate::control::pages) name: String,
    /// Shown to operators.
    pub(in crate::control::pages) organization: Option<String>,
    /// Names of the APIs that it opens; shown where there are several.
    pub(in crate::control::pages) apis: Vec<String>,
    /// Its first characters; "" where they are not known.
    pub(in crate::control::pages) prefix: String,
    /// Its last four characters, where they are known.
    pub(in crate::control::pages) last_four: Option<String>,
    /// Such as `live`.
    pub(in crate::control::pages) environment: Option<String>,
    /// What it may do.
    pub(in crate::control::pages) access: Access,
    /// Empty: any.
    pub(in crate::control::pages) addresses: Vec<String>,
    /// Empty: any.
    pub(in crate::control::pages) referrers: Vec<String>,
    /// Empty: all that its access opens.
    pub(in crate::control::pages) endpoints: Vec<String>,
    /// Its own limits, else the API's, such as `100/min`. Empty: none.
    pub(in crate::control::pages) limits: Vec<String>,
    /// Whether the limits are its own.
    pub(in crate::control::pages) own_limits: bool,
    /// Whether it is accepted.
    pub(in crate::control::pages) state: KeyState,
    /// What else is to be known.
    pub(in crate::control::pages) marks: Vec<Mark>,
    /// `None` for keys of the file.
    pub(in crate::control::pages) created: Option<Moment>,
    /// Who made it.
    pub(in crate::control::pages) created_by: Option<String>,
    /// `None`: never.
    pub(in crate::control::pages) expires: Option<Moment>,
    /// When it was revoked.
    pub(in crate::control::pages) revoked: Option<Moment>,
    /// By whom.
    pub(in crate::control::pages) revoked_by: Option<String>,
    /// Why.
    pub(in crate::control::pages) revoked_because: Option<String>,
}

/// What can be done with a key here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::control::pages) struct Actions {
    /// `/keys/{id}/edit`
    pub(in crate::control::pages) edit: bool,
    /// `POST /keys/{id}/pause`
    pub(in crate::control::pages) pause: bool,
    /// `POST /keys/{id}/resume`
    pub(in crate::control::pages) resume: bool,
    /// `/keys/{id}/rotate`
    pub(in crate::control::pages) rotate: bool,
    /// `/keys/{id}/revoke`
    pub(in crate::control::pages) revoke: bool,
}

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct RefusalRow {
    /// When.
    pub(in crate::control::pages) at: Moment,
    /// Such as `GET`.
    pub(in crate::control::pages) method: String,
    /// Without its query.
    pub(in crate::control::pages) path: String,
    /// Such as 403.
    pub(in crate::control::pages) status: u16,
    /// Such as `insufficient_scope`.
    pub(in crate::control::pages) code: String,
    /// From which network.
    pub(in crate::control::pages) network: Option<String>,
    /// The page that explains it, from the base on. `None`: it cannot be explained here.
    pub(in crate::control::pages) explain: Option<String>,
}

/// One of the secrets that a key accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct SecretRow {
    /// The first 12 hexadecimal digits of its SHA-256.
    pub(in crate::control::pages) fingerprint: String,
    /// When it was made.
    pub(in crate::control::pages) created: Option<Moment>,
    /// When it stops working. `None`: with the key.
    pub(in crate::control::pages) ends: Option<Moment>,
    /// When it was last used. `None`: never.
    pub(in crate::control::pages) last_used: Option<Moment>,
}

impl KeyPage {
    /// The id in a path.
    pub(in crate::control::pages) fn segment(&self) -> String {
        segment(&self.key.id)
    }
}

impl Actions {
    /// Whether anything can be done.
    pub(in crate::control::pages) fn any(&self) -> bool {
        self.edit || self.pause || self.resume || self.rotate || self.revoke
    }
}
