//! The routes, and what applies to every page.

use std::io::Write;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::answer::{self, HoldsSecret, Page};
use super::arrival::Arrival;
use super::origin::is_same_origin;
use super::signed::{message, plain_frame};
use super::state::State;
use super::view::{ASSETS, Asset};
use super::{create, edit, end, enter, key, list, records, usage};
use crate::state::PageCall;

/// A body of so many bytes is not worth compressing.
const SMALL: usize = 1000;
/// How long a browser may keep a file whose name has the hash of its content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Returns the router of the pages of a portal host.
pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/open", get(enter::show).post(enter::open))
        .route("/sign-out", post(enter::leave))
        .route("/keys", get(list::show).post(create::create))
        .route("/keys/new", get(create::show))
        .route("/keys/{id}", get(key::show))
        .route("/keys/{id}/edit", get(edit::show).post(edit::save))
        .route("/keys/{id}/pause", post(edit::pause))
        .route("/keys/{id}/resume", post(edit::resume))
        .route("/keys/{id}/rotate", get(end::show_rotation).post(end::rotate))
        .route("/keys/{id}/revoke", get(end::show_revocation).post(end::revoke))
        .route("/use", get(usage::show))
        .route("/audit", get(records::audit))
        .route("/find", get(records::show_find).post(records::find))
        .fallback(unknown)
        .layer(from_fn_with_state(state.clone(), same_origin))
        .route("/assets/{name}", get(asset))
        .layer(from_fn(finish))
        .with_state(state)
}

/// Answers a request.
pub(super) async fn answer(router: Router, call: PageCall) -> Response<Bytes> {
    let PageCall { request, authority, https, client } = call;
    let mut request = request.map(Body::from);
    request.extensions_mut().insert(Arrival { authority, https, client });
    let may_compress = accepts_gzip(request.headers());
    let Ok(response) = TowerToHyperService::new(router).call(request).await;
    let (mut head, body) = response.into_parts();
    // A body in memory cannot fail.
    let mut body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let holds_secret = head.extensions.get::<HoldsSecret>().is_some();
    if may_compress
        && !holds_secret
        && body.len() > SMALL
        && let Some(compressed) = gzip(&body)
    {
        body = compressed;
        head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if !holds_secret {
        head.headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    Response::from_parts(head, body)
}

/// Returns whether a browser accepts gzip (RFC 9110 §12.5.3). One that weighs it with a quality is
/// taken for one that does not.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::ACCEPT_ENCODING).iter();
    let codings = fields.filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(','));
    codings.into_iter().any(|coding| coding.trim().eq_ignore_ascii_case("gzip"))
}

/// Returns the gzip encoding, or `None` if that fails.
fn gzip(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::default());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Refuses whatever could change something and was not sent by one of the pages.
async fn same_origin(
    state: axum::extract::State<Arc<State>>,
    arrival: Arrival,
    request: Request,
    next: Next,
) -> Page {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_safe && !is_same_origin(request.headers(), &arrival) {
        let texts = state.texts(&arrival.authority);
        let frame = plain_frame(&texts, &texts.foreign_title);
        return message(StatusCode::FORBIDDEN, frame, &texts.foreign_text, None);
    }
    next.run(request).await
}

/// Completes the header fields of every response.
async fn finish(arrival: Arrival, request: Request, next: Next) -> Page {
    let mut response = next.run(request).await;
    answer::finish(response.headers_mut(), &arrival);
    response
}

async fn home() -> Page {
    answer::see_other("/keys")
}

async fn unknown(state: axum::extract::State<Arc<State>>, arrival: Arrival) -> Page {
    let texts = state.texts(&arrival.authority);
    let frame = plain_frame(&texts, &texts.not_found_page_title);
    message(StatusCode::NOT_FOUND, frame, &texts.not_found_page_text, None)
}

/// Returns one of the files that pages load.
async fn asset(Path(name): Path<String>) -> Page {
    let Some(asset) = ASSETS.iter().find(|asset| asset.file_name() == name) else {
        return answer::plain(StatusCode::NOT_FOUND);
    };
    let Asset { media_type, content, .. } = *asset;
    let mut response = Response::new(Body::from(content));
    let fields = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, FOR_EVER)];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
