//! `keygate explain`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::admin::{Admin, Login};
use super::defaults::DEFAULT_CONFIG;
use super::error::{Refused, with_hint};
use super::output::{plain, print};

/// Show why a request is allowed or refused: every check in order, and where its rule is defined
///
/// The running gateway evaluates the request like a real one, but forwards and counts nothing.
/// Exits with 0 if the request is allowed, and with 1 if it is refused.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The id of the key, never the key itself [default: a request without a key]
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Such as GET
    #[arg(required_unless_present = "request_id")]
    method: Option<String>,
    /// Such as /api/v1/tickets
    #[arg(required_unless_present = "request_id")]
    path: Option<String>,
    /// The requested host, as a client names it
    #[arg(long)]
    host: Option<String>,
    /// The address that the request comes from
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// The request's Referer
    #[arg(long, value_name = "URL")]
    referrer: Option<String>,
    /// Instead: a request that was refused within the last hour, by the id that the caller got
    #[arg(
        long,
        value_name = "ID",
        conflicts_with_all = ["key", "method", "path", "host", "ip", "referrer", "config"]
    )]
    request_id: Option<String>,
    /// Evaluate with this file, such as an edit not yet saved, instead of the running configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the gateway's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    login: Login,
}

/// The response of `POST /v1/explain`.
#[derive(Debug, Deserialize)]
struct Explanation {
    allowed: bool,
    /// The code of the refusal, or `None` if the request is allowed.
    refusal: Option<String>,
    /// The HTTP status of the refusal.
    status: Option<u16>,
    checks: Vec<Check>,
    /// Limits of this explanation.
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Check {
    check: String,
    verdict: Verdict,
    detail: String,
    source: Option<String>,
    line: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Passed,
    Refused,
    NotReached,
    NotApplicable,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let file = arguments.config.as_deref();
    let edit = file
        .map(|file| {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
        })
        .transpose()?;
    let admin = Admin::find_in(file.unwrap_or(Path::new(DEFAULT_CONFIG)), &arguments.login)?;
    let question = match &arguments.request_id {
        Some(id) => json!({ "request_id": id }),
        None => json!({
            "key": arguments.key,
            "method": arguments.method,
            "path": arguments.path,
            "host": arguments.host,
            "address": arguments.ip,
            "referrer": arguments.referrer,
            "config": edit,
        }),
    };
    let answer = admin.call(Method::POST, "/v1/explain", Some(&question), None)?;
    if answer.status == StatusCode::NOT_FOUND && arguments.request_id.is_some() {
        let what =
            "no request with this id was refused in the last hour, as far as the gateway remembers";
        return Err(with_hint(what, "its access log has the ids of all requests"));
    }
    let answer = answer.accepted()?;
    let explanation: Explanation = answer.read()?;
    if arguments.json {
        print(answer.text()?)?;
    } else {
        print(show(&explanation))?;
    }
    if explanation.allowed { Ok(()) } else { Err(Refused.into()) }
}

fn show(explanation: &Explanation) -> String {
    let width =
        explanation.checks.iter().map(|check| check.check.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for check in &explanation.checks {
        let mark = match check.verdict {
            Verdict::Passed => '✓',
            Verdict::Refused => '✗',
            Verdict::NotReached | Verdict::NotApplicable => '–',
        };
        let place = match (&check.source, check.line) {
            (Some(source), Some(line)) => format!("  ({source}:{line})"),
            (Some(source), None) => format!("  ({source})"),
            (None, _) => String::new(),
        };
        let detail = if check.detail.is_empty() && matches!(check.verdict, Verdict::NotReached) {
            "not reached"
        } else {
            &check.detail
        };
        let line = plain(&format!("{mark} {:width$}  {detail}{place}", check.check));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for note in &explanation.notes {
        text.push_str(&format!("note: {}\n", plain(note)));
    }
    if explanation.allowed {
        text.push_str("allowed");
    } else {
        let status = explanation.status.map(|status| status.to_string());
        let why: Vec<&str> =
            status.as_deref().into_iter().chain(explanation.refusal.as_deref()).collect();
        text.push_str(&plain(&format!("refused with {}", why.join(" "))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_shown_with_its_verdict_and_its_place() {
        let check =
            |name: &str, verdict: &str, detail: &str, line: Option<u32>, source: Option<&str>| {
                json!({
                    "check": name, "verdict": verdict, "detail": detail,
                    "line": line, "source": source,
                })
            };
        let explanation: Explanation = serde_json::from_value(json!({
            "allowed": false, "refusal": "insufficient_scope", "status": 403,
            "checks": [
                check("host", "passed", "desk takes any host", Some(7), Some("gateway.toml")),
                check("key", "passed", "key_crm", None, Some("store")),
                check("referrer", "not_applicable", "the key has none", None, None),
                check("scope", "refused", "needs tickets:write", Some(12), Some("gateway.toml")),
                check("limit", "not_reached", "", None, None),
            ],
            "notes": ["the file has changed"],
        }))
        .expect("the contract");
        let lines = [
            "✓ host      desk takes any host  (gateway.toml:7)",
            "✓ key       key_crm  (store)",
            "– referrer  the key has none",
            "✗ scope     needs tickets:write  (gateway.toml:12)",
            "– limit     not reached",
            "note: the file has changed",
            "refused with 403 insufficient_scope",
        ];
        assert_eq!(show(&explanation), lines.join("\n"));
    }
}
