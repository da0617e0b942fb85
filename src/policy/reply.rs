//! The answers that Keygate gives itself, and the limit headers that it adds to all.

use super::Now;
use super::api::{ApiDefinition, CredentialPlace, ErrorStyle, ResetStyle};
use super::authorise::Refused;
use super::forwarding::X_REQUEST_ID;
use super::quota::{Allowance, Limit};
use super::refusal::Refusal;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const NANOSECONDS: u64 = 1_000_000_000;

/// The one 401 of an API that does not tell reasons apart.
const INDISTINCT: &str = "Invalid or missing API key";

/// The `WWW-Authenticate` values of an API (RFC 9110 §11.6.1, RFC 6750 §3), made once.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    plain: Vec<HeaderValue>,
    invalid_token: Vec<HeaderValue>,
    invalid_request: Vec<HeaderValue>,
    /// By index of the scope.
    insufficient_scope: Vec<Vec<HeaderValue>>,
}

impl Challenges {
    pub(super) fn new(api: &ApiDefinition) -> Self {
        let has = |bearer| api.credentials.iter().any(|place| matches!(place, CredentialPlace::Bearer) == bearer);
        let schemes: Vec<&str> =
            [(has(true), "Bearer"), (has(false), "ApiKey")].into_iter().filter_map(|(used, scheme)| used.then_some(scheme)).collect();
        let with = |error: &str| {
            let value = |scheme: &&str| HeaderValue::from_str(&format!("{scheme} realm=\"{}\"{error}", api.name)).ok();
            schemes.iter().filter_map(value).collect::<Vec<_>>()
        };
        Self {
            plain: with(""),
            invalid_token: with(", error=\"invalid_token\""),
            invalid_request: with(", error=\"invalid_request\""),
            insufficient_scope: api
                .scopes
                .iter()
                .map(|scope| &scope.name)
                .chain(api.key_api.iter().filter_map(|key_api| key_api.scope.as_ref()))
                .map(|scope| with(&format!(", error=\"insufficient_scope\", scope=\"{scope}\"")))
                .collect(),
        }
    }

    fn of(&self, refusal: Refusal, distinguish: bool) -> &[HeaderValue] {
        match refusal {
            _ if refusal.is_missing_credential() || (!distinguish && refusal.is_about_credential()) => &self.plain,
            _ if refusal.is_invalid_token() => &self.invalid_token,
            Refusal::AmbiguousCredential => &self.invalid_request,
            Refusal::InsufficientScope(scope) => self.insufficient_scope.get(scope).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }
}

/// Whether the request is a gRPC call, which reads its errors from `grpc-status`.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let rest = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The answer to a refused request. `request_id` is the one that logs show.
#[must_use]
pub fn refuse(refused: &Refused<'_>, request_id: &HeaderValue, grpc: bool, now: Now) -> Response<Bytes> {
    let refusal = refused.refusal;
    let api = refused.api.map(|(_, api)| api);
    let distinguish = api.is_none_or(|api| api.definition.errors_distinguish);
    let indistinct = !distinguish && refusal.is_about_credential();
    let status = refusal.status(distinguish);

    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_REQUEST_ID, request_id.clone());
    for challenge in api.map_or(&[][..], |api| api.challenges.of(refusal, distinguish)) {
        headers.append(WWW_AUTHENTICATE, challenge.clone());
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    if let Refusal::RateLimited(wait) = refusal {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait).max(1)));
    }
    if let (Some(api), Some(allowance), Some((grant, _))) = (api, refused.allowance, refused.grant) {
        limit_headers(headers, &api.definition, allowance, &grant.limits, now);
    }
    let detail = if indistinct { INDISTINCT } else { refusal.detail() };
    if grpc {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.extend(grpc_trailers(refusal, distinguish));
        return response;
    }
    let style = api.map_or(ErrorStyle::Problem, |api| api.definition.errors);
    let content_type = if style == ErrorStyle::Problem { "application/problem+json" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    *response.status_mut() = status;
    *response.body_mut() = match style {
        ErrorStyle::Detail => format!("{{\"detail\":\"{detail}\"}}").into(),
        ErrorStyle::Envelope => format!("{{\"success\":false,\"message\":\"{detail}\"}}").into(),
        ErrorStyle::Problem => problem(refused, status, detail, indistinct, request_id).into(),
    };
    response
}

/// What ends a gRPC call with this refusal. `distinguish`: whether the API tells reasons apart.
#[must_use]
pub fn grpc_trailers(refusal: Refusal, distinguish: bool) -> HeaderMap {
    let indistinct = !distinguish && refusal.is_about_credential();
    let (code, message) =
        if indistinct { (Refusal::MissingKey.grpc_status(), INDISTINCT) } else { (refusal.grpc_status(), refusal.detail()) };
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static(code));
    trailers.insert(GRPC_MESSAGE, HeaderValue::from_static(message));
    trailers
}

/// RFC 9457. All texts in it are Keygate's or were checked when the configuration was read, so none needs
/// escaping; a request id has no character that would.
fn problem(refused: &Refused<'_>, status: StatusCode, detail: &str, indistinct: bool, request_id: &HeaderValue) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    let code = if indistinct { "invalid_or_missing_key" } else { refused.refusal.code() };
    let request_id = request_id.to_str().unwrap_or("");
    let mut body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{},\"detail\":\"{detail}\",\"code\":\"{code}\",\"request_id\":\"{request_id}\"",
        status.as_u16()
    );
    if let (Refusal::InsufficientScope(scope), Some((_, api))) = (refused.refusal, refused.api)
        && let Some(scope) = api.scope_name(scope)
    {
        body.push_str(",\"required_scope\":\"");
        body.push_str(scope);
        body.push('"');
    }
    body.push('}');
    body
}

/// Sets `X-RateLimit-*`, and on request the `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers.
pub fn limit_headers(headers: &mut HeaderMap, api: &ApiDefinition, allowance: Allowance, limits: &[Limit], now: Now) {
    let wait = seconds(allowance.reset);
    let reset = match api.rate_limit_reset {
        ResetStyle::Seconds => wait,
        ResetStyle::Epoch => wait.saturating_add_signed(now.unix),
    };
    headers.insert(X_RATELIMIT_LIMIT, HeaderValue::from(allowance.limit.count));
    headers.insert(X_RATELIMIT_REMAINING, HeaderValue::from(allowance.remaining));
    headers.insert(X_RATELIMIT_RESET, HeaderValue::from(reset));
    if api.rate_limit_draft {
        let policies: Vec<String> =
            limits.iter().map(|limit| format!("\"{limit}\";q={};w={}", limit.count, limit.window / NANOSECONDS)).collect();
        let state = format!("\"{}\";r={};t={wait}", allowance.limit, allowance.remaining);
        for (name, value) in [(RATELIMIT_POLICY, policies.join(", ")), (RATELIMIT, state)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

/// Whole seconds, rounded up, so that whoever waits them out is never early.
fn seconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(NANOSECONDS)
}
