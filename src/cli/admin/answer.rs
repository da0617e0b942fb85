//! What the admin API answers with: JSON, or a problem (RFC 9457).

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::error::with_hint;
use crate::cli::output::plain;

pub(super) const TOKEN_HINT: &str = "add an [[admin.token]] with `role = \"manage\"` and the \
    digest that `keygate keys hash` makes of the token";

/// An answer, whatever it says.
#[derive(Debug)]
pub(in crate::cli) struct Answer {
    pub(in crate::cli) status: StatusCode,
    pub(in crate::cli) body: Bytes,
}

/// Why a call is refused.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    detail: String,
    #[serde(default)]
    errors: Vec<Mistake>,
}

/// One of the mistakes of a call.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Mistake {
    /// Empty: the whole.
    member: String,
    pub(in crate::cli) message: String,
}

impl Answer {
    /// # Errors
    /// The answer is a refusal.
    pub(in crate::cli) fn accepted(self) -> anyhow::Result<Self> {
        if self.status.is_success() { Ok(self) } else { Err(self.refusal()) }
    }

    /// # Errors
    /// The answer is something else.
    pub(in crate::cli) fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body).context(
            "the answer is not what this version of keygate understands; is the gateway \
                another one?",
        )
    }

    /// The JSON as the gateway wrote it.
    ///
    /// # Errors
    /// It is no text.
    pub(in crate::cli) fn text(&self) -> anyhow::Result<&str> {
        Ok(std::str::from_utf8(&self.body)?)
    }

    /// Every mistake of the call that the gateway names.
    pub(in crate::cli) fn mistakes(&self) -> Vec<Mistake> {
        serde_json::from_slice::<Problem>(&self.body)
            .map(|problem| problem.errors)
            .unwrap_or_default()
    }

    /// Whether it is a refusal with this code.
    pub(super) fn has_code(&self, code: &str) -> bool {
        serde_json::from_slice::<Problem>(&self.body).is_ok_and(|problem| problem.code == code)
    }

    fn refusal(&self) -> anyhow::Error {
        let Ok(problem) = serde_json::from_slice::<Problem>(&self.body) else {
            return anyhow!(
                "the gateway answered {}; is this really its admin address?",
                self.status
            );
        };
        // The detail of this code is the list of its errors.
        let mut text = if problem.code == "invalid_request" {
            "the gateway cannot take this as it is".to_owned()
        } else {
            plain(&problem.detail)
        };
        for Mistake { member, message } in &problem.errors {
            let colon = if member.is_empty() { "" } else { ": " };
            text.push_str(&format!("\n  {}{colon}{}", plain(member), plain(message)));
        }
        match hint(&problem.code) {
            Some(hint) => with_hint(text, hint),
            None => anyhow!(text),
        }
    }
}

/// What to do about a refusal with this code.
fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "missing_token" | "unknown_token" | "no_admin_token" | "read_only_token" => TOKEN_HINT,
        "organization_token" => "use the token of an [[admin.token]] without `organization`",
        "no_store" => {
            "add [store] with `path = \"keygate.db\"` to gateway.toml and start the gateway anew; \
                until then: `keygate keys new`"
        }
        "not_found" => "`keygate keys list` and `keygate organizations list` show what there is",
        "key_revoked" => "revoking is for good; `keygate keys create` makes another key",
        "key_cap_reached" => {
            "revoke keys that nobody needs, or raise the cap with `keygate organizations cap`"
        }
        "key_expired" => "`keygate keys update --expires` gives it more time",
        _ => return None,
    })
}
