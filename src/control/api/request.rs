//! Extractors: what handlers take from a request. Invalid requests are answered here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time::timeout;

use super::problem::{Answer, Problem};
use super::state::State;
use crate::config::{AdminToken, Role};
use crate::control::access::{self, Denied};
use crate::control::keys::Actor;

/// Timeout for a body to be received.
pub(in crate::control) const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Limit in bytes, and timeout, of a body that needs no token.
const SMALL_BODY: usize = 1024;
const SMALL_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// Limit of a body, in bytes.
const BODY: usize = 64 << 10;
/// Limit of a body that may hold a whole `gateway.toml`, in bytes.
const LARGE_BODY: usize = 64 << 20;
/// Limit of an `Idempotency-Key`, in bytes.
const IDEMPOTENCY_KEY: usize = 255;

/// The owner of the request's token. With `MANAGE`, the token must have the role `manage`. With
/// `ALL`, it must not be restricted to an organisation. It must be the first argument of a handler,
/// so that nobody learns anything about a request that they may not make.
#[derive(Debug)]
pub(super) struct Caller<const MANAGE: bool, const ALL: bool>(pub(super) Actor);

/// May read.
pub(super) type Reader = Caller<false, false>;
/// May make changes, possibly within one organisation only.
pub(super) type Manager = Caller<true, false>;
/// May read what concerns all organisations.
pub(super) type Observer = Caller<false, true>;
/// May change what concerns all organisations.
pub(super) type Operator = Caller<true, true>;

impl<const MANAGE: bool, const ALL: bool> FromRequestParts<Arc<State>> for Caller<MANAGE, ALL> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        let token = token(parts, state)?;
        match token.role {
            Role::Portal => return Err(Denied::PortalOnly.into()),
            Role::Read if MANAGE => return Err(Denied::ReadOnly.into()),
            Role::Read | Role::Manage => {}
        }
        if ALL && token.organization.is_some() {
            return Err(Denied::Organization.into());
        }
        Ok(Self(Actor::of_token(&token)))
    }
}

/// The token of a call that concerns portal sessions. With `CHANGE`, its role must be `manage` or
/// `portal`.
#[derive(Debug)]
pub(super) struct SessionToken<const CHANGE: bool>(pub(super) AdminToken);

impl<const CHANGE: bool> FromRequestParts<Arc<State>> for SessionToken<CHANGE> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        let token = token(parts, state)?;
        match token.role {
            Role::Read if CHANGE => Err(Denied::ReadOnly.into()),
            Role::Read | Role::Manage | Role::Portal => Ok(Self(token)),
        }
    }
}

/// Returns the listed token that a request presents.
fn token(parts: &Parts, state: &State) -> Result<AdminToken, Denied> {
    let settings = state.settings.load();
    let tokens = settings.admin.as_ref().map_or(&[][..], |admin| &admin.tokens);
    access::token(&parts.headers, tokens).cloned()
}

/// The parameters of the query. Unknown ones are refused.
#[derive(Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => {
                use std::error::Error;
                let why = rejection
                    .source()
                    .map_or_else(|| "it cannot be read".to_owned(), ToString::to_string);
                Err(Problem::unreadable(
                    "invalid_query",
                    format!("A parameter of the query does not fit: {why}."),
                ))
            }
        }
    }
}

/// Returns how many entries a page has at most: `asked`, or 100 by default.
///
/// # Errors
/// Returns a 400 if `asked` is not from 1 to 1000.
pub(super) fn limit(asked: Option<u16>) -> Answer<usize> {
    match asked {
        None => Ok(100),
        Some(limit @ 1..=1000) => Ok(limit.into()),
        Some(_) => Err(Problem::unreadable("invalid_query", "`limit` is from 1 to 1000.")),
    }
}

/// No parameters.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The variable segment of the path.
#[derive(Debug)]
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(_) => Err(Problem::unreadable(
                "invalid_path",
                "The path is not UTF-8 once it is percent-decoded.",
            )),
        }
    }
}

/// The body, as JSON.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        parse(&read(request, BODY, BODY_TIMEOUT).await?).map(Self)
    }
}

/// Like [`Json`], for a small body that needs no token. Its short timeout stops a stranger from
/// occupying a connection.
#[derive(Debug)]
pub(super) struct SmallJson<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for SmallJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        parse(&read(request, SMALL_BODY, SMALL_BODY_TIMEOUT).await?).map(Self)
    }
}

/// Like [`Json`], for a body that may hold a whole `gateway.toml`.
#[derive(Debug)]
pub(super) struct LargeJson<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for LargeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        parse(&read(request, LARGE_BODY, BODY_TIMEOUT).await?).map(Self)
    }
}

