//! Finds the API key in a request.

use super::api::Api;
use super::definition::{CredentialPlace, PassThrough};
use super::digest::Digest;
use super::fields::{Fields, HeaderKind};
use super::refusal::Refusal;
use super::target::decode_escape;

/// Returns the digest of the key that the request presents, to explain a refusal later.
#[must_use]
pub fn digest_presented(api: &Api, fields: &Fields<'_>) -> Option<Digest> {
    find_key(api, fields).ok().flatten().map(Digest::of)
}

/// Returns the key that the request presents, trimmed, or `None` if it presents none.
///
/// # Errors
/// Returns [`Refusal::AmbiguousCredential`] if two credential locations hold a key, or if one of
/// the fields is repeated (RFC 6750 §3.1 `invalid_request`): another server could read the other
/// value. Returns [`Refusal::MalformedCredential`] if `Authorization` is ambiguously Bearer.
pub(super) fn find_key<'h>(api: &Api, fields: &Fields<'h>) -> Result<Option<&'h [u8]>, Refusal> {
    let mut found = None;
    for place in &api.definition.credentials {
        let key = match place {
            CredentialPlace::Bearer => match fields.first(HeaderKind::Authorization) {
                Some(value) => bearer_token(value).map_err(|_| Refusal::MalformedCredential)?,
                None => None,
            },
            CredentialPlace::Header(name) => only(fields.named(name.as_str()))?
                .map(<[u8]>::trim_ascii)
                .filter(|key| !key.is_empty()),
        };
        if key.is_some() && found.is_some() {
            return Err(Refusal::AmbiguousCredential);
        }
        found = found.or(key);
    }
    Ok(found)
}

/// Returns the only value of a field, or `None` if the field is absent.
fn only<'h>(mut values: impl Iterator<Item = &'h [u8]>) -> Result<Option<&'h [u8]>, Refusal> {
    let value = values.next();
    if values.next().is_some() { Err(Refusal::AmbiguousCredential) } else { Ok(value) }
}

/// An `Authorization` field that some servers take for Bearer and others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedCredential;

/// Returns the token of `Bearer TOKEN`. The scheme is case-insensitive (RFC 9110 §11.1), and one or
/// more spaces follow it (§11.4). Returns `None` for another scheme or without a token.
///
/// # Errors
/// Returns [`MalformedCredential`] if a tab precedes the token, because some servers skip it.
pub fn bearer_token(value: &[u8]) -> Result<Option<&[u8]>, MalformedCredential> {
    let Some((scheme, rest)) = value.trim_ascii().split_at_checked(6) else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    match rest.get(spaces) {
        Some(b'\t') => Err(MalformedCredential),
        Some(_) if spaces > 0 => Ok(Some(&rest[spaces..])),
        _ => Ok(None),
    }
}

/// Returns whether a header field with a pass-through credential is repeated. The upstream might
/// check one and act on another.
pub(super) fn repeats_pass_through(api: &Api, fields: &Fields<'_>) -> bool {
    api.definition.pass_through.iter().any(|place| match place {
        PassThrough::Header(name) => fields.named(name.as_str()).nth(1).is_some(),
        // Several `Cookie` fields are forwarded as one.
        PassThrough::Cookie(_) => false,
    })
}

/// Returns whether the request presents a credential that the upstream checks itself.
pub(super) fn has_pass_through(api: &Api, fields: &Fields<'_>) -> bool {
    api.definition.pass_through.iter().any(|place| match place {
        PassThrough::Header(name) => {
            fields.named(name.as_str()).any(|value| !value.trim_ascii().is_empty())
        }
        PassThrough::Cookie(name) => {
            let mut pairs = fields.all(HeaderKind::Cookie).flat_map(cookie_pairs);
            pairs.any(|pair| is_cookie(pair, name) && pair.len() > name.len() + 1)
        }
    })
}

