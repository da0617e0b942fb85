//! Requests and responses that concern portal sessions, in the form of the admin API's JSON.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::permission::Permission;

/// A person of the product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Person {
    /// The product's own id of the person: 1 to 200 characters.
    pub(in crate::control) id: String,
    /// For people; 1 to 200 characters.
    pub(in crate::control) name: String,
}

/// A session to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct NewSession {
    /// Whose keys it manages. May be left out with a token that is narrowed to an organization.
    #[serde(default)]
    pub(in crate::control) organization: Option<String>,
    /// Who uses it. Stands in the audit log, and in `created_by` of the keys.
    pub(in crate::control) actor: Person,
    /// What it may do; all where it is absent.
    #[serde(default)]
    pub(in crate::control) permissions: Option<Vec<Permission>>,
    /// The APIs that it is narrowed to.
    #[serde(default)]
    pub(in crate::control) apis: Option<Vec<String>>,
    /// The environments that it is narrowed to.
    #[serde(default)]
    pub(in crate::control) environments: Option<Vec<String>>,
    /// The most scopes that a key made in it may have; all but `*` where it is absent.
    #[serde(default)]
    pub(in crate::control) scopes: Option<Vec<String>>,
    /// How long a key made in it may last, such as `365d`.
    #[serde(default)]
    pub(in crate::control) max_key_lifetime: Option<String>,
    /// The page that it begins with, such as `/keys/new`; `/keys` where it is absent.
    #[serde(default)]
    pub(in crate::control) path: Option<String>,
    /// Where the way back leads. Its origin is one of `[portal] return_origins`.
    #[serde(default)]
    pub(in crate::control) return_url: Option<String>,
    /// The language of the pages (BCP 47), as far as there are texts in it; `en` where it is
    /// absent.
    #[serde(default)]
    pub(in crate::control) locale: Option<String>,
    /// When it ends, from `1min` to `24h`; `8h` where it is absent.
    #[serde(default)]
    pub(in crate::control) expires_in: Option<String>,
}

/// A session that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct MintedSession {
    /// Never changes, and is no secret.
    pub(in crate::control) id: String,
    /// Where the browser is to be sent. It opens the session once; whoever has it, is in.
    pub(in crate::control) url: String,
    pub(in crate::control) url_expires_at: String,
    pub(in crate::control) expires_at: String,
}

/// Leaves out the URL, which holds the code.
impl fmt::Debug for MintedSession {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MintedSession").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A session as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct SessionView {
    pub(in crate::control) id: String,
    pub(in crate::control) organization: String,
    pub(in crate::control) actor: Person,
    pub(in crate::control) permissions: Vec<String>,
    pub(in crate::control) apis: Option<Vec<String>>,
    pub(in crate::control) environments: Option<Vec<String>>,
    pub(in crate::control) scopes: Option<Vec<String>>,
    /// Such as `365d`.
    pub(in crate::control) max_key_lifetime: Option<String>,
    /// The admin token that made it.
    pub(in crate::control) created_by: String,
    pub(in crate::control) created_at: String,
    pub(in crate::control) expires_at: String,
    /// Null: not yet.
    pub(in crate::control) opened_at: Option<String>,
    /// When a page was last asked for, to the minute.
    pub(in crate::control) last_seen_at: Option<String>,
    /// The network of the browser.
    pub(in crate::control) network: Option<String>,
    /// What the browser calls itself.
    pub(in crate::control) user_agent: Option<String>,
}

/// Some sessions, ordered by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct SessionPage {
    pub(in crate::control) sessions: Vec<SessionView>,
    /// For the next page; null: there is none.
    pub(in crate::control) next: Option<String>,
}

/// Which sessions end. At least one member is there; with both, those that fit both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct EndOrder {
    /// Those of this organization.
    #[serde(default)]
    pub(in crate::control) organization: Option<String>,
    /// Those of the person with this id.
    #[serde(default)]
    pub(in crate::control) actor: Option<String>,
}

/// What was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct EndedSessions {
    /// The ids of the sessions.
    pub(in crate::control) ended: Vec<String>,
}
