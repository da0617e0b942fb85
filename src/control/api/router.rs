//! The routes, and what applies to all of them.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{self, Request};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Answer, Problem};
use super::request::Arrival;
use super::state::State;
use super::{document, gateway, keys, organizations, proof, sessions, uses};
use crate::control::access;

/// Returns the router for everything that the admin address serves.
pub(in crate::control) fn router(state: Arc<State>) -> Router {
    let (open, _) = gateway::open_routes().split_for_parts();
    let (guarded, _) = guarded_routes().split_for_parts();
    let guarded = guarded
        .method_not_allowed_fallback(method_not_allowed)
        .route_layer(from_fn_with_state(state.clone(), guard));
    let open = open
        .method_not_allowed_fallback(method_not_allowed)
        .route_layer(from_fn_with_state(state.clone(), guard_open));
    open.merge(guarded).fallback(not_found).with_state(state)
}

/// Returns the routes that exist only if there is an admin token.
fn guarded_routes() -> OpenApiRouter<Arc<State>> {
    keys::routes()
        .merge(uses::routes())
        .merge(organizations::routes())
        .merge(sessions::routes())
        .merge(gateway::routes())
        .merge(proof::routes())
        .routes(routes!(openapi))
}

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let (_, mut routes) = gateway::open_routes().split_for_parts();
    routes.merge(guarded_routes().split_for_parts().1);
    document::text(routes)
});

/// Protects the [open routes](gateway::open_routes) from foreign web pages.
async fn guard_open(
    extract::State(state): extract::State<Arc<State>>,
    arrival: Arrival,
    request: Request,
    next: Next,
) -> Answer<Response> {
    if arrival.loopback {
        let settings = state.settings.load();
        let hosts = settings.admin.as_ref().map_or(&[][..], |admin| &admin.hosts);
        access::check_open(request.headers(), hosts)?;
    }
    Ok(next.run(request).await)
}

/// Protects all other routes from foreign web pages. Returns a 404 if there is no admin token.
async fn guard(
    extract::State(state): extract::State<Arc<State>>,
    arrival: Arrival,
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
    access::check_origin(target, request.headers(), arrival.encrypted, admin)?;
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

/// Completes the header fields of every response, including those of the router itself.
pub(in crate::control) fn finish(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(allow) = headers.get(header::ALLOW).and_then(|allow| allow.to_str().ok())
        && let Ok(spaced) = allow.replace(',', ", ").parse()
    {
        headers.insert(header::ALLOW, spaced);
    }
    response
}

/// Describes this API by OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "gateway",
    security(()),
    responses((
        status = OK,
        description = "This document.",
        body = Object,
        content_type = "application/json"
    ))
)]
async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], &**DOCUMENT)
}

#[cfg(test)]
mod tests {
    /// The document is also kept for people, beside the code. `UPDATE_GOLDEN=1` writes it anew.
    #[test]
    fn openapi_document_is_the_one_in_docs() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("docs");
            std::fs::write(&file, super::DOCUMENT.as_str()).expect("it is written");
        }
        let kept = std::fs::read_to_string(&file).expect("docs/openapi.json");
        assert_eq!(
            kept,
            super::DOCUMENT.as_str(),
            "run `UPDATE_GOLDEN=1 cargo test --lib openapi` and look at the difference"
        );
    }
}