/// Returns the `name=value` pairs of a `Cookie` field (RFC 6265 §4.2.1), trimmed.
pub(super) fn cookie_pairs(cookies: &[u8]) -> impl Iterator<Item = &[u8]> {
    cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

pub(super) fn is_cookie(pair: &[u8], name: &str) -> bool {
    pair.strip_prefix(name.as_bytes())
        .is_some_and(|rest| rest.trim_ascii_start().first() == Some(&b'='))
}

/// Query parameters that denote an API key in any API (RFC 6750 §2.3 defines the first).
const KEY_PARAMETERS: [&str; 5] = ["access_token", "api_key", "apikey", "api-key", "x-api-key"];

/// Returns whether the query appears to contain a key of this API: a name or value with one of its
/// prefixes, or, if its keys have no prefix, a parameter that is named like a key.
///
/// Query strings end up in logs and browser histories. Such a request is therefore refused, and the
/// key is never forwarded.
#[must_use]
pub fn query_holds_key(api: &Api, query: &str) -> bool {
    let environments = &api.definition.environments;
    query.split(['&', ';']).any(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if environments.is_empty() {
            let by_name = |known: &str| {
                decoded(name.as_bytes()).map(|byte| byte.to_ascii_lowercase()).eq(known.bytes())
            };
            let own = api.definition.credentials.iter().filter_map(|place| match place {
                CredentialPlace::Header(header) => Some(header.as_str()),
                CredentialPlace::Bearer => None,
            });
            !value.is_empty() && KEY_PARAMETERS.into_iter().chain(own).any(by_name)
        } else {
            let begins_with_key = |component: &str| {
                let text = decoded(component.as_bytes()).skip_while(u8::is_ascii_whitespace);
                // The complete header value may have been pasted, scheme included.
                let scheme = text.clone().take(6).map(|byte| byte.to_ascii_lowercase());
                let skipped = if scheme.eq(*b"bearer") { 6 } else { 0 };
                let key = text.skip(skipped).skip_while(u8::is_ascii_whitespace);
                environments.iter().any(|environment| {
                    let mut rest = key.clone();
                    environment.prefix.bytes().all(|byte| rest.next() == Some(byte))
                        && rest.next().is_some()
                })
            };
            begins_with_key(name) || begins_with_key(value)
        }
    })
}

/// Decodes the percent-encoding of a query component.
fn decoded(component: &[u8]) -> impl Iterator<Item = u8> + Clone {
    let mut rest = component;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let (byte, taken) = match first {
            b'%' => decode_escape(rest).map_or((first, 1), |byte| (byte, 3)),
            b'+' => (b' ', 1),
            _ => (first, 1),
        };
        rest = &rest[taken..];
        Some(byte)
    })
}

/// Returns whether a text that a caller chose (a path, a request id) appears to contain a key of
/// one of the APIs, so that it must not be logged unchanged.
#[must_use]
pub fn contains_key(apis: &[Api], text: &str) -> bool {
    let holds_key = |text: &[u8]| {
        let prefixes = apis
            .iter()
            .flat_map(|api| &api.definition.environments)
            .map(|environment| environment.prefix.as_bytes());
        // Texts are short: preparing a substring search would cost more than the search itself.
        let holds = |prefix: &[u8]| {
            prefix.first().is_some_and(|first| {
                memchr::memchr_iter(*first, text).any(|at| text[at..].starts_with(prefix))
            })
        };
        prefixes.into_iter().any(holds)
    };
    if holds_key(text.as_bytes()) {
        return true;
    }
    if !text.contains('%') {
        return false;
    }
    // A reader of the log could undo a percent-encoding, too, and one within it.
    let mut rest = text.as_bytes().to_vec();
    loop {
        let inner: Vec<u8> = decoded(&rest).collect();
        if holds_key(&inner) {
            return true;
        }
        if inner.len() == rest.len() {
            return false;
        }
        rest = inner;
    }
}
