//! Keygate's own responses, and the limit headers that it adds to all responses.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Now;
use super::authorise::Refused;
use super::definition::{ApiDefinition, ErrorStyle, ResetStyle};
use super::fields::{Fields, HeaderKind, Sink};
use super::quota::{Allowance, Limit};
use super::refusal::Refusal;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const NANOSECONDS: u64 = 1_000_000_000;

/// The `Retry-After` of an overloaded gateway, in seconds.
const SHED: u64 = 5;

/// The only 401 message of an API that does not disclose reasons.
const INDISTINCT: &str = "Invalid or missing API key";

/// Returns whether the request is a gRPC call, whose errors are in `grpc-status`.
#[must_use]
pub fn is_grpc(fields: &Fields<'_>) -> bool {
    let rest = fields
        .first(HeaderKind::ContentType)
        .and_then(|value| value.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Returns the status and the body of the response to a refused request. Writes its header fields
/// to `sink`, except those that frame the body. `request_id`: the id in the logs. `grpc`: whether
/// the request is a gRPC call.
pub fn refuse(
    refused: &Refused<'_>,
    request_id: &str,
    grpc: bool,
    now: Now,
    sink: &mut impl Sink,
) -> (StatusCode, Bytes) {
    let refusal = refused.refusal;
    let api = refused.api.map(|(_, api)| api);
    let distinguish = api.is_none_or(|api| api.definition.errors_distinguish);
    let indistinct = !distinguish && refusal.is_about_credential();
    let status = refusal.status(distinguish);

    sink.put("x-request-id", request_id.as_bytes());
    sink.put_lines(api.map_or(&[][..], |api| api.challenges.of(refusal, distinguish)));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        sink.put_lines(b"allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
    }
    match refusal {
        Refusal::RateLimited(wait) => put_number(sink, "retry-after", seconds(wait).max(1)),
        Refusal::Overloaded => put_number(sink, "retry-after", SHED),
        _ => {}
    }
    if let (Some(api), Some(allowance), Some((grant, _))) = (api, refused.allowance, refused.grant)
    {
        limit_headers(sink, &api.definition, allowance, &grant.limits, now);
    }
    if grpc {
        sink.put_lines(b"cache-control: no-store\r\ncontent-type: application/grpc\r\n");
        let (code, message) = grpc_status(refusal, distinguish);
        sink.put("grpc-status", code.as_bytes());
        sink.put("grpc-message", message.as_bytes());
        return (StatusCode::OK, Bytes::new());
    }
    let style = api.map_or(ErrorStyle::Problem, |api| api.definition.errors);
    sink.put_lines(match style {
        ErrorStyle::Problem => {
            b"cache-control: no-store\r\ncontent-type: application/problem+json\r\n"
        }
        ErrorStyle::Detail | ErrorStyle::Envelope => {
            b"cache-control: no-store\r\ncontent-type: application/json\r\n"
        }
    });
    let detail = if indistinct { INDISTINCT } else { refusal.detail() };
    let body = match style {
        ErrorStyle::Detail => ["{\"detail\":\"", detail, "\"}"].concat(),
        ErrorStyle::Envelope => ["{\"success\":false,\"message\":\"", detail, "\"}"].concat(),
        ErrorStyle::Problem => problem(refused, status, detail, indistinct, request_id),
    };
    (status, body.into())
}

/// Returns the gRPC status and message of a refused call. `distinguish`: whether the API discloses
/// the reason.
fn grpc_status(refusal: Refusal, distinguish: bool) -> (&'static str, &'static str) {
    let indistinct = !distinguish && refusal.is_about_credential();
    if indistinct {
        (Refusal::MissingKey.grpc_status(), INDISTINCT)
    } else {
        (refusal.grpc_status(), refusal.detail())
    }
}

/// Returns the trailers that end a gRPC call with this refusal. `distinguish`: whether the API
/// discloses the reason.
#[must_use]
pub fn grpc_trailers(refusal: Refusal, distinguish: bool) -> HeaderMap {
    let (code, message) = grpc_status(refusal, distinguish);
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static(code));
    trailers.insert(GRPC_MESSAGE, HeaderValue::from_static(message));
    trailers
}

/// Returns a problem document (RFC 9457). Nothing needs escaping: all texts are Keygate's own or
/// were checked when the configuration was read, and a request id contains no character that would.
fn problem(
    refused: &Refused<'_>,
    status: StatusCode,
    detail: &str,
    indistinct: bool,
    request_id: &str,
) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    let code = if indistinct { "invalid_or_missing_key" } else { refused.refusal.code() };
    let mut body = String::with_capacity(320);
    let start = [
        "{\"type\":\"about:blank\",\"title\":\"",
        title,
        "\",\"status\":",
        status.as_str(),
        ",\"detail\":\"",
        detail,
    ];
    let rest = ["\",\"code\":\"", code, "\",\"request_id\":\"", request_id, "\""];
    body.extend(start.into_iter().chain(rest));
    if let (Refusal::InsufficientScope(scope), Some((_, api))) = (refused.refusal, refused.api)
        && let Some(scope) = api.scope_name(scope)
    {
        body.extend([",\"required_scope\":\"", scope, "\""]);
    }
    body.push('}');
    body
}

/// Writes the `X-RateLimit-*` fields and, if the API wants them, the `RateLimit` fields of
/// draft-ietf-httpapi-ratelimit-headers.
pub fn limit_headers(
    sink: &mut impl Sink,
    api: &ApiDefinition,
    allowance: Allowance,
    limits: &[Limit],
    now: Now,
) {
    let wait = seconds(allowance.reset);
    let reset = match api.rate_limit_reset {
        ResetStyle::Seconds => wait,
        ResetStyle::Epoch => wait.saturating_add_signed(now.unix),
    };
    put_number(sink, "x-ratelimit-limit", allowance.limit.count.into());
    put_number(sink, "x-ratelimit-remaining", allowance.remaining.into());
    put_number(sink, "x-ratelimit-reset", reset);
    if api.rate_limit_draft {
        let policies: Vec<String> = limits
            .iter()
            .map(|limit| format!("\"{limit}\";q={};w={}", limit.count, limit.window / NANOSECONDS))
            .collect();
        sink.put("ratelimit-policy", policies.join(", ").as_bytes());
        let state = format!("\"{}\";r={};t={wait}", allowance.limit, allowance.remaining);
        sink.put("ratelimit", state.as_bytes());
    }
}

fn put_number(sink: &mut impl Sink, name: &str, number: u64) {
    sink.put(name, itoa::Buffer::new().format(number).as_bytes());
}

/// Returns whole seconds, rounded up, so that a client that waits is never too early.
fn seconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(NANOSECONDS)
}
