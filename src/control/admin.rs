//! The admin address: `/metrics`, `/healthz`, `/readyz`, and with a token `POST /v1/reload`.

use super::access::{self, Denied};
use super::figures::Figures;
use super::metrics;
use crate::config::Admin;
use crate::state::Phase;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

/// Connections served at once; more wait in the system's queue.
const CONNECTIONS: usize = 64;
/// For the TLS handshake, for a request's head, and between two requests.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of a request's body, in bytes.
const LONGEST_BODY: usize = 1024;
/// How long connections may take to finish when the process stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// What `POST /v1/reload` is answered with.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(super) enum ReloadReport {
    /// In force.
    Accepted {
        /// What is different now.
        changes: Vec<String>,
        /// What will be after a restart.
        needs_restart: Vec<String>,
        /// What is probably not meant.
        warnings: Vec<String>,
    },
    /// What runs has not changed.
    Refused {
        /// Why.
        errors: Vec<String>,
    },
}

/// Somebody who waits for a reload.
#[derive(Debug)]
pub(super) struct ReloadRequest {
    /// Whether the file may drop as many keys as it likes.
    pub(super) force: bool,
    pub(super) answer: oneshot::Sender<ReloadReport>,
}

/// What an edit may change.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Nothing: `[admin]` is gone, and only a restart closes the address.
    pub(super) admin: Option<Admin>,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
}

/// What requests are answered from.
#[derive(Debug)]
pub(super) struct State {
    pub(super) figures: Arc<Figures>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) reloads: mpsc::Sender<ReloadRequest>,
    /// Every upstream's name has been resolved, or tried.
    pub(super) settled: watch::Receiver<bool>,
}

/// Serves until `stop` is told, then lets connections finish.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok(slot) = slot else { break };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: trying again at once would only spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (state, stop) = (state.clone(), stop.clone());
        tokio::spawn(async move {
            let tls = state.settings.load().tls.clone();
            match tls {
                None => connection(stream, false, state, stop).await,
                Some(config) => {
                    let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
                    if let Ok(Ok(stream)) = timeout(PATIENCE, handshake).await {
                        connection(stream, true, state, stop).await;
                    }
                }
            }
            drop(slot);
        });
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _ = timeout(FAREWELL, slots.acquire_many(all)).await;
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    encrypted: bool,
    state: Arc<State>,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(answer(request, encrypted, &state).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A connection that breaks is the scraper's affair.
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>, encrypted: bool, state: &State) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    match &*path {
        "/metrics" | "/healthz" | "/readyz" if !read => method_not_allowed("GET, HEAD"),
        "/metrics" => respond(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(&state.figures)),
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match readiness(state) {
            Ok(()) => text(StatusCode::OK, "ok\n"),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        "/v1/reload" => {
            let settings = state.settings.load_full();
            let Some(admin) = settings.admin.as_ref().filter(|admin| !admin.tokens.is_empty()) else {
                return problem(
                    StatusCode::NOT_FOUND,
                    "no_admin_token",
                    "Without an admin token this does not exist. Add an [[admin.token]] with name, sha256 and role = \"manage\" to gateway.toml.",
                );
            };
            if *request.method() != Method::POST {
                return method_not_allowed("POST");
            }
            match access::check(request.headers(), encrypted, admin) {
                Ok(token) => reload(state, &token.name, request.into_body()).await,
                Err(denied) => deny(denied),
            }
        }
        _ => problem(StatusCode::NOT_FOUND, "not_found", "Here are /metrics, /healthz, /readyz and, with a token, POST /v1/reload."),
    }
}

fn readiness(state: &State) -> Result<(), &'static str> {
    if *state.figures.shared.phase().borrow() == Phase::Draining {
        Err("draining\n")
    } else if !*state.settled.borrow() {
        Err("starting\n")
    } else {
        Ok(())
    }
}

/// What `POST /v1/reload` takes; nothing at all is the same as `{}`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ReloadOrder {
    /// Whether the file may drop as many keys as it likes.
    force: bool,
}

async fn reload(state: &State, token: &str, body: Incoming) -> Response<Full<Bytes>> {
    let body = timeout(PATIENCE, Limited::new(body, LONGEST_BODY).collect()).await.ok().and_then(Result::ok);
    let order = body.map(|body| body.to_bytes()).and_then(|body| match body.is_empty() {
        true => Some(ReloadOrder::default()),
        false => serde_json::from_slice(&body).ok(),
    });
    let Some(ReloadOrder { force }) = order else {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", "The body is nothing, or {\"force\": true}.");
    };
    tracing::info!(token, force, "reload asked for");
    let (answer, report) = oneshot::channel();
    let unavailable = || problem(StatusCode::SERVICE_UNAVAILABLE, "stopping", "The gateway is stopping.");
    if state.reloads.send(ReloadRequest { force, answer }).await.is_err() {
        return unavailable();
    }
    let Ok(report) = report.await else { return unavailable() };
    let status = match report {
        ReloadReport::Accepted { .. } => StatusCode::OK,
        ReloadReport::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    };
    respond(status, "application/json", serde_json::to_string(&report).unwrap_or_default())
}

fn deny(denied: Denied) -> Response<Full<Bytes>> {
    let mut response = problem(denied.status(), denied.code(), denied.detail());
    if let Some(challenge) = denied.challenge() {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

fn method_not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "The Allow header says which methods there are.");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response<Full<Bytes>> {
    let title = status.canonical_reason().unwrap_or_default();
    let body = serde_json::json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "code": code});
    respond(status, "application/problem+json", body.to_string())
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", body)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
