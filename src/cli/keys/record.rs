//! A key's record as the admin API returns it and as the commands print it.

use clap::Args;
use http::Method;
use serde::Deserialize;

use crate::cli::admin::{Admin, Answer, Connection, encode};
use crate::cli::output::print;
use crate::cli::table;

// The arguments of commands about one key. (No doc comment: clap would show it in place of the
// command's own.)
#[derive(Debug, Args)]
pub(in crate::cli) struct One {
    /// The key's id
    #[arg(value_name = "ID")]
    pub(super) id: String,
    /// Print the gateway's JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) connection: Connection,
}

impl One {
    /// Returns the key's path in the admin API, followed by `action`.
    pub(super) fn path(&self, action: &str) -> String {
        format!("/v1/keys/{}{action}", encode(&self.id))
    }

    /// Sends the request and prints the record in the response.
    pub(super) fn call(
        &self,
        method: Method,
        action: &str,
        body: Option<&serde_json::Value>,
    ) -> anyhow::Result<()> {
        print_record(
            &Admin::find(&self.connection)?.ask(method, &self.path(action), body)?,
            self.json,
        )
    }
}

/// `keygate keys show`.
pub(super) fn show(one: &One) -> anyhow::Result<()> {
    one.call(Method::GET, "", None)
}

/// `keygate keys pause` and `keygate keys resume`.
pub(super) fn act(one: &One, action: &str) -> anyhow::Result<()> {
    one.call(Method::POST, &format!("/{action}"), None)
}

/// The members of a record that the commands print.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) organization: Option<String>,
    apis: Vec<String>,
    pub(super) prefix: String,
    pub(super) environment: Option<String>,
    scopes: Vec<String>,
    allow_ips: Vec<String>,
    allow_referrers: Vec<String>,
    allow_endpoints: Vec<String>,
    rate_limit: Option<Vec<String>>,
    pub(super) status: String,
    source: String,
    created_at: Option<String>,
    created_by: Option<String>,
    parent: Option<String>,
    pub(super) expires_at: Option<String>,
    revoked_at: Option<String>,
    revoked_by: Option<String>,
    revoked_because: Option<String>,
    pub(super) last_used_at: Option<String>,
    secrets: Vec<Secret>,
}

#[derive(Debug, Deserialize)]
struct Secret {
    fingerprint: String,
    created_at: Option<String>,
    ends_at: Option<String>,
    last_used_at: Option<String>,
}

/// Prints the record in a response, or its body as JSON.
pub(super) fn print_record(answer: &Answer, json: bool) -> anyhow::Result<()> {
    if json { print(answer.text()?) } else { answer.read::<Record>()?.print() }
}

impl Record {
    /// Returns when the key was last used, for people.
    pub(super) fn last_use(&self) -> &str {
        self.last_used_at.as_deref().unwrap_or("never")
    }

    fn print(self) -> anyhow::Result<()> {
        let limit = match &self.rate_limit {
            None => "as its APIs have it".to_owned(),
            Some(limits) if limits.is_empty() => "none".to_owned(),
            Some(limits) => limits.join(", "),
        };
        let source = if self.source == "file" { "gateway.toml".to_owned() } else { self.source };
        let last_used = self.last_used_at.unwrap_or_else(|| "never".to_owned());
        let scopes = if self.scopes.is_empty() { "[]".to_owned() } else { self.scopes.join(", ") };
        let mut members = vec![
            ("id", self.id),
            ("name", self.name),
            ("status", self.status),
            ("organization", self.organization.unwrap_or_default()),
            ("environment", self.environment.unwrap_or_default()),
            ("APIs", self.apis.join(", ")),
            ("begins with", self.prefix),
            ("scopes", scopes),
            ("addresses", self.allow_ips.join(", ")),
            ("referrers", self.allow_referrers.join(", ")),
            ("endpoints", self.allow_endpoints.join(", ")),
            ("rate limit", limit),
            ("kept in", source),
            ("created", join(self.created_at, self.created_by)),
            ("made by key", self.parent.unwrap_or_default()),
            ("expires", self.expires_at.unwrap_or_else(|| "never".to_owned())),
            ("revoked", join(self.revoked_at, self.revoked_by)),
            ("because", self.revoked_because.unwrap_or_default()),
            ("last used", last_used),
        ];
        if self.secrets.len() > 1 {
            members.extend(self.secrets.into_iter().map(|secret| ("secret", secret.line())));
        }
        table::print_record(&members)
    }
}

impl Secret {
    fn line(self) -> String {
        let mut line = format!("{}…", self.fingerprint);
        if let Some(at) = self.created_at {
            line.push_str(&format!(", made {at}"));
        }
        match self.last_used_at {
            Some(at) => line.push_str(&format!(", last used {at}")),
            None => line.push_str(", never used"),
        }
        if let Some(at) = self.ends_at {
            line.push_str(&format!(", ends {at}"));
        }
        line
    }
}

/// Formats `2026-11-22T03:00:00Z by token ops`, as far as both are known.
fn join(at: Option<String>, by: Option<String>) -> String {
    [at.unwrap_or_default(), by.map(|by| format!("by {by}")).unwrap_or_default()]
        .join(" ")
        .trim()
        .to_owned()
}
