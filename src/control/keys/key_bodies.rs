//! Request and response bodies of the APIs' own key endpoints. They have exactly the documented
//! members, in the documented order.

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;

use super::error::{Result, ServiceError};
use super::model::KeyView;
use super::validate::Validation;
use crate::policy::{ApiDefinition, ErrorStyle, KeyApiStyle};

/// The body of a request to create a key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRequest {
    pub(super) name: String,
    /// Absent: the expiry of the creating key. `null`: never.
    #[serde(default, deserialize_with = "present")]
    pub(super) expires_at: Option<Option<String>>,
    /// Absent: the scopes of the creating key.
    #[serde(default)]
    pub(super) scopes: Option<Vec<String>>,
}

/// Distinguishes `null` from an absent member.
fn present<'d, D: Deserializer<'d>>(input: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(input).map(Some)
}

/// A key in the bare style.
#[derive(Debug, Serialize)]
struct BareKey<'a> {
    id: &'a str,
    name: &'a str,
    key_prefix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    scopes: &'a [String],
    created_at: Option<&'a str>,
    expires_at: Option<&'a str>,
    last_used_at: Option<&'a str>,
}

/// A key in the envelope style.
#[derive(Debug, Serialize)]
struct EnvelopedKey<'a> {
    id: &'a str,
    name: &'a str,
    prefix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    created_at: Option<&'a str>,
    last_used: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Envelope<T> {
    success: bool,
    data: T,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    success: bool,
    message: &'a str,
}

#[derive(Debug, Serialize)]
struct Detail<'a> {
    detail: &'a str,
}

/// A problem (RFC 9457).
#[derive(Debug, Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
}

/// Parses the body of a request to create a key.
///
/// # Errors
/// Returns [`ServiceError::Invalid`] if it is malformed or the name is invalid.
pub(super) fn read(body: &[u8]) -> Result<KeyRequest> {
    // Serde would accept an array with the members in order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(ServiceError::invalid("body", "it is not as it should be: expected an object"));
    }
    // The parser's message would quote values, and one of them may be a key.
    let request: KeyRequest = serde_json::from_slice(body).map_err(|why| {
        let what = match why.classify() {
            Category::Syntax | Category::Eof | Category::Io => "it is no JSON",
            Category::Data => "a member has a wrong type, is unknown, or is missing",
        };
        let message = format!("it is not as it should be: {what} (column {})", why.column());
        ServiceError::invalid("body", message)
    })?;
    let mut checks = Validation::default();
    checks.name(&request.name);
    checks.finish()?;
    Ok(request)
}

/// Returns the response body for a list of keys.
pub(super) fn list(style: KeyApiStyle, keys: &[KeyView]) -> Bytes {
    match style {
        KeyApiStyle::Bare => json(&keys.iter().map(|view| bare(view, None)).collect::<Vec<_>>()),
        KeyApiStyle::Envelope => json(&Envelope {
            success: true,
            data: keys.iter().map(|view| enveloped(view, None)).collect::<Vec<_>>(),
        }),
    }
}

/// Returns the response body for a new key, with its text.
pub(super) fn created(style: KeyApiStyle, view: &KeyView, key: &str) -> Bytes {
    match style {
        KeyApiStyle::Bare => json(&bare(view, Some(key))),
        KeyApiStyle::Envelope => {
            json(&Envelope { success: true, data: enveloped(view, Some(key)) })
        }
    }
}

/// Returns the response body after a revocation, or `None` in the bare style, which has none.
pub(super) fn revoked(style: KeyApiStyle) -> Option<Bytes> {
    (style == KeyApiStyle::Envelope)
        .then(|| json(&Message { success: true, message: "API key revoked successfully" }))
}

/// Returns an error body in the API's own style, and its media type.
pub(super) fn error(
    api: &ApiDefinition,
    status: StatusCode,
    code: &str,
    detail: &str,
    request_id: &str,
) -> (Bytes, &'static str) {
    match api.errors {
        ErrorStyle::Detail => (json(&Detail { detail }), "application/json"),
        ErrorStyle::Envelope => {
            (json(&Message { success: false, message: detail }), "application/json")
        }
        ErrorStyle::Problem => {
            let title = status.canonical_reason().unwrap_or("Error");
            let problem = Problem {
                kind: "about:blank",
                title,
                status: status.as_u16(),
                detail,
                code,
                request_id,
            };
            (json(&problem), "application/problem+json")
        }
    }
}

fn bare<'a>(view: &'a KeyView, key: Option<&'a str>) -> BareKey<'a> {
    BareKey {
        id: &view.id,
        name: &view.name,
        key_prefix: &view.prefix,
        key,
        scopes: &view.scopes,
        created_at: view.created_at.as_deref(),
        expires_at: view.expires_at.as_deref(),
        last_used_at: view.last_used_at.as_deref(),
    }
}

fn enveloped<'a>(view: &'a KeyView, key: Option<&'a str>) -> EnvelopedKey<'a> {
    EnvelopedKey {
        id: &view.id,
        name: &view.name,
        prefix: &view.prefix,
        key,
        created_at: view.created_at.as_deref(),
        last_used: view.last_used_at.as_deref(),
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // Strings, numbers and lists of these can always be serialised.
    serde_json::to_vec(value).unwrap_or_default().into()
}
