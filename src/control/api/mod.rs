//! The admin API: HTTP and JSON around the key office, described by OpenAPI.
//!
//! A call passes these in their order: there is an admin token at all; `Host` and `Origin` are no
//! foreign web page's; the path and the method are known; the token is known and may do this; path,
//! query and header fields can be read; the body can be read. Then the office is asked.

mod document;
mod gateway;
mod keys;
mod organizations;
mod problem;
mod reload;
mod request;
mod running;

pub(super) use reload::{ReloadReport, ReloadRequest};
pub(super) use request::Encrypted;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use problem::{Answer, Problem};
use utoipa_axum::router::OpenApiRouter;

use super::access;
use super::admin::State as Here;
use super::office::log_change;

/// Everything that the admin address answers.
pub(super) fn router(state: Arc<Here>) -> Router {
    let (open, _) = gateway::open_routes().split_for_parts();
    let (guarded, _) = guarded_routes().split_for_parts();
    let guarded = guarded
        .method_not_allowed_fallback(method_not_allowed)
        .route_layer(from_fn_with_state(state.clone(), guard));
    open.method_not_allowed_fallback(method_not_allowed)
        .merge(guarded)
        .fallback(not_found)
        .with_state(state)
}

/// What exists only where there is an admin token.
fn guarded_routes() -> OpenApiRouter<Arc<Here>> {
    keys::routes().merge(organizations::routes()).merge(gateway::routes())
}

/// Keeps foreign web pages out, and everybody where there is no token.
async fn guard(
    State(state): State<Arc<Here>>,
    Encrypted(encrypted): Encrypted,
    request: Request,
    next: Next,
) -> Answer<Response> {
    let settings = state.settings.load_full();
    let Some(admin) = settings.admin.as_ref().filter(|admin| !admin.tokens.is_empty()) else {
        let detail = "Without an admin token this does not exist. Add an [[admin.token]] with \
            name, sha256 and role = \"manage\" to gateway.toml.";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_admin_token", detail));
    };
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    access::check_origin(target, request.headers(), encrypted, admin)?;
    Ok(next.run(request).await)
}

async fn not_found() -> Problem {
    let detail = "Here are /metrics, /healthz, /readyz and, where there is an admin token, what \
        /openapi.json describes.";
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "The Allow header says which methods there are.",
    )
}

/// What holds for every answer, those of the router itself included.
pub(super) fn finish(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(allow) = headers.get(header::ALLOW).and_then(|allow| allow.to_str().ok())
        && let Ok(spaced) = allow.replace(',', ", ").parse()
    {
        headers.insert(header::ALLOW, spaced);
    }
    response
}

/// The strong entity tag of a revision (RFC 9110 §8.8.3).
fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// How many entries a page has.
fn limit(asked: Option<u16>) -> Answer<usize> {
    match asked {
        None => Ok(100),
        Some(limit @ 1..=1000) => Ok(limit.into()),
        Some(_) => Err(Problem::unreadable("invalid_query", "`limit` is from 1 to 1000.")),
    }
}