/// Like [`Json`], for a body that may be empty.
#[derive(Debug)]
pub(super) struct OptionalJson<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = require_json(request.headers());
        let bytes = read(request, BODY, BODY_TIMEOUT).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        is_json?;
        parse(&bytes).map(Self)
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = access::only(headers, header::CONTENT_TYPE).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "not_json",
        "Send JSON, with Content-Type: application/json.",
    ))
}

async fn read(request: Request, most: usize, time: Duration) -> Result<bytes::Bytes, Problem> {
    let body = Limited::new(request.into_body(), most).collect();
    match timeout(time, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("A body may have {} KiB here.", most >> 10),
        )),
        Ok(Err(_)) => Err(Problem::unreadable("broken_body", "The body ended before its end.")),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            format!("The body did not arrive within {} s.", time.as_secs()),
        )),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let malformed = |error: &serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        Problem::unreadable(
            "malformed_json",
            format!("The body is not JSON from line {line}, column {column} on."),
        )
    };
    // Serde would accept an array with the members in order.
    if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes)
            .map_err(|error| malformed(&error))?;
        return Err(Problem::invalid("", "expected an object"));
    }
    let mut input = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut input).map_err(|error| {
        let path = error.path().to_string();
        match error.inner().classify() {
            Category::Data => misfit(&path, &error.inner().to_string()),
            _ => malformed(error.inner()),
        }
    })?;
    input.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// Returns what is wrong with a member. Does not repeat its value, which may be a secret.
fn misfit(path: &str, message: &str) -> Problem {
    for fault in ["missing", "unknown", "duplicate"] {
        let name = message
            .strip_prefix(fault)
            .and_then(|rest| rest.strip_prefix(" field `")?.split('`').next());
        if let Some(name) = name {
            return Problem::invalid(name, &format!("{fault} member"));
        }
    }
    let expected =
        message.rsplit_once(", expected ").map_or("another value", |(_, expected)| expected);
    let expected = expected.rsplit_once(" at line ").map_or(expected, |(expected, _)| expected);
    Problem::invalid(path, &format!("expected {expected}"))
}

/// The revision in `If-Match` (RFC 9110 §13.1.1), or `None` for any. It must be a single entity
/// tag, not a list.
#[derive(Debug)]
pub(super) struct IfMatch(pub(super) Option<u64>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let fault = || {
            Problem::unreadable(
                "invalid_if_match",
                "If-Match is one ETag as it was given, such as \"3\" in its quotes, or *.",
            )
        };
        match single(&parts.headers, &header::IF_MATCH).map_err(|()| fault())? {
            None | Some("*") => Ok(Self(None)),
            Some(tag) => {
                let revision = tag
                    .strip_prefix('"')
                    .and_then(|tag| tag.strip_suffix('"'))
                    .ok_or_else(fault)?;
                let plain =
                    !revision.is_empty() && revision.bytes().all(|byte| byte.is_ascii_digit());
                // A number that does not fit into a `u64` is not the revision of anything.
                if plain {
                    Ok(Self(Some(revision.parse().unwrap_or(u64::MAX))))
                } else {
                    Err(fault())
                }
            }
        }
    }
}

/// The `Idempotency-Key`, or `None` if there is none.
#[derive(Debug)]
pub(super) struct IdempotencyKey(pub(super) Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let fault = || {
            Problem::unreadable(
                "invalid_idempotency_key",
                "An Idempotency-Key is 1 to 255 visible ASCII characters.",
            )
        };
        let key = single(&parts.headers, &HeaderName::from_static("idempotency-key"))
            .map_err(|()| fault())?;
        let fits = |key: &&str| {
            (1..=IDEMPOTENCY_KEY).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_graphic())
        };
        key.map(|key| Some(key).filter(fits).map(str::to_owned).ok_or_else(fault))
            .transpose()
            .map(Self)
    }
}

/// Returns the value of a field that may be absent but not repeated.
///
/// # Errors
/// Fails if the field is repeated or has other than visible ASCII characters.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    if headers.contains_key(name) {
        access::only(headers, name.clone()).map(Some).ok_or(())
    } else {
        Ok(None)
    }
}

/// How a request arrived. Every request carries it as an extension.
#[derive(Debug, Clone, Copy)]
pub(in crate::control) struct Arrival {
    /// Whether the connection is encrypted.
    pub(in crate::control) encrypted: bool,
    /// Whether the admin address is a loopback address.
    pub(in crate::control) loopback: bool,
}

impl<S: Sync> FromRequestParts<S> for Arrival {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let strictest = Self { encrypted: false, loopback: true };
        Ok(parts.extensions.get().copied().unwrap_or(strictest))
    }
}
