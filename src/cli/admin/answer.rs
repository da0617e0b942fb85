//! Responses of the admin API: JSON, or a problem (RFC 9457).

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::error::with_hint;
use crate::cli::output::plain;

pub(super) const TOKEN_HINT: &str = "add an [[admin.token]] with `role = \"manage\"` and the \
    digest that `keygate keys hash` makes of the token";

/// A response with any status.
#[derive(Debug)]
pub(in crate::cli) struct Answer {
    pub(in crate::cli) status: StatusCode,
    pub(in crate::cli) body: Bytes,
}

/// The body of a response other than success (RFC 9457).
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    detail: String,
    #[serde(default)]
    errors: Vec<Mistake>,
}

/// One of the mistakes in a request.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Mistake {
    /// The member of the request that is wrong; empty for the request as a whole.
    member: String,
    pub(in crate::cli) message: String,
}

impl Answer {
    /// Returns the response if its status is a success.
    ///
    /// # Errors
    /// Fails with the gateway's message for any other status.
    pub(in crate::cli) fn accepted(self) -> anyhow::Result<Self> {
        if self.status.is_success() { Ok(self) } else { Err(self.refusal()) }
    }

    /// Parses the body as JSON.
    ///
    /// # Errors
    /// Fails if the body is not the JSON of a `T`.
    pub(in crate::cli) fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body).context(
            "the answer is not what this version of keygate understands; is the gateway \
                another one?",
        )
    }

    /// Returns the body as the gateway wrote it.
    ///
    /// # Errors
    /// Fails if the body is not UTF-8.
    pub(in crate::cli) fn text(&self) -> anyhow::Result<&str> {
        Ok(std::str::from_utf8(&self.body)?)
    }

    /// Returns every mistake that the gateway lists for the request.
    pub(in crate::cli) fn mistakes(&self) -> Vec<Mistake> {
        serde_json::from_slice::<Problem>(&self.body)
            .map(|problem| problem.errors)
            .unwrap_or_default()
    }

    /// Returns whether the body is a problem with this code.
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
        // The detail of this code only repeats the list of errors.
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

/// Returns what to do about a problem with this code.
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
